"""Score a policy, or the geometric guide, on the fixed test in either simulator.

The episodes are the same in both, and the scores do not depend on the number of workers.
"""

from snn_training.common.command import run_command
from snn_training.evaluation.evaluate import Args, main

if __name__ == "__main__":
    run_command(main, Args)

"""Behavioural cloning: the spiking policy learns to do what the guide does.

    python training/bc.py --name my-run

Round 0 clones the guide's own flights, disturbed so that it has to recover. In every later round
the student flies, the guide labels what it would have done, and the data joins all earlier (dataset
aggregation, DAgger). With `--rounds 1` small errors add up to states that the guide never visits.
"""

from snn_training.algorithms.bc import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

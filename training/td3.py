"""TD3: trains the guide that jump starts the spiking policy, on either simulator.

    python training/td3.py --name my-guide

The guide is a small perceptron that sees the observation and its own last 32 actions. It hovers
after a few minutes on one core. `--resume` goes on with an interrupted run.
"""

from snn_training.algorithms.td3 import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

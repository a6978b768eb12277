"""Offline: a decision transformer, spiking or dense, learns to fly from datasets alone.

    python training/decision_transformer.py --name my-run

It clones what pilots of several skills did, told what return each of their flights still earned; in
flight it is asked for a return and does what led to it. Nothing flies while it learns but the
validation. docs/decision_transformer.md says how the datasets are made. `--resume` goes on with an
interrupted run.
"""

from snn_training.algorithms.decision_transformer.train import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

"""Run a study: seeds x settings, side by side on Ray, one JSON file a run; then its table.

    python training/sweep.py slopes --workers 2
    python training/sweep.py slopes --table

Runs that have a result are left alone, so the same command goes on with an interrupted study.
"""

from snn_training.common.command import run_command
from snn_training.studies.sweep import Args, main

if __name__ == "__main__":
    run_command(main, Args)

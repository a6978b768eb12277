"""The study of surrogate slopes: runs what is missing, and redraws all tables and figures.

    python training/slope_study.py --workers 2
    python training/slope_study.py --draw

Two parts: how gradients of different slopes align, on random networks; and how fast behavioural
cloning, TD3 and TD3BC with a jump start learn with them, on Ray. What has a result is left alone.
"""

from snn_training.common.command import run_command
from snn_training.studies.slope_study import Args, main

if __name__ == "__main__":
    run_command(main, Args)

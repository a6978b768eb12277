"""Draw return against energy for every policy that has been scored, and write the table.

    python training/energy_plot.py

It reads the scores of docs/results/policies and the results of studies, and flies nothing.
"""

from snn_training.common.command import run_command
from snn_training.studies.energy_plot import Args, main

if __name__ == "__main__":
    run_command(main, Args)

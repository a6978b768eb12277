"""TD3BC without flights of its own: the spiking policy learns from a guide's flights alone.

    python training/td3bc.py --name my-run

A guide flies a data set, disturbed so that it has to recover; then the policy learns from it as in
`jsrl.py`, by the same gradient steps. What the data set never shows, it has to guess.
"""

from snn_training.algorithms.td3bc.offline import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

"""Datasets for offline learning: fly them, take them from bags, pay them anew, look inside.

    python training/dataset.py --name drone/hover/expert-v0 --policy hover
    python training/dataset.py --suite
    python training/dataset.py --name drone/hover/mine-v0 --bag flights/*/
    python training/dataset.py --name drone/hover/mixed-v0 --join drone/hover/expert-v0 \
        drone/hover/poor-v0
    python training/dataset.py --describe drone/hover/expert-v0

They are Minari datasets in $MINARI_DATASETS_PATH, or in `datasets/` where that is not set, so that
`minari.load_dataset` reads them too.
"""

from snn_training.common.command import run_command
from snn_training.rollouts.dataset import Args, main

if __name__ == "__main__":
    run_command(main, Args)

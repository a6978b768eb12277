"""Put an evaluation report into a policy file, so that the file says how well it flies.

    python training/stamp.py --policy runs/x/policy.onnx --evaluation report.json --output x.onnx

The weights stay as they are; the report and, from its standard cell, the usual spike rates go into
the metadata, and the digest is made anew.
"""

from snn_training.common.command import run_command
from snn_training.evaluation.embed import Args, main

if __name__ == "__main__":
    run_command(main, Args)

"""Ask a policy for returns and draw what it achieves.

    python training/asked_return.py --policy runs/transformer/policy.onnx --output asked.png

Every target flies the same standard starts of the fixed test on the batched twin.
"""

from snn_training.common.command import run_command
from snn_training.studies.asked_return import Args, main

if __name__ == "__main__":
    run_command(main, Args)

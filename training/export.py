"""Export a trained network to `policy.onnx`.

python training/export.py --run runs/NAME --output policy.onnx
"""

from snn_training.artifacts.export import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

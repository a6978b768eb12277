"""Export of a decision transformer to `policy.onnx`: one tick with its window as states.

Each block keeps keys and values of the last ticks (`memory_<block>`), spiking layers their
membranes; the return-to-go is kept inside. The graph is like that of any other policy and flown by
the same runtime.

    python training/transformer_export.py --run runs/NAME --output policy.onnx
"""

from snn_training.artifacts.transformer import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

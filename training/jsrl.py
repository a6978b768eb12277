"""TD3BC with a jump start (JSRL): trains the spiking policy in flight, on the batched twin.

    python training/jsrl.py --name my-run

A guide flies the beginning of each episode and the spiking policy, its state warm, the rest; the
policy's share grows until it flies alone. It learns from all flights: to do what the guide would
have done, and what twin critics value. `--resume` goes on with an interrupted run.
"""

from snn_training.algorithms.td3bc.jsrl import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

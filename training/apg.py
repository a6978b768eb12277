"""Analytic policy gradients: trains a policy by the gradient of a flight's cost through the drone.

    python training/apg.py --name my-guide

The drone is differentiable (`differentiable_drone.py`), so the cost of a second of flight has an
exact gradient in every weight of the policy, without critic or exploration. By default it trains
the perceptron that sees its own last 32 actions, in about five minutes on one core: the best guide
there is for `jsrl.py --guide runs/my-guide/policy.onnx`. `--network.kind` trains any other network,
spiking ones too, whose spikes then have surrogate gradients. `--resume` goes on with a run.

Source: the idea of Wiedemann et al., "Training Efficient Controllers via Analytic Policy Gradient",
ICRA 2023.
"""

from snn_training.algorithms.apg.train import Args, main
from snn_training.common.command import run_command

if __name__ == "__main__":
    run_command(main, Args)

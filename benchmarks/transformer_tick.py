"""Time of one tick of decision transformers in the runtime that the node uses, untrained.

    python benchmarks/transformer_tick.py

Spiking and dense with their windows as states, and the dense one that computes the whole window
again every tick, as public code does (but with one token a tick instead of three). Speed does not
depend on the weights; the spiking one computes its products densely here.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_controller.policy.runtime import Policy
from snn_training.artifacts.file import OPSET_VERSION, ArtifactInfo, flight_like_observations
from snn_training.artifacts.transformer import export_transformer
from snn_training.common.command import run_command
from snn_training.networks.config import TransformerConfig
from snn_training.networks.transformer.in_flight import Conditioning, FlyingTransformer
from snn_training.networks.transformer.model import DecisionTransformer
from snn_training.rollouts.batched_policy import open_session

LIMITS = Conditioning(target=450.0, low=0.0, high=490.0, hover_throttle=0.6)


@dataclass
class Args:
    """Time one tick of decision transformers."""

    ticks: int = 5000
    """Ticks to time."""
    window: int = 20
    """Ticks that attention looks back."""
    seed: int = 0
    """Seed of weights and flights."""


class WholeWindow(nn.Module):
    """The last action of a window that is computed from nothing."""

    def __init__(self, network: DecisionTransformer) -> None:
        super().__init__()
        self.network = network

    def forward(self, observations: Tensor, actions: Tensor, returns: Tensor) -> Tensor:
        """Return the action (1, 4) of windows (W, 1, ...)."""
        states = self.network.initial_states(1)
        return self.network(observations, actions, returns, states)[0][-1]


def main(args: Args) -> None:
    """Print a row for each way."""
    observations = flight_like_observations(args.ticks, np.random.default_rng(args.seed))
    sys.stdout.write(f"| {'tick in µs':30} | p1 | median | p99 |\n|---|---|---|---|\n")
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("spiking", "dense"):
            network = make(args, kind)
            path = Path(folder) / f"{kind}.onnx"
            export_transformer(
                FlyingTransformer(network, LIMITS), path, ArtifactInfo("crazyflie21")
            )
            policy = Policy.load(path)
            show(f"{kind}, window as state", time_ticks(policy.step, observations))
        session = whole_window_session(make(args, "dense"), args.window, Path(folder))
        windows = whole_windows(observations.astype(np.float32), args.window)
        show("dense, whole window again", time_ticks(lambda x: session.run(None, x), windows))


def make(args: Args, kind: str) -> DecisionTransformer:
    """Return an untrained network; a spiking one fires at its usual rates."""
    generator = torch.Generator().manual_seed(args.seed)
    config = TransformerConfig(kind="spiking" if kind == "spiking" else "dense", window=args.window)
    network = DecisionTransformer(config, generator=generator)
    if kind == "spiking":
        flights = [flight_like_observations(60, np.random.default_rng(i)) for i in range(8)]
        seen = torch.from_numpy(np.stack(flights, axis=1)).float()
        network.set_thresholds(seen, seen[..., :4] * 0.0, seen[..., :1] * 0.0 + 0.9, rate=0.1)
    return network


def whole_window_session(
    network: DecisionTransformer, window: int, folder: Path
) -> onnxruntime.InferenceSession:
    """Return the graph of a whole window on one thread."""
    example = tuple(torch.zeros(window, 1, size) for size in (18, 4, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            WholeWindow(network).eval(),
            example,
            input_names=["observations", "actions", "returns"],
            opset_version=OPSET_VERSION,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export gave no program")
    program.save(str(folder / "whole.onnx"))
    return open_session((folder / "whole.onnx").read_bytes())


def whole_windows(observations: NDArray[np.float32], window: int) -> list[dict]:
    """Return the inputs of every tick: the last `window` observations each."""
    rest = {
        "actions": np.zeros((window, 1, 4), np.float32),
        "returns": np.full((window, 1, 1), 0.9, np.float32),
    }
    return [
        {"observations": observations[i - window : i, None], **rest}
        for i in range(window, len(observations) + 1)
    ]


def time_ticks(step, inputs) -> NDArray[np.float64]:  # noqa: ANN001 - any callable on any inputs
    """Return the time of each call in µs, the first hundred left out."""
    times = []
    for values in inputs:
        began = time.perf_counter()
        step(values)
        times.append(time.perf_counter() - began)
    return 1e6 * np.array(times[100:])


def show(label: str, times: NDArray[np.float64]) -> None:
    """Print a row."""
    low, middle, high = np.percentile(times, (1, 50, 99))
    sys.stdout.write(f"| {label:30} | {low:.0f} | {middle:.0f} | {high:.0f} |\n")


if __name__ == "__main__":
    run_command(main, Args)

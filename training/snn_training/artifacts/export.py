"""Export a trained network to `policy.onnx`.

python training/export.py --run runs/NAME --output policy.onnx
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE
from snn_training.artifacts.file import (
    LAST_ACTION,
    ArtifactInfo,
    Rows,
    Tick,
    require_finite,
    trace_tick,
    write_artifact,
)
from snn_training.networks import Network, SpikingPolicy
from snn_training.runs import load_actor


def export_policy(policy: Network, path: Path, info: ArtifactInfo) -> None:
    """Write the artifact of a network, atomically.

    Raises:
        UserError: The network has weights that are not finite, or the file cannot be written.
    """
    require_finite(policy)
    step = _PolicyTick(policy)
    tick = Tick(
        policy.config.control_rate,
        _layers(policy),
        policy.multiply_accumulates,
        partial(_fly, policy, step),
    )
    write_artifact(path, _to_onnx(step, policy), tick, info)


def export_benchmark(policy: Network, path: Path, control_rate: float, airframe: str) -> None:
    """Write an artifact that ticks at another rate in Hz, to measure timing with.

    Time constants keep their value in s, but the network was not trained at that rate.
    """
    note = f"re-discretised to {control_rate:g} Hz without training, for benchmarks only"
    info = ArtifactInfo(airframe=airframe, provenance={"benchmark": note})
    if not isinstance(policy, SpikingPolicy):
        raise UserError("only spiking networks have time constants; train at that rate instead")
    export_policy(policy.at_rate(control_rate), path, info)


def graph_of(policy: Network) -> onnx.ModelProto:
    """Return the bare graph of a network's tick, without metadata."""
    return _to_onnx(_PolicyTick(policy), policy)


def replay_actions(policy: Network, observations: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the actions (ticks, 4) that a network gives after a reset, flown as it gives them."""
    return _run(policy, _PolicyTick(policy), observations)[0]


class _PolicyTick(nn.Module):
    """One tick with fixed weights, as the graph that is exported."""

    def __init__(self, policy: Network) -> None:
        super().__init__()
        if not isinstance(policy, SpikingPolicy):
            self.network = policy  # as a part, so that its weights are found
        self.step = policy.stepper()
        self.states = len(policy.state_names)  # without the action, which the runtime keeps

    def forward(self, observation: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        action, following, spikes = self.step(observation, states)
        return (action, *following[: self.states], *spikes)


def _to_onnx(step: _PolicyTick, policy: Network) -> onnx.ModelProto:
    names = policy.state_names
    outputs = (f"{name}_next" for name in names), (f"spikes_{x}" for x in policy.layer_names)
    feedback = [LAST_ACTION] if sees_last_action(policy) else []
    return trace_tick(
        step,
        (torch.zeros(1, OBSERVATION_SIZE), *policy.initial_states()),
        ["observation", *names, *feedback],
        ["action", *(name for group in outputs for name in group)],
    )


def sees_last_action(policy: Network) -> bool:
    """Whether a network takes its last action as an input."""
    return isinstance(policy, SpikingPolicy) and policy.config.action_feedback


def _layers(policy: Network) -> list[dict[str, Any]]:
    """Return name, size and synapses of each spiking layer.

    A recurrent layer drives itself too, and the first may see the last action.
    """
    if not isinstance(policy, SpikingPolicy):
        return []
    sizes = policy.config.hidden
    layers = []
    for index, (name, neurons) in enumerate(zip(policy.layer_names, sizes, strict=True)):
        own = neurons if policy.config.recurrent else 0
        fed_back = ACTION_SIZE if sees_last_action(policy) and index == 0 else 0
        layers.append(
            {
                "name": name,
                "neurons": neurons,
                "fan_in": (OBSERVATION_SIZE, *sizes)[index] + own + fed_back,
                "fan_out": (*sizes[1:], ACTION_SIZE)[index] + own,
            }
        )
    return layers


def _fly(
    policy: Network, step: _PolicyTick, observations: NDArray[np.float32]
) -> tuple[dict[str, Rows], Rows, float]:
    """Return inputs, actions and margin of a flight, for the self-test."""
    actions, margin = _run(policy, step, observations)
    inputs = {"observation": observations}
    if sees_last_action(policy):
        inputs[LAST_ACTION] = np.concatenate([np.zeros_like(actions[:1]), actions[:-1]])
    return {name: rows.tolist() for name, rows in inputs.items()}, actions.tolist(), margin


def _run(
    policy: Network, step: _PolicyTick, observations: NDArray[np.float32]
) -> tuple[NDArray[np.float32], float]:
    """Return the actions (ticks, 4) and the smallest distance of a membrane from its threshold."""
    states, actions, margin = policy.initial_states(), [], float("inf")
    distance = _distance(policy)
    with torch.no_grad():
        for observation in torch.from_numpy(observations):
            action, *rest = step(observation[None], *states)
            states = tuple(rest[: step.states])
            states = (*states, action) if sees_last_action(policy) else states
            actions.append(action[0].numpy())
            margin = min(margin, distance(states))
    return np.stack(actions), margin


def _distance(policy: Network) -> Callable[[tuple[Tensor, ...]], float]:
    """Return how near any membrane of some states is to its threshold: infinitely far without."""
    if not isinstance(policy, SpikingPolicy):
        return lambda _: float("inf")
    return partial(policy.margin, policy.policy_weights())


@dataclass
class Args:
    """Export the checkpoint of a run to a policy file."""

    run: Path
    """Folder of the training run, runs/NAME."""
    output: Path
    """The policy file to write."""
    control_rate: float | None = None
    """Make a benchmark artifact at this rate in Hz instead of the trained rate."""


def main(args: Args) -> None:
    """Export as the arguments say."""
    policy, provenance = load_actor(args.run)
    config = provenance.get("config", {})
    airframe = str(config.get("airframe", "crazyflie21"))
    if args.control_rate is not None:
        if not 1.0 <= args.control_rate <= 10_000.0:
            raise UserError("--control-rate must be between 1 and 10000 Hz")
        export_benchmark(policy, args.output, args.control_rate, airframe)
    else:
        info = ArtifactInfo(
            airframe,
            config.get("action_kind", "motors"),
            provenance={k: v for k, v in provenance.items() if k != "spike_statistics"},
            spike_statistics=provenance.get("spike_statistics", {}),
        )
        export_policy(policy, args.output, info)
    sys.stdout.write(f"wrote {args.output}\n")

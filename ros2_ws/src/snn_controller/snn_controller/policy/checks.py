"""Checks of a loaded policy against its metadata and against what its caller expects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError, quote
from snn_controller.policy.artifact import EXPORT_AGAIN, PolicyMetadata
from snn_controller.vehicle import ACTION_SIZE

FIXED_INPUTS = ("observation", "last_applied_action", "target_return")  # the rest are states
DTYPES: dict[str, type] = {
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
MAX_STATE_SIZE = 1_000_000  # numbers in all states


@dataclass(frozen=True)
class _Node:
    shape: tuple[Any, ...]
    type: str


def check_graph(session: Any, metadata: PolicyMetadata, path: Path) -> None:
    """Check names, shapes and types of all inputs and outputs against the metadata.

    Raises:
        UserError: One is missing, unknown or of the wrong shape or type.
    """
    inputs, outputs = _describe(session.get_inputs()), _describe(session.get_outputs())
    sizes = metadata.observation.size, ACTION_SIZE, 1
    expected_inputs: dict[str, tuple[Any, ...]] = {
        name: (1, size)
        for name, size in zip(FIXED_INPUTS, sizes, strict=True)
        if name in inputs or name == "observation"
    }
    expected_outputs = {"action": (1, ACTION_SIZE)}
    for layer in metadata.layers:
        expected_inputs[f"membrane_{layer.name}"] = (1, layer.neurons)
        expected_outputs[f"spikes_{layer.name}"] = (1, layer.neurons)
    states = inputs.keys() - set(FIXED_INPUTS)
    for name in states:
        expected_inputs.setdefault(name, inputs[name].shape)
        expected_outputs[f"{name}_next"] = inputs[name].shape
    for kind, expected, found in (
        ("input", expected_inputs, inputs),
        ("output", expected_outputs, outputs),
    ):
        for name, shape in expected.items():
            if name not in found:
                raise UserError(f"policy {path} has no {kind} '{quote(name)}'; {EXPORT_AGAIN}")
            is_state = name.removesuffix("_next") in states
            plain = not is_state or name.startswith("membrane_")
            _check_node(f"{kind} '{quote(name)}'", found[name], shape, path, must_be_float=plain)
    _check_states({name: inputs[name] for name in states}, path)
    unknown = outputs.keys() - expected_outputs.keys()
    if unknown:
        raise UserError(
            f"policy {path} has outputs without a meaning ({quote(', '.join(sorted(unknown)))}); "
            f"{EXPORT_AGAIN}"
        )
    if "target_return" in inputs and metadata.target_return is None:
        raise UserError(f"policy {path} lacks the metadata target_return; {EXPORT_AGAIN}")


def check_expectations(
    metadata: PolicyMetadata,
    path: Path,
    *,
    airframe: str | None,
    control_rate: float | None,
    action_kind: str | None,
    observation_version: int | None,
) -> None:
    """Check that a policy is for this airframe, rate, action and observation, where given.

    Raises:
        UserError: It is not.
    """
    if airframe is not None and metadata.airframe != airframe:
        raise UserError(
            f"policy {path} was trained for the airframe '{quote(metadata.airframe)}', not "
            f"'{airframe}'; choose that airframe or a policy trained for yours"
        )
    if control_rate is not None and abs(metadata.control_rate - control_rate) > 1e-6:
        raise UserError(
            f"policy {path} ticks at {metadata.control_rate:g} Hz, not {control_rate:g} Hz; "
            "set that control rate or use a policy trained at yours"
        )
    if action_kind is not None and metadata.action_kind != action_kind:
        raise UserError(
            f"policy {path} gives actions of kind '{metadata.action_kind}', not '{action_kind}'; "
            "choose a flight controller link that takes them or another policy"
        )
    if observation_version is not None and metadata.observation_version != observation_version:
        raise UserError(
            f"policy {path} was trained on observation version {metadata.observation_version}, and "
            f"here it would see {observation_version}; choose a policy that was trained on that"
        )


def _describe(nodes: Any) -> dict[str, _Node]:
    return {node.name: _Node(tuple(node.shape), node.type) for node in nodes}


def _check_node(
    what: str, node: _Node, shape: tuple[Any, ...], path: Path, *, must_be_float: bool
) -> None:
    fixed = all(isinstance(size, int) and size > 0 for size in node.shape)
    known = node.type == "tensor(float)" if must_be_float else node.type in DTYPES
    if node.shape != shape or not fixed or not known:
        raise UserError(
            f"policy {path} has the wrong shape or type at {what}: {quote(node.shape)} "
            f"{quote(node.type)}, expected {quote(shape)}; {EXPORT_AGAIN}"
        )


def _check_states(states: Mapping[str, _Node], path: Path) -> None:
    size = sum(prod(node.shape) for node in states.values())
    if size > MAX_STATE_SIZE:
        raise UserError(
            f"policy {path} has states of {size} numbers, more than {MAX_STATE_SIZE}; "
            f"{EXPORT_AGAIN}"
        )

"""The policy artifact as bytes and metadata: digest, versions, required keys. No onnxruntime here.

A `policy.onnx` keeps everything about a policy in `metadata_props`, each value a JSON string.
`digest` is the SHA-256 of the file's own bytes with the digest's 64 hex digits replaced by zeros,
so it is checked on raw bytes before any parser sees them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snn_controller.action import ACTION_KINDS, ActionKind
from snn_controller.errors import UserError
from snn_controller.observation import OBSERVATION_VERSION

FORMAT_VERSION = 1
MAX_FILE_SIZE = 64 * 1024 * 1024  # bytes; the largest policy planned has about 3 MB
EXPORT_AGAIN = "export the policy again with training/export.py"
ZERO_DIGEST = "sha256:" + "0" * 64
REQUIRED_KEYS = (
    "observation_version",
    "action_kind",
    "action_mapping",
    "control_rate",
    "airframe",
    "layers",
    "provenance",
    "self_test",
)

# The protobuf bytes of the metadata entry: key "digest", then a 73-byte JSON string.
_DIGEST_ENTRY = re.compile(rb'digest\x12\x49"sha256:([0-9a-f]{64})"')


@dataclass(frozen=True)
class Layer:
    """One spiking layer: a spike of one of its neurons drives `fan_out` synapses."""

    name: str
    neurons: int
    fan_in: int
    fan_out: int


@dataclass(frozen=True)
class SelfTest:
    """Inputs and the actions that the training network gave for them, tick by tick from reset."""

    inputs: Mapping[str, list[list[float]]]  # graph input -> (ticks, size)
    actions: list[list[float]]  # (ticks, 4)
    tolerance: float


@dataclass(frozen=True)
class PolicyMetadata:
    """What an artifact says about itself."""

    format_version: int
    observation_version: int
    action_kind: ActionKind
    action_mapping: str
    control_rate: float  # Hz
    airframe: str
    layers: tuple[Layer, ...]
    self_test: SelfTest
    input_macs: int = 0  # multiply-accumulates a tick on real-valued inputs, not on spikes
    target_return: float | None = None  # fed to policies that are conditioned on a return
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    spike_statistics: Mapping[str, Any] = field(default_factory=dict)


def read_artifact(path: Path) -> bytes:
    """Return the bytes of an artifact whose digest is right.

    Raises:
        UserError: There is no such file, or it is empty, too large, truncated or altered.
    """
    content = _read_bytes(path)
    if not content:
        raise UserError(f"policy {path} is empty; copy it again or {EXPORT_AGAIN}")
    entries = list(_DIGEST_ENTRY.finditer(content))
    if len(entries) != 1:
        raise UserError(
            f"policy {path} carries no digest, so it is truncated, damaged or not a policy file; "
            f"copy it again or {EXPORT_AGAIN}"
        )
    start, end = entries[0].span(1)
    expected = content[start:end].decode()
    if hashlib.sha256(content[:start] + b"0" * 64 + content[end:]).hexdigest() != expected:
        raise UserError(
            f"policy {path} is damaged or was altered: its bytes do not match its digest; "
            f"copy it again or {EXPORT_AGAIN}"
        )
    return content


def seal(content: bytes) -> bytes:
    """Return the artifact's bytes with the digest filled in where `ZERO_DIGEST` stands.

    Raises:
        ValueError: The content does not hold exactly one digest entry of zeros.
    """
    entries = list(_DIGEST_ENTRY.finditer(content))
    if len(entries) != 1 or entries[0].group(1) != b"0" * 64:
        raise ValueError("expected exactly one digest entry of zeros in the metadata")
    start, end = entries[0].span(1)
    return content[:start] + hashlib.sha256(content).hexdigest().encode() + content[end:]


def parse_metadata(properties: Mapping[str, str], path: Path) -> PolicyMetadata:
    """Return the metadata of an artifact from its `metadata_props`.

    Raises:
        UserError: It is of another version or kind, or something is missing or malformed.
    """
    try:
        values = {key: json.loads(text) for key, text in properties.items()}
    except ValueError as error:
        raise UserError(
            f"policy {path} has unreadable metadata ({error}); {EXPORT_AGAIN}"
        ) from error
    _check_versions(values, path)
    missing = [key for key in REQUIRED_KEYS if key not in values]
    if missing:
        raise UserError(f"policy {path} lacks the metadata {', '.join(missing)}; {EXPORT_AGAIN}")
    try:
        return _build_metadata(values)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            f"policy {path} has malformed metadata ({error}); {EXPORT_AGAIN}"
        ) from error


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise UserError(f"policy {path} is a directory; name the policy.onnx file inside it")
    try:
        size = path.stat().st_size
        if size > MAX_FILE_SIZE:
            raise UserError(
                f"policy {path} is too large ({size} bytes, limit {MAX_FILE_SIZE}); "
                "give the policy.onnx file"
            )
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"policy {path} does not exist; check the path") from error
    except OSError as error:
        raise UserError(f"policy {path} cannot be read ({error}); check the file") from error


def _check_versions(values: Mapping[str, Any], path: Path) -> None:
    version = values.get("format_version")
    if version != FORMAT_VERSION:
        raise UserError(
            f"policy {path} has format version {version}, this runtime reads {FORMAT_VERSION}; "
            f"{EXPORT_AGAIN} of the same release"
        )
    observation = values.get("observation_version", OBSERVATION_VERSION)
    if observation != OBSERVATION_VERSION:
        raise UserError(
            f"policy {path} was trained on observation version {observation}, this runtime gives "
            f"{OBSERVATION_VERSION}; train it again or use the release that trained it"
        )
    kind = values.get("action_kind", ACTION_KINDS[0])
    if kind not in ACTION_KINDS:
        raise UserError(
            f"policy {path} has the unknown action kind '{kind}', known are "
            f"{', '.join(ACTION_KINDS)}; {EXPORT_AGAIN} of the same release"
        )


def _build_metadata(values: Mapping[str, Any]) -> PolicyMetadata:
    rate = float(values["control_rate"])
    if not 1.0 <= rate <= 10_000.0:
        raise ValueError(f"control_rate {rate} Hz is outside 1 to 10000")
    target = values.get("target_return")
    return PolicyMetadata(
        format_version=int(values["format_version"]),
        observation_version=int(values["observation_version"]),
        action_kind=values["action_kind"],
        action_mapping=str(values["action_mapping"]),
        control_rate=rate,
        airframe=str(values["airframe"]),
        layers=tuple(_layer(layer) for layer in values["layers"]),
        self_test=_self_test(values["self_test"]),
        input_macs=int(values.get("input_macs", 0)),
        target_return=None if target is None else float(target),
        provenance=dict(values["provenance"]),
        evaluation=dict(values.get("evaluation", {})),
        spike_statistics=dict(values.get("spike_statistics", {})),
    )


def _layer(values: Mapping[str, Any]) -> Layer:
    return Layer(
        name=str(values["name"]),
        neurons=int(values["neurons"]),
        fan_in=int(values["fan_in"]),
        fan_out=int(values["fan_out"]),
    )


def _self_test(values: Mapping[str, Any]) -> SelfTest:
    test = SelfTest(
        inputs=dict(values["inputs"]),
        actions=list(values["actions"]),
        tolerance=float(values["tolerance"]),
    )
    lengths = {len(rows) for rows in test.inputs.values()} | {len(test.actions)}
    if "observation" not in test.inputs or lengths in ({0}, set()) or len(lengths) != 1:
        raise ValueError("self_test needs equally many observations and actions")
    if not 0.0 < test.tolerance < 0.1:
        raise ValueError(f"self_test tolerance {test.tolerance} is outside 0 to 0.1")
    return test

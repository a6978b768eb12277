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

from snn_controller.errors import UserError, quote
from snn_controller.vehicle import (
    ACTION_KINDS,
    ACTION_MAPPINGS,
    OBSERVATION_VERSION,
    OBSERVATIONS,
    ActionKind,
    ObservationVersion,
)

FORMAT_VERSION = 1
MAX_FILE_SIZE = 64 * 1024 * 1024  # bytes; the largest policy planned has about 3 MB
MAX_SELF_TEST_TICKS = 1000
MAX_SILENCE = 1.0  # s; a file cannot talk the guard of neurons out of its job
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
_HASH = re.compile("[0-9a-fA-F]{64}")


@dataclass(frozen=True)
class Layer:
    """One spiking layer: a spike of one of its neurons drives `fan_out` synapses."""

    name: str
    neurons: int
    fan_in: int
    fan_out: int
    silence: float = 0.0  # s that no neuron of it fires at times, though all is well


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
    target_return_range: tuple[float, float] = (-1e9, 1e9)  # what it was trained to be asked for
    provenance: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    spike_statistics: Mapping[str, Any] = field(default_factory=dict)

    @property
    def observation(self) -> ObservationVersion:
        """What the policy is to be shown."""
        return OBSERVATIONS[self.observation_version]


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


def sha256_of(content: bytes) -> str:
    """Return a file's hash as `sha256sum` prints it."""
    return hashlib.sha256(content).hexdigest()


def check_pin(content: bytes, pin: str, path: Path) -> None:
    """Check the bytes of a policy file against the hash that it must have; none if empty.

    Raises:
        UserError: The file has another hash, or the pin is none.
    """
    if not pin:
        return
    if not _HASH.fullmatch(pin):
        raise UserError(
            f"policy_sha256 '{quote(pin)}' is no hash; give the 64 hexadecimal digits that"
            f" sha256sum prints for {path}"
        )
    found = sha256_of(content)
    if found != pin.lower():
        raise UserError(
            f"policy {path} has the hash {found}, not {pin.lower()} as policy_sha256 demands;"
            " give the file that was checked, or its own hash once you trust it"
        )


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
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"policy {path} has unreadable metadata ({quote(error)}); {EXPORT_AGAIN}"
        ) from error
    _check_versions(values, path)
    missing = [key for key in REQUIRED_KEYS if key not in values]
    if missing:
        raise UserError(f"policy {path} lacks the metadata {', '.join(missing)}; {EXPORT_AGAIN}")
    try:
        return _build_metadata(values)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"policy {path} has malformed metadata ({quote(error)}); {EXPORT_AGAIN}"
        ) from error


def _read_bytes(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise UserError(f"policy {path} is a directory; name the policy.onnx file inside it")
        if path.exists() and not path.is_file():
            raise UserError(f"policy {path} is a pipe or a device; name a policy.onnx file")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_SIZE + 1)
    except FileNotFoundError as error:
        raise UserError(f"policy {path} does not exist; check the path") from error
    except (OSError, ValueError) as error:
        raise UserError(f"policy {path} cannot be read ({error}); check the file") from error
    if len(content) > MAX_FILE_SIZE:
        raise UserError(
            f"policy {path} is too large (limit {MAX_FILE_SIZE} bytes); give the policy.onnx file"
        )
    return content


def _check_versions(values: Mapping[str, Any], path: Path) -> None:
    version = values.get("format_version")
    if not _is(version, FORMAT_VERSION):
        raise UserError(
            f"policy {path} has format version {quote(version)}, this runtime reads "
            f"{FORMAT_VERSION}; {EXPORT_AGAIN} of the same release"
        )
    observation = values.get("observation_version", OBSERVATION_VERSION)
    if not any(_is(observation, known) for known in OBSERVATIONS):
        raise UserError(
            f"policy {path} was trained on observation version {quote(observation)}, this runtime "
            f"gives {', '.join(map(str, OBSERVATIONS))}; train it again or use the release that "
            "trained it"
        )
    kind = values.get("action_kind", ACTION_KINDS[0])
    if kind not in ACTION_KINDS:
        raise UserError(
            f"policy {path} has the unknown action kind '{quote(kind)}', known are "
            f"{', '.join(ACTION_KINDS)}; {EXPORT_AGAIN} of the same release"
        )


def _is(value: Any, number: int) -> bool:
    return type(value) is int and value == number  # True and 1.0 equal 1 too


def _build_metadata(values: Mapping[str, Any]) -> PolicyMetadata:
    target, kind = values.get("target_return"), values["action_kind"]
    if values["action_mapping"] != ACTION_MAPPINGS[kind]:
        raise ValueError(f"its actions mean {values['action_mapping']}")
    layers = tuple(_layer(layer) for layer in _typed(values["layers"], list))
    if len({layer.name for layer in layers}) < len(layers):
        raise ValueError("two layers have one name")
    return PolicyMetadata(
        format_version=values["format_version"],
        observation_version=values["observation_version"],
        action_kind=kind,
        action_mapping=values["action_mapping"],
        control_rate=_number(values, "control_rate", 1.0, 10_000.0),
        airframe=_typed(values["airframe"], str),
        layers=layers,
        self_test=_self_test(_typed(values["self_test"], dict)),
        input_macs=_count(values.get("input_macs", 0)),
        target_return=None if target is None else _number(values, "target_return", -1e9, 1e9),
        target_return_range=_range(values.get("target_return_range", [-1e9, 1e9])),
        provenance=_typed(values["provenance"], dict),
        evaluation=_typed(values.get("evaluation", {}), dict),
        spike_statistics=_typed(values.get("spike_statistics", {}), dict),
    )


def _typed(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise TypeError(f"{value} is no {kind.__name__}")
    return value


def _number(values: Mapping[str, Any], key: str, low: float, high: float) -> float:
    value = values[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
        raise ValueError(f"{key} {value} is no number from {low:g} to {high:g}")
    return float(value)


def _range(value: Any) -> tuple[float, float]:
    low, high = (_number({"return": x}, "return", -1e9, 1e9) for x in _typed(value, list))
    if low > high:
        raise ValueError(f"target_return_range {value} is no range")
    return low, high


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= MAX_FILE_SIZE:
        raise ValueError(f"{value} counts nothing")
    return value


def _layer(values: Any) -> Layer:
    neurons, fan_in, fan_out = (_count(values[key]) for key in ("neurons", "fan_in", "fan_out"))
    silence = _number({"silence": 0.0, **values}, "silence", 0.0, MAX_SILENCE)
    return Layer(_typed(values["name"], str), neurons, fan_in, fan_out, silence)


def _self_test(values: Mapping[str, Any]) -> SelfTest:
    test = SelfTest(
        inputs=_typed(values["inputs"], dict),
        actions=_typed(values["actions"], list),
        tolerance=_number(values, "tolerance", 1e-9, 0.1),
    )
    lengths = {len(rows) for rows in test.inputs.values()} | {len(test.actions)}
    if "observation" not in test.inputs or lengths in ({0}, set()) or len(lengths) != 1:
        raise ValueError("self_test needs equally many observations and actions")
    if len(test.actions) > MAX_SELF_TEST_TICKS:
        raise ValueError(f"self_test has more than {MAX_SELF_TEST_TICKS} ticks")
    return test

"""Whether what a bag tells of a flight can be used: its facts, and row by row its ticks. ROS-free.

MCAP files of rosbags have no checksums, so a damaged one may hold any number anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError, quote
from snn_controller.flight_log.tick_layout import TICK_VERSION
from snn_controller.vehicle import OBSERVATIONS, ActionKind, Array, State

RECORD_AGAIN = "record the flight again with record:=true"
LARGEST = 1e6  # of a state that anybody flew on, in SI units
LENGTHS = (0.9, 1.1)  # of a quaternion that a guard lets pass
_TEXTS = ("task", "airframe", "policy_sha256", "action_kind")
_STATE = ("position", "velocity", "body_rates", "reference_position", "reference_velocity")


def check_facts(source: Path, info: Mapping[str, Any]) -> None:
    """Make sure that a flight's facts are of this version and say what is needed.

    Raises:
        UserError: They are not, or do not.
    """
    for name in ("modes", *_TEXTS, "control_rate"):
        if name not in info:
            raise UserError(f"bag {source} does not tell the flight's {name}; {RECORD_AGAIN}")
    _check_versions(source, info)
    sound = {
        **{name: isinstance(info[name], str) for name in _TEXTS},
        "action_kind": info["action_kind"] in get_args(ActionKind),
        "modes": _is_list_of_texts(info["modes"]),
        "control_rate": _is_number(info["control_rate"]) and 0.0 < info["control_rate"] < LARGEST,
        "seed": isinstance(info.get("seed", 0), int),
        "versions": isinstance(info.get("versions", {}), dict),
    }
    for name, is_sound in sound.items():
        if not is_sound:
            raise UserError(
                f"bag {source} tells {quote(info[name])} as the flight's {name}, so it is damaged;"
                f" {RECORD_AGAIN}"
            )


def _check_versions(source: Path, info: Mapping[str, Any]) -> None:
    versions = info.get("versions")
    software = versions.get("snn_controller") if isinstance(versions, dict) else None
    recorder = f"snn_controller {quote(software)}" if software else "the software"
    for name, known in (
        ("observation_version", tuple(OBSERVATIONS)),
        ("tick_version", (TICK_VERSION,)),
    ):
        if info.get(name) not in known:
            what = name.replace("_", " ")
            raise UserError(
                f"bag {source} has {what} {quote(info.get(name))}, and this software reads "
                f"{', '.join(map(str, known))}; use {recorder} that recorded it, or fly and record"
                " again"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_list_of_texts(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(x, str) for x in value)


def sound_rows(columns: Mapping[str, Array], modes: int) -> NDArray[np.bool_]:
    """Return which ticks (ticks,) can have been flown; `modes` is how many there are.

    What a policy flew on has passed the guards; its answer may be anything.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        counts = np.stack([columns[x] for x in ("index", "mode", "stamp_seconds")])
        whole = (counts == np.floor(counts)).all(axis=0) & (counts >= 0.0).all(axis=0)
        nanoseconds = columns["stamp_nanoseconds"]
        within = (
            (columns["mode"] < modes)
            & (columns["index"] < 2.0**53)
            & (columns["stamp_seconds"] < 2.0**33)
            & (nanoseconds >= 0.0)
            & (nanoseconds < 1e9)
            & np.isfinite(columns["time"])
        )
        flown = np.concatenate([columns[name] for name in _STATE], axis=1)
        length = np.linalg.norm(columns["quaternion"], axis=1)
        seen = np.isfinite(flown).all(axis=1) & (length > LENGTHS[0]) & (length < LENGTHS[1])
        within &= ~(np.abs(flown) >= LARGEST).any(axis=1)  # nothing was known: NaN
        within &= (np.abs(columns["command"]) < LARGEST).all(axis=1)
    return whole & within & (seen | (columns["ran"] != 1.0))


def is_sound(state: State) -> bool:
    """Whether a state of the odometry is one that the guards can have let pass."""
    numbers = (*state.position.tolist(), *state.velocity.tolist(), *state.body_rates.tolist())
    low, high = LENGTHS
    return (
        all(-LARGEST < x < LARGEST for x in numbers)
        and low < math.hypot(*state.quaternion.tolist()) < high
    )

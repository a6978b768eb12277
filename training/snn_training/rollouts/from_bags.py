"""Recorded flights as episodes: what a policy did in the air becomes what it learns from.

An episode is a span in which the network ran in every tick, at most as long as an episode of the
fixed test. It begins anew where ticks were lost, the neurons were reset or the motors stopped. No
episode of a bag counts as crashed: nothing is known of the flight without the policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.flight_log import RecordedFlight, read_flights
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    OBSERVATION_VERSION,
    OBSERVATIONS,
    Reference,
    State,
    action_from_command,
    load_quadrotor,
)
from snn_sim.task import EPISODE_STEPS, RewardCoefficients, reward_parts
from snn_training.data import PART_NAMES, EpisodeSet, Rows, join_sets

SHORTEST = 20  # steps of an episode worth keeping
THROTTLE_PART = PART_NAMES.index("throttle")


def episodes_of_bags(
    bags: Sequence[str | Path],
    *,
    skill: str,
    coefficients: RewardCoefficients,
    warn: Callable[[str], Any] = print,
) -> EpisodeSet:
    """Return the episodes of all flights of some bags.

    Args:
        bags: A bag's folder, an .mcap file, or the report folder of a recorded flight, each.
        skill: Name of how good these flights are.
        coefficients: Of the rewards.
        warn: Told what is damaged or missing; what was before the damage is used.

    Raises:
        UserError: A bag cannot be read, or the network ran long enough in none of the flights.
    """
    sets = []
    for bag in bags:
        for flight in read_flights(bag):
            for sentence in flight.damage:
                warn(f"bag {bag}: {sentence}; what can be read of it is used")
            found = _episodes_of(flight, skill, coefficients)
            sets += found
            if not found:
                warn(
                    f"flight {flight.number} of bag {bag} has no {SHORTEST} ticks in a row that "
                    "the policy flew; it is left out"
                )
    if not sets:
        raise UserError(
            f"the bags hold no {SHORTEST} ticks in a row that a policy flew; record a flight with "
            "record:=true that reaches the task"
        )
    return join_sets(sets)


def episode_spans(flight: RecordedFlight) -> list[tuple[int, int]]:
    """Return first and last tick of the spans that become episodes.

    The last tick only ends the last step: its observation is seen, its action is not used.
    """
    usable = flight.ran & ~flight.stopped & np.isfinite(flight.action).all(axis=1)
    fresh = flight.reset | flight.lost_before
    pieces: list[tuple[int, int]] = []
    begin = None
    for tick in range(len(flight) + 1):
        over = tick == len(flight) or not usable[tick]
        if begin is not None and (over or fresh[tick] or tick - begin == EPISODE_STEPS):
            goes_on = not (over or fresh[tick])
            pieces.append((begin, tick if goes_on else tick - 1))
            begin = None
        if begin is None and not over:
            begin = tick
    return [(first, last) for first, last in pieces if last - first >= SHORTEST]


def _episodes_of(
    flight: RecordedFlight, skill: str, coefficients: RewardCoefficients
) -> list[EpisodeSet]:
    observations = flight.observed_by(OBSERVATIONS[OBSERVATION_VERSION])
    return [
        _episode(flight, observations, first, last, skill, coefficients)
        for first, last in episode_spans(flight)
    ]


def _episode(
    flight: RecordedFlight,
    observations: Rows,
    first: int,
    last: int,
    skill: str,
    coefficients: RewardCoefficients,
) -> EpisodeSet:
    parts = _reward_parts(flight, first, last)
    kind = flight.info["action_kind"]
    applied = action_from_command(flight.command[first:last], kind)
    return EpisodeSet(
        observations=_alone(observations[first : last + 1], OBSERVATION_SIZE),
        actions=_alone(flight.action[first:last], ACTION_SIZE),
        rewards=(parts @ coefficients.as_array()).astype(np.float32)[None],
        lengths=np.array([last - first]),
        terminated=np.zeros(1, np.bool_),
        applied=_alone(applied, ACTION_SIZE),
        parts=_alone(parts, len(PART_NAMES)),
        skills=[skill],
        metadata=[_story(flight, first, skill, coefficients)],
    )


def _reward_parts(flight: RecordedFlight, first: int, last: int) -> NDArray[np.float64]:
    """Return the parts (steps, 5) of what each step led to.

    The throttle behind an autopilot's rate loop is not recorded; it counts as that of hover.
    """
    hover = load_quadrotor(flight.info["airframe"]).hover_throttle
    command, after = flight.command[first:last], slice(first + 1, last + 1)
    known = flight.info["action_kind"] == "motors"
    state, reference = flight.state, flight.reference
    return reward_parts(
        State(
            state.position[after],
            state.quaternion[after],
            state.velocity[after],
            state.body_rates[after],
        ),
        Reference(reference.position[after], reference.velocity[after]),
        command if known else np.full_like(command, hover),
        hover_throttle=hover,
    )


def _story(
    flight: RecordedFlight, first: int, skill: str, coefficients: RewardCoefficients
) -> dict[str, Any]:
    info = flight.info
    return {
        "seed": int(info.get("seed", 0)),
        "bag": flight.source.name,
        "flight": flight.number,
        "first_tick": int(flight.index[first]),
        "at_rest": bool(flight.reset[first]),
        "task": info["task"],
        "policy": str(info.get("policy", "")),
        "policy_sha256": info["policy_sha256"],
        "skill": skill,
        "airframe": info["airframe"],
        "control_rate": float(info["control_rate"]),
        "action_kind": info["action_kind"],
        "observation_version": OBSERVATION_VERSION,
        "reward_coefficients": asdict(coefficients),
        "start": "flight",
        "disturbances": "recorded",
    }


def _alone(rows: Any, width: int) -> Rows:
    return np.asarray(rows, np.float32).reshape(1, -1, width)

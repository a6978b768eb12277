"""Scores of the fixed test: one row of numbers per episode, then means with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns
from snn_controller.policy import TARGETS, NetworkSize, tick_energies
from snn_controller.report import POLICY_MODE, FlightBounds, find_failure
from snn_controller.vehicle import Array, Reference
from snn_sim.task import CONTROL_RATE, END_COEFFICIENTS, START_COEFFICIENTS, reward_parts
from snn_training.evaluation.flights import Episode
from snn_training.evaluation.scenarios import SETTLING_STEPS, track_duration, track_references

STEADY_STEPS = 100  # the last second of a full episode counts as steady
NORMAL_95 = 1.959964  # two-sided 95 % point of the standard normal distribution
ENERGY_SCORES = {  # target -> score, in nJ a tick
    "loihi": "energy_nj",
    "cmos_45nm": "energy_45nm_nj",
    "cortex_m7": "energy_cortex_m7_nj",
}
SPIKE_RATE = "spike_rate."  # prefix of the scores that there are one of per layer

Scores = dict[str, float]


def score_episode(episode: Episode, reference: Reference, *, hover_throttle: float) -> Scores:
    """Return the scores of one episode, NaN where one has no meaning.

    Returns are summed up to and including the step that crashes. RMS errors run over the whole
    episode; steady errors over its last second, of survivors only.
    """
    error = episode.states.position - reference.position
    start, end = _returns(episode, reference, hover_throttle)
    horizontal, vertical = np.hypot(error[:, 0], error[:, 1]), np.abs(error[:, 2])
    return {
        "return_start": start,
        "return_end": end,
        "survival": 0.0 if episode.crashed else 1.0,
        "length": float(len(error)),
        "rms_xy_m": _root_mean_square(horizontal),
        "rms_z_m": _root_mean_square(vertical),
        "steady_xy_m": _steady(horizontal, episode),
        "steady_z_m": _steady(vertical, episode),
        "action_step": mean_step(episode.actions),
    }


def score_flight(episode: Episode, track: str) -> Scores:
    """Return the scores of one flight; errors of survivors only, NaN otherwise.

    `rms_m` runs over all but the first 2 s, `steady_m` over the last second.
    """
    references = track_references(track, len(episode.actions))
    columns = episode_columns(episode, references, period=1.0 / CONTROL_RATE)
    survived = find_failure(columns, FlightBounds(track_duration(track))) is None
    error = np.linalg.norm(episode.states.position - references.position, axis=1)
    counted, steady = error[SETTLING_STEPS:], error[-STEADY_STEPS:]
    return {
        "survival": float(survived),
        "rms_m": float(np.sqrt(np.mean(counted**2))) if survived else float("nan"),
        "steady_m": float(np.mean(steady)) if survived else float("nan"),
        "action_step": mean_step(episode.actions),
    }


def score_network(episode: Episode, size: NetworkSize | None) -> Scores:
    """Return what the network did in a mean tick; energies are NaN where no size is known."""
    operations = episode.synaptic_ops
    unknown = dict.fromkeys(TARGETS, float("nan"))
    energies = unknown if size is None else tick_energies(operations, size)
    return {
        "synaptic_ops": operations,
        **{ENERGY_SCORES[target]: energy for target, energy in energies.items()},
        **{f"{SPIKE_RATE}{layer}": x for layer, x in episode.spike_rates.items()},
    }


def mean_step(actions: Array) -> float:
    """Return the mean |a_t - a_(t-1)| of actions (steps, 4), NaN for a single one."""
    return float(np.abs(np.diff(actions, axis=0)).mean()) if len(actions) > 1 else float("nan")


def summarise(rows: list[Scores]) -> dict[str, Any]:
    """Return for each score its mean and 95 % interval over episodes, NaN left out.

    The interval of the survival is Wilson's, which stays right near 0 and 1; the others are
    normal. A single episode has no spread to go by: its interval is its value. A score that no
    episode has is None throughout.
    """
    summary: dict[str, Any] = {"episodes": len(rows), "spike_rate": {}}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        values = values[np.isfinite(values)]
        entry = _wilson(values) if name == "survival" and len(rows) > 1 else _normal(values)
        if name.startswith(SPIKE_RATE):
            summary["spike_rate"][name.removeprefix(SPIKE_RATE)] = entry
        else:
            summary[name] = entry
    return summary


def _returns(episode: Episode, reference: Reference, hover_throttle: float) -> tuple[float, float]:
    """Return the returns with the coefficients of the curriculum's start and end."""
    parts = reward_parts(
        episode.states, reference, episode.throttles, hover_throttle=hover_throttle
    )
    total = parts[np.isfinite(parts).all(axis=1)].sum(axis=0)
    return (
        float(total @ START_COEFFICIENTS.as_array()),
        float(total @ END_COEFFICIENTS.as_array()),
    )


def _root_mean_square(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _steady(values: Array, episode: Episode) -> float:
    return float("nan") if episode.crashed else float(np.mean(values[-STEADY_STEPS:]))


def _normal(values: Array) -> dict[str, float | None]:
    if values.size == 0:
        return {"mean": None, "low": None, "high": None}
    mean = float(values.mean())
    spread = float(values.std(ddof=1)) / np.sqrt(values.size) if values.size > 1 else 0.0
    half = float(NORMAL_95 * spread)
    return {"mean": mean, "low": mean - half, "high": mean + half}


def _wilson(values: Array) -> dict[str, float]:
    count, share, z2 = values.size, float(values.mean()), NORMAL_95**2
    centre = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = NORMAL_95 * np.sqrt(share * (1 - share) / count + z2 / (4 * count**2)) / (1 + z2 / count)
    return {
        "mean": share,
        "low": max(0.0, float(centre - half)),
        "high": min(1.0, float(centre + half)),
    }


def episode_columns(
    episode: Episode,
    references: Reference,
    *,
    period: float,
    spikes: Mapping[str, NDArray[np.bool_]] | None = None,
) -> FlightColumns:
    """Return an episode of T steps, which the policy flew from its first step to its last.

    Args:
        episode: The episode.
        references: Batch (T,), or one for all steps.
        period: Seconds of a step.
        spikes: Layer -> (T, neurons), where they are known.
    """
    steps, states = len(episode.actions), episode.states
    return FlightColumns(
        time=step_times(steps, period),
        mode=np.full(steps, POLICY_MODE),
        verdict=np.full(steps, ""),
        position=states.position,
        quaternion=states.quaternion,
        velocity=states.velocity,
        body_rates=states.body_rates,
        reference_position=np.broadcast_to(references.position, (steps, 3)),
        reference_velocity=np.broadcast_to(references.velocity, (steps, 3)),
        command=episode.throttles,
        synaptic_ops=np.zeros(steps, np.int64),
        missed=np.zeros(steps, np.int64),
        network_ran=np.full(steps, bool(spikes)),
        spikes=dict(spikes or {}),
        membranes={},
    )


def step_times(steps: int, period: float) -> Array:
    """Return the time (steps,) in s at the end of each step."""
    return np.arange(1.0, steps + 1.0) * period

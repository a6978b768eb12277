"""Roll-outs in PyBullet for cloning: a pilot flies, the guide says what it would have done.

Drones fly side by side, each in its own world without ground, so that pilot and guide work on
whole batches. Every episode has its own start and its own moving reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from snn_controller.control import GuideGains, RateGains, geometric_control
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    POSITION_ERROR_LIMIT,
    VELOCITY_ERROR_LIMIT,
    Array,
    Quadrotor,
    Reference,
    State,
    observe,
    throttle_from_action,
)
from snn_sim.bullet import Drone
from snn_sim.task import EpisodeConfig, draw_references, sample_start
from snn_training.data import Episodes

LOST_DISTANCE = 2.0  # m from the reference on an axis; beyond, an episode teaches nothing more
# Softer than the calibration's gains and with less lead, because the student does not see the
# rotors; survives more of the standard starts.
TEACHER_GAINS = GuideGains(
    position=11.0,
    velocity=3.5,
    attitude=300.0,
    yaw=7.0,
    rate=RateGains(tilt_rate=40.0, yaw_rate=5.0, lead=1.5),
)
# Maps observations (drones, 18) to actions (drones, 4).
Pilot = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def fly_episodes(
    drones: Sequence[Drone],
    pilot: Pilot | None,
    *,
    config: EpisodeConfig,
    gains: GuideGains,
    noise: float,
    rng: np.random.Generator,
) -> Episodes:
    """Fly one episode on every drone and return what was seen and what the guide would have done.

    Args:
        drones: Worlds to fly in; all of one airframe.
        pilot: Who flies, reset and ready; None lets the guide fly.
        config: Episodes.
        gains: Gains of the guide.
        noise: Standard deviation of the disturbance that is added to the pilot's actions. It
            wanders over about 0.1 s, so that it moves the drone; the labels stay clean.
        rng: Source of randomness.
    """
    count, period = len(drones), drones[0].control_period
    references = draw_references(count, config, period, rng)
    _reset(drones, references.at(0.0), config, rng)
    episodes = _empty_episodes(count, config.ticks)
    wander = rng.normal(0.0, noise, (count, 4))
    for tick in range(config.ticks):
        _record(episodes, tick, drones, references.at(tick * period), gains)
        observations, labels = episodes.observations[:, tick], episodes.labels[:, tick]
        flown = labels if pilot is None else pilot(observations)
        wander = 0.9 * wander + rng.normal(0.0, noise * 0.19**0.5, (count, 4))
        throttle = throttle_from_action(flown + wander)
        for drone, command, length in zip(drones, throttle, episodes.lengths, strict=True):
            if length > tick:
                drone.step(command)
    return episodes


def flight_score(episodes: Episodes) -> float:
    """Return how near the drones flew to their references: 1 on them, 0 beyond 0.6 m or lost."""
    ticks = np.arange(episodes.errors.shape[1])
    alive = ticks < episodes.lengths[:, None]
    nearness = np.clip(1.0 - episodes.errors / POSITION_ERROR_LIMIT, 0.0, 1.0)
    return float((nearness * alive).mean())


def clone_target(
    state: State, reference: Reference, rotors: Array, quadrotor: Quadrotor, gains: GuideGains
) -> Array:
    """Return the guide's actions (..., 4) on errors clipped as the observation clips them.

    Otherwise the guide would answer to distances that the student cannot see.
    """
    position = np.clip(
        state.position - reference.position, -POSITION_ERROR_LIMIT, POSITION_ERROR_LIMIT
    )
    velocity = np.clip(
        state.velocity - reference.velocity, -VELOCITY_ERROR_LIMIT, VELOCITY_ERROR_LIMIT
    )
    seen = Reference(state.position - position, state.velocity - velocity)
    return geometric_control(state, seen, rotors, quadrotor=quadrotor, gains=gains)


def _empty_episodes(count: int, ticks: int) -> Episodes:
    return Episodes(
        observations=np.zeros((count, ticks, OBSERVATION_SIZE), dtype=np.float32),
        labels=np.zeros((count, ticks, ACTION_SIZE), dtype=np.float32),
        errors=np.zeros((count, ticks), dtype=np.float32),
        lengths=np.full(count, ticks),
    )


def _record(
    episodes: Episodes,
    tick: int,
    drones: Sequence[Drone],
    reference: Reference,
    gains: GuideGains,
) -> None:
    """Write down what the drones look like now and what the guide would do."""
    state, rotors = _stack([x.state for x in drones]), np.array([x.rotors for x in drones])
    error = state.position - reference.position
    episodes.errors[:, tick] = np.linalg.norm(error, axis=-1)
    episodes.observations[:, tick] = observe(state, reference)
    episodes.labels[:, tick] = clone_target(state, reference, rotors, drones[0].quadrotor, gains)
    lost = np.abs(error).max(axis=-1) > LOST_DISTANCE
    episodes.lengths[lost] = np.minimum(episodes.lengths[lost], tick)


def _reset(
    drones: Sequence[Drone], reference: Reference, config: EpisodeConfig, rng: np.random.Generator
) -> None:
    """Put every drone at a start around its reference, moving along with it."""
    for drone, position, velocity in zip(
        drones, reference.position, reference.velocity, strict=True
    ):
        name = config.starts[rng.integers(len(config.starts))]
        start, rotors = sample_start(name, rng, target=position, quadrotor=drone.quadrotor)
        moving = State(
            start.position, start.quaternion, start.velocity + velocity, start.body_rates
        )
        drone.reset(moving, rotors)


def _stack(states: list[State]) -> State:
    return State(
        np.stack([x.position for x in states]),
        np.stack([x.quaternion for x in states]),
        np.stack([x.velocity for x in states]),
        np.stack([x.body_rates for x in states]),
    )

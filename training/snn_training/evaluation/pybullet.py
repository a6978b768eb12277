"""Flying one episode of the fixed test in the PyBullet simulator, and what is kept of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_controller.vehicle import Array, State
from snn_sim.bullet import DisturbedDrone, Drone
from snn_sim.task import has_crashed, measure
from snn_training.evaluation.pilots import Pilot
from snn_training.evaluation.scenarios import Draw


@dataclass(frozen=True)
class Episode:
    """One flown episode of T steps; the states are those after each step."""

    states: State  # batch (T,), true
    actions: Array  # (T, 4) in [-1, 1]
    throttles: Array  # (T, 4) in [0, 1], commanded
    crashed: bool
    spike_rates: dict[str, float]  # layer -> mean share of its neurons that spike in a step
    synaptic_ops: float  # mean a step


def fly_episode(
    world: Drone,
    pilot: Pilot,
    draw: Draw,
    *,
    guide: Pilot | None = None,
) -> Episode:
    """Fly an episode until its cap or the crash and return what happened.

    The step that crashes counts: its state and command are part of the episode. A command that
    is not finite is a crash too. The guide flies the guided steps, while the pilot looks on.
    """
    conditions = draw.conditions
    pilot.reset()
    drone = DisturbedDrone(world)
    drone.disturb(conditions.disturbance)
    state = drone.reset(draw.state, draw.rotors)
    states, actions, throttles = [], [], []
    spikes: dict[str, float] = {}
    operations, crashed = 0, False
    reference = conditions.course(0)
    while len(states) < conditions.steps and not crashed:
        noise = conditions.noise_at(len(states))
        seen = state if noise is None else measure(state, noise)
        action, throttle = pilot.step(seen, reference, world.rotors)
        if guide is not None and len(states) < conditions.guided_steps:
            action, throttle = guide.step(seen, reference, world.rotors)
            pilot.heed(action)
        for layer, fired in pilot.spikes.items():
            spikes[layer] = spikes.get(layer, 0.0) + float(np.mean(fired))
        operations += pilot.synaptic_ops
        usable = bool(np.isfinite(throttle).all())
        state = drone.step(throttle if usable else None)
        states.append(state)
        reference = conditions.course(len(states))
        crashed = not usable or has_crashed(state, reference, distance=conditions.crash_distance)
        actions.append(action)
        throttles.append(throttle)
    return Episode(
        states=_stack(states),
        actions=np.array(actions),
        throttles=np.array(throttles),
        crashed=crashed,
        spike_rates={layer: total / len(states) for layer, total in spikes.items()},
        synaptic_ops=operations / len(states),
    )


def _stack(states: list[State]) -> State:
    return State(
        position=np.stack([state.position for state in states]),
        quaternion=np.stack([state.quaternion for state in states]),
        velocity=np.stack([state.velocity for state in states]),
        body_rates=np.stack([state.body_rates for state in states]),
    )

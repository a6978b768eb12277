"""Flying many episodes of the fixed test at once in the batched twin."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from snn_controller.frames import Array
from snn_controller.quadrotor import Quadrotor
from snn_controller.state import Reference, State

from sim.batched import DroneBatch
from sim.sensors import measure
from training.cells import Draw
from training.episode import Episode
from training.pilots import Pilot

ORIGIN = Reference(np.zeros(3))


@dataclass
class _Record:
    """What is kept of each step of all drones; a drone counts until its episode ends."""

    flying: NDArray[np.bool_]  # (count,)
    lengths: NDArray[np.int64]  # (count,)
    operations: Array  # (count,)
    rows: list[tuple[Array, ...]] = field(default_factory=list)  # per step, each (count, n)
    spikes: dict[str, Array] = field(default_factory=dict)  # layer -> (count,) sums of shares

    def add(self, drones: DroneBatch, pilot: Pilot, action: Array, throttle: Array) -> None:
        """Write down a step."""
        state = drones.state
        parts = (state.position, state.quaternion, state.velocity, state.body_rates)
        self.rows.append((*parts, action, throttle))
        for layer, fired in pilot.spikes.items():
            total = self.spikes.setdefault(layer, np.zeros(len(self.flying)))
            total += self.flying * np.mean(fired, axis=1)
        self.operations += self.flying * pilot.synaptic_ops
        self.lengths += self.flying
        self.flying &= ~drones.terminated

    def episodes(self) -> list[Episode]:
        """Return the episodes of the drones in order."""
        columns = [np.stack(column) for column in zip(*self.rows, strict=True)]
        return [self._episode(columns, number) for number in range(len(self.flying))]

    def _episode(self, columns: list[Array], number: int) -> Episode:
        length = int(self.lengths[number])
        *parts, actions, throttles = (column[:length, number] for column in columns)
        return Episode(
            states=State(*parts),
            actions=actions,
            throttles=throttles,
            crashed=not self.flying[number],
            spike_rates={layer: float(x[number]) / length for layer, x in self.spikes.items()},
            synaptic_ops=float(self.operations[number]) / length,
        )


def fly_batch(
    quadrotor: Quadrotor,
    pilot: Pilot,
    draws: list[Draw],
    *,
    guide: Pilot | None = None,
) -> list[Episode]:
    """Fly episodes of one cell from start to cap or crash, as `fly_episode` flies one."""
    conditions = draws[0].conditions
    drones, noise = _prepare(quadrotor, draws), _stack_noise(draws)
    count = len(draws)
    record = _Record(
        np.ones(count, np.bool_), np.zeros(count, np.int64), operations=np.zeros(count)
    )
    pilot.reset()
    for step in range(conditions.steps):
        state, rotors = drones.state, drones.rotors
        seen = state if noise is None else measure(state, noise[step])
        action, throttle = pilot.step(seen, ORIGIN, rotors)
        if guide is not None and step < conditions.guided_steps:
            action, throttle = guide.step(seen, ORIGIN, rotors)
        drones.step(2.0 * throttle - 1.0, auto_reset=False)
        record.add(drones, pilot, action, throttle)
        if not record.flying.any():
            break
    return record.episodes()


def _prepare(quadrotor: Quadrotor, draws: list[Draw]) -> DroneBatch:
    drones = DroneBatch(quadrotor, len(draws), starts=("easy",))
    states = [draw.state for draw in draws]
    batch = State(
        position=np.stack([state.position for state in states]),
        quaternion=np.stack([state.quaternion for state in states]),
        velocity=np.stack([state.velocity for state in states]),
        body_rates=np.stack([state.body_rates for state in states]),
    )
    drones.set_states(batch, np.stack([draw.rotors for draw in draws]))
    disturbances = [draw.conditions.disturbance for draw in draws]
    disturbed = [disturbance for disturbance in disturbances if disturbance is not None]
    if disturbed:
        drones.set_disturbances(disturbed)
    return drones


def _stack_noise(draws: list[Draw]) -> Array | None:
    """Return the noise (steps, count, 18) of all episodes."""
    noise = [draw.conditions.noise for draw in draws]
    present = [x for x in noise if x is not None]
    return np.stack(present, axis=1) if present else None

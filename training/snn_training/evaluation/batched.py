"""Flying many episodes of the fixed test at once in the batched twin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import Array, Quadrotor, State
from snn_sim.batched import DroneBatch
from snn_sim.task import measure
from snn_training.evaluation.pilots import Pilot
from snn_training.evaluation.pybullet import Episode
from snn_training.evaluation.scenarios import Draw
from snn_training.rollouts import spike_counts

COLUMNS = np.cumsum([3, 4, 3, 3, 4, 4])  # ends of position to throttle in a record's rows


class _Record:
    """What is kept of each step of all drones; a drone counts until its episode ends."""

    def __init__(self, count: int, steps: int) -> None:
        self.flying = np.ones(count, np.bool_)
        self._lengths = np.zeros(count, np.int64)
        self._operations = np.zeros(count)
        self._spikes: dict[str, Array] = {}  # layer -> (count,) sums of shares
        self._rows = np.empty((count, steps, COLUMNS[-1]))  # drone by drone, as they are scored

    def add(self, step: int, state: State, pilot: Pilot, action: Array, throttle: Array) -> None:
        """Write down a step of the drones that still fly."""
        parts = (state.position, state.quaternion, state.velocity, state.body_rates)
        np.concatenate([*parts, action, throttle], axis=1, out=self._rows[:, step])
        for layer, fired in pilot.spikes.items():
            total = self._spikes.setdefault(layer, np.zeros(len(self.flying)))
            total += self.flying * spike_counts(fired) / fired.shape[1]
        self._operations += self.flying * pilot.synaptic_ops
        self._lengths += self.flying

    def episodes(self) -> list[Episode]:
        """Return the episodes of the drones in order."""
        return [self._episode(number) for number in range(len(self.flying))]

    def _episode(self, number: int) -> Episode:
        length = int(self._lengths[number])
        rows = self._rows[number, :length]
        *parts, actions, throttles, _ = np.split(rows, COLUMNS, axis=1)
        return Episode(
            states=State(*parts),
            actions=actions,
            throttles=throttles,
            crashed=not self.flying[number],
            spike_rates={layer: float(x[number]) / length for layer, x in self._spikes.items()},
            synaptic_ops=float(self._operations[number]) / length,
        )


def fly_batch(
    quadrotor: Quadrotor, pilot: Pilot, draws: list[Draw], *, guide: Pilot | None = None
) -> list[Episode]:
    """Fly episodes of one cell or track to their caps or crashes, as `fly_episode` flies one."""
    conditions = draws[0].conditions
    drones, noise = _prepare(quadrotor, draws), _stack_noise(draws)
    record = _Record(len(draws), conditions.steps)
    pilot.reset()
    state, reference = drones.state, conditions.course(0)
    for step in range(conditions.steps):
        seen, rotors = state if noise is None else measure(state, noise[step]), drones.rotors
        action, throttle = pilot.step(seen, reference, rotors)
        if guide is not None and step < conditions.guided_steps:
            action, throttle = guide.step(seen, reference, rotors)
            pilot.heed(action)
        following = conditions.course(step + 1)
        if following is not reference:
            drones.set_references(following, observe=False)
            reference = following
        drones.step(2.0 * throttle - 1.0, auto_reset=False)
        state = drones.state
        record.add(step, state, pilot, action, throttle)
        record.flying &= ~drones.terminated
        if not record.flying.any():
            break
    return record.episodes()


def _prepare(quadrotor: Quadrotor, draws: list[Draw]) -> DroneBatch:
    distance = draws[0].conditions.crash_distance
    drones = DroneBatch(quadrotor, len(draws), starts=("easy",), crash_distance=distance)
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


def _stack_noise(draws: list[Draw]) -> NDArray[np.float64] | None:
    """Return the noise (steps, count, 18) of all episodes."""
    noise = [draw.conditions.noise for draw in draws]
    present = [x for x in noise if x is not None]
    return np.stack(present, axis=1) if present else None

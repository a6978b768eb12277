"""Drones in either simulator: their interface, and several batches as one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, Reference, State
from snn_sim.task import Disturbance, RewardCoefficients, check_actions, numbers_of

Simulator = Literal["batched", "pybullet"]
SIMULATORS: tuple[Simulator, ...] = get_args(Simulator)


class Drones(Protocol):
    """Drones that fly side by side, episode after episode; `DroneBatch` says what each means."""

    quadrotor: Quadrotor
    count: int
    control_period: float

    @property
    def observations(self) -> NDArray[Any]:
        """Observations (count, 18)."""
        ...

    @property
    def final_observations(self) -> NDArray[Any]:
        """Last observations (count, 18) of the episodes that the last step ended."""
        ...

    @property
    def rewards(self) -> Array:
        """Rewards (count,) of the last step."""
        ...

    @property
    def reward_parts(self) -> NDArray[np.float32]:
        """What each coefficient multiplies in the last step's rewards (count, 5)."""
        ...

    @property
    def terminated(self) -> NDArray[Any]:
        """Whether each drone (count,) crashed in the last step."""
        ...

    @property
    def truncated(self) -> NDArray[Any]:
        """Whether each episode (count,) reached the cap in the last step."""
        ...

    @property
    def state(self) -> State:
        """True states, a copy, batch (count,)."""
        ...

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1], a copy."""
        ...

    @property
    def loads(self) -> Array:
        """Force in N, world, and torque in N m, body (count, 6), that disturb the episodes."""
        ...

    @property
    def steps(self) -> NDArray[Any]:
        """Steps (count,) flown in the present episodes."""
        ...

    @property
    def references(self) -> Reference:
        """The points that errors are measured from, batch (count,)."""
        ...

    @property
    def throttles(self) -> Array:
        """Throttle (count, 4) that the last step commanded."""
        ...

    @property
    def histories(self) -> NDArray[Any]:
        """Last actions (count, history_steps, 4), oldest first."""
        ...

    def reset(self, *, seed: int | None = None) -> NDArray[Any]:
        """Begin an episode on every drone and return observations."""
        ...

    def restart(self, drones: NDArray[Any]) -> None:
        """Begin the next episodes of the drones of a mask (count,) or of some numbers."""
        ...

    def step(self, actions: NDArray[Any], *, auto_reset: bool = True) -> None:
        """Fly one control period with actions (count, 4)."""
        ...

    def set_coefficients(self, coefficients: RewardCoefficients) -> None:
        """Use other weights of the reward from the next step on."""
        ...

    def set_states(self, state: State, rotors: Array) -> None:
        """Put the drones into states (count,) with rotors (count, 4), at step 0."""
        ...

    def set_references(self, reference: Reference, *, observe: bool = True) -> None:
        """Move the points that errors are measured from."""
        ...

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Give each drone the disturbance of its present episode."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes in flight."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot."""
        ...

    def close(self) -> None:
        """Free what the drones hold; closing twice does no harm."""
        ...


class ConcatenatedDrones:
    """Groups of drones behind the interface of one batch, in the order of the groups.

    What a property returns is a copy.
    """

    def __init__(self, groups: Sequence[Drones]) -> None:
        """Join groups of one airframe and control period.

        Raises:
            UserError: There is no group, or airframe or control period differ.
        """
        same = {(group.quadrotor.name, group.control_period) for group in groups}
        if len(same) != 1:
            raise UserError("joined drones must be of one airframe and one control period")
        self.groups = tuple(groups)
        self.quadrotor, self.control_period = groups[0].quadrotor, groups[0].control_period
        self.count = sum(group.count for group in groups)
        self._ends = np.cumsum([group.count for group in groups])[:-1]

    @property
    def observations(self) -> NDArray[Any]:
        """Observations (count, 18)."""
        return self._gather(lambda group: group.observations)

    @property
    def final_observations(self) -> NDArray[Any]:
        """Last observations (count, 18) of the episodes that the last step ended."""
        return self._gather(lambda group: group.final_observations)

    @property
    def rewards(self) -> Array:
        """Rewards (count,) of the last step."""
        return self._gather(lambda group: group.rewards)

    @property
    def reward_parts(self) -> NDArray[np.float32]:
        """What each coefficient multiplies in the last step's rewards (count, 5)."""
        return self._gather(lambda group: group.reward_parts)

    @property
    def terminated(self) -> NDArray[Any]:
        """Whether each drone (count,) crashed in the last step."""
        return self._gather(lambda group: group.terminated)

    @property
    def truncated(self) -> NDArray[Any]:
        """Whether each episode (count,) reached the cap in the last step."""
        return self._gather(lambda group: group.truncated)

    @property
    def state(self) -> State:
        """True states, batch (count,)."""
        states = [group.state for group in self.groups]
        return State(
            np.concatenate([x.position for x in states]),
            np.concatenate([x.quaternion for x in states]),
            np.concatenate([x.velocity for x in states]),
            np.concatenate([x.body_rates for x in states]),
        )

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1]."""
        return self._gather(lambda group: group.rotors)

    @property
    def loads(self) -> Array:
        """Force in N, world, and torque in N m, body (count, 6), that disturb the episodes."""
        return self._gather(lambda group: group.loads)

    @property
    def steps(self) -> NDArray[Any]:
        """Steps (count,) flown in the present episodes."""
        return self._gather(lambda group: group.steps)

    @property
    def references(self) -> Reference:
        """The points that errors are measured from, batch (count,)."""
        references = [group.references for group in self.groups]
        return Reference(
            np.concatenate([x.position for x in references]),
            np.concatenate([x.velocity for x in references]),
        )

    @property
    def throttles(self) -> Array:
        """Throttle (count, 4) that the last step commanded."""
        return self._gather(lambda group: group.throttles)

    @property
    def histories(self) -> NDArray[Any]:
        """Last actions (count, history_steps, 4), oldest first."""
        return self._gather(lambda group: group.histories)

    def reset(self, *, seed: int | None = None) -> NDArray[Any]:
        """Begin an episode on every drone and return observations (count, 18)."""
        for group in self.groups:
            group.reset(seed=seed)
        return self.observations

    def restart(self, drones: NDArray[Any]) -> None:
        """Begin the next episodes of the drones of a mask (count,) or of some numbers.

        Raises:
            UserError: The mask has another shape, or there is no drone of a number.
        """
        mask = np.zeros(self.count, np.bool_)
        mask[numbers_of(drones, self.count)] = True
        for group, part in zip(self.groups, self._split(mask), strict=True):
            group.restart(part)

    def step(self, actions: NDArray[Any], *, auto_reset: bool = True) -> None:
        """Fly one control period with actions (count, 4).

        Raises:
            UserError: The actions have another shape.
        """
        check_actions(actions, self.count)
        for group, part in zip(self.groups, self._split(np.asarray(actions)), strict=True):
            group.step(part, auto_reset=auto_reset)

    def set_coefficients(self, coefficients: RewardCoefficients) -> None:
        """Use other weights of the reward from the next step on."""
        for group in self.groups:
            group.set_coefficients(coefficients)

    def set_states(self, state: State, rotors: Array) -> None:
        """Put the drones into states (count,) with rotors (count, 4), at step 0."""
        parts = (state.position, state.quaternion, state.velocity, state.body_rates, rotors)
        for group, *values in zip(self.groups, *map(self._split, parts), strict=True):
            group.set_states(State(*values[:4]), values[4])

    def set_references(self, reference: Reference, *, observe: bool = True) -> None:
        """Move the points that errors are measured from, batch (count,) or one for all."""
        shape = (self.count, 3)
        positions = self._split(np.broadcast_to(reference.position, shape))
        velocities = self._split(np.broadcast_to(reference.velocity, shape))
        for group, position, velocity in zip(self.groups, positions, velocities, strict=True):
            group.set_references(Reference(position, velocity), observe=observe)

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Give each drone the disturbance of its present episode."""
        first = 0
        for group in self.groups:
            group.set_disturbances(disturbances[first : first + group.count])
            first += group.count

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes in flight."""
        return {str(number): group.snapshot() for number, group in enumerate(self.groups)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot of equal groups."""
        for number, group in enumerate(self.groups):
            group.restore(snapshot[str(number)])

    def close(self) -> None:
        """Free what the drones hold; closing twice does no harm."""
        for group in self.groups:
            group.close()

    def _gather(self, read: Callable[[Drones], NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([read(group) for group in self.groups])

    def _split(self, values: NDArray[Any]) -> list[NDArray[Any]]:
        return np.split(values, self._ends)

"""The interface that batches of drones meet in either simulator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol, get_args

from numpy.typing import NDArray

from snn_controller.vehicle import Array, Quadrotor, Reference, State
from snn_sim.task import Disturbance, RewardCoefficients

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

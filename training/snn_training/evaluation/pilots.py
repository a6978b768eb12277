"""What flies an episode: the geometric guide or a trained policy, behind one interface."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from snn_controller.control import (
    GuideGains,
    RateGains,
    autopilot_gains,
    control_rates,
    geometric_control,
)
from snn_controller.policy import Policy, PolicyMetadata, network_size
from snn_controller.vehicle import (
    ActionKind,
    Array,
    Quadrotor,
    Reference,
    State,
    command_from_action,
    load_quadrotor,
)
from snn_sim.task import CONTROL_RATE
from snn_training.rollouts import BatchedPolicy

GEOMETRIC = "geometric"
GEOMETRIC_AIRFRAME = "crazyflie21"
EASY_LEAD = 2.0  # motor-lag lead of the calibration controller where it starts at the target


class Pilot(Protocol):
    """Anything that turns states into throttle, step by step, of one drone or of a batch."""

    def reset(self) -> None:
        """Forget the last episode."""
        ...

    def step(self, state: State, reference: Reference, rotors: Array) -> tuple[Array, Array]:
        """Return action (..., 4) in [-1, 1] and throttle (..., 4) in [0, 1] for a state."""
        ...

    def heed(self, action: Array) -> None:
        """Take note that another action (..., 4) was flown than the last that `step` gave."""
        ...

    @property
    def spikes(self) -> dict[str, NDArray[np.bool_]]:
        """Spikes of the last step, layer -> (..., neurons)."""
        ...

    @property
    def synaptic_ops(self) -> Any:
        """Synaptic operations (...) of the last step."""
        ...


class Ticking(Protocol):
    """A policy with its neuron state: `Policy` of one drone, `BatchedPolicy` of many."""

    metadata: PolicyMetadata

    def reset(self) -> None:
        """Forget the past."""
        ...

    def step(self, observation: NDArray[np.float32], /) -> NDArray[np.float32]:
        """Return the action (..., 4) for an observation (..., size)."""
        ...

    def heed(self, flown: NDArray[np.float32], /) -> None:
        """Remember that other actions (..., 4) were flown than the last that `step` gave."""
        ...

    @property
    def spikes(self) -> dict[str, NDArray[np.bool_]]:
        """Spikes of the last tick, layer -> (..., neurons)."""
        ...

    @property
    def synaptic_ops(self) -> Any:
        """Synaptic operations (...) of the last tick."""
        ...


class GeometricPilot:
    """The geometric controller on the true state."""

    def __init__(self, quadrotor: Quadrotor, gains: GuideGains) -> None:
        self.spikes: dict[str, NDArray[np.bool_]] = {}
        self.synaptic_ops = 0
        self._quadrotor = quadrotor
        self._gains = gains

    def reset(self) -> None:
        """Do nothing: the controller has no memory."""

    def heed(self, action: Array) -> None:
        """Do nothing: the controller has no memory."""

    def step(self, state: State, reference: Reference, rotors: Array) -> tuple[Array, Array]:
        """Return action (..., 4) and throttle (..., 4)."""
        action = geometric_control(
            state, reference, rotors, quadrotor=self._quadrotor, gains=self._gains
        )
        return action, command_from_action(action, "motors").values


class PolicyPilot:
    """A trained policy behind the observation that it sees in flight."""

    def __init__(
        self, policy: Ticking, quadrotor: Quadrotor, *, reset_every_tick: bool = False
    ) -> None:
        """Wrap a policy; `reset_every_tick` takes its memory away, to see what it is worth."""
        self.size = network_size(policy.metadata)
        self._policy = policy
        self._quadrotor = quadrotor
        self._kind: ActionKind = policy.metadata.action_kind
        self._observe = policy.metadata.observation.observe
        self._rate_gains = autopilot_gains(quadrotor)
        self._reset_every_tick = reset_every_tick

    @property
    def spikes(self) -> dict[str, NDArray[np.bool_]]:
        """Spikes of the last step, layer -> (..., neurons)."""
        return self._policy.spikes

    @property
    def synaptic_ops(self) -> Any:
        """Synaptic operations (...) of the last step."""
        return self._policy.synaptic_ops

    def reset(self) -> None:
        """Zero the neuron states."""
        self._policy.reset()

    def step(self, state: State, reference: Reference, rotors: Array) -> tuple[Array, Array]:
        """Return action and throttle (..., 4), behind the rate loop where the kind needs it."""
        if self._reset_every_tick:
            self._policy.reset()
        action = self._policy.step(self._observe(state, reference)).astype(np.float64)
        values = command_from_action(action, self._kind).values
        if self._kind == "thrust_rates":
            quadrotor, gains = self._quadrotor, self._rate_gains
            values = control_rates(
                values, state.body_rates, rotors, quadrotor=quadrotor, gains=gains
            )
        return action, values

    def heed(self, action: Array) -> None:
        """Tell the policy what was flown, where it sees its last action."""
        self._policy.heed(action.astype(np.float32))


def load_pilot(
    policy: str,
    cell: str,
    *,
    batch: int | None = None,
    forget: bool = False,
    target_return: float | None = None,
) -> tuple[Pilot, Quadrotor]:
    """Return what flies a cell or track, and the airframe it flies.

    Args:
        policy: A file, or `geometric`.
        cell: Cell or track of the fixed test.
        batch: Number of drones to fly at once; None flies one at a time.
        forget: Reset the policy every tick.
        target_return: To ask of the policy; its own if None.

    Raises:
        UserError: The policy file is unusable or of another control rate than the test's.
    """
    if policy == GEOMETRIC:
        quadrotor = load_quadrotor(GEOMETRIC_AIRFRAME)
        rate = RateGains(lead=EASY_LEAD) if cell == "easy" else RateGains()
        return GeometricPilot(quadrotor, GuideGains(rate=rate)), quadrotor
    loaded = Policy.load(policy, control_rate=CONTROL_RATE)
    if target_return is not None:
        loaded.aim(target_return)
    quadrotor = load_quadrotor(loaded.metadata.airframe)
    ticking = loaded if batch is None else BatchedPolicy(loaded, batch)
    return PolicyPilot(ticking, quadrotor, reset_every_tick=forget), quadrotor

"""Drones that are flown by thrust and body rates: a rate loop between the actions and the motors.

The same loop runs in scoring and in the simulated flight controller. Rewards charge the throttle
that it commands.

`RateVariation` gives every episode the loop of another autopilot: gains, lags and delays around
those of ours. A policy that has met them flies behind loops it was not trained with. What they look
like: behind Betaflight roll and pitch follow 15 ms late as a second-order lag of 38 to 42 rad/s
with a damping of 0.5 to 0.6 (docs/real_flight.md), and no firmware leads the motors on collective
thrust.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from snn_controller.control import (
    AUTOPILOT_LAG,
    RateGains,
    autopilot_gains,
    desired_throttle,
    lead_for,
)
from snn_controller.vehicle import (
    BODY_RATES,
    Array,
    Quadrotor,
    Reference,
    State,
    action_from_throttle,
    thrust_rates_from_action,
)
from snn_sim.envs.drones import Drones
from snn_sim.task import ActionHistory, Disturbance, RewardCoefficients, check_actions

MAX_DELAY = 3  # ticks from a command to the loop that follows it


@dataclass(frozen=True)
class RateVariation:
    """Factors on the loop's gains and on the lag that it leaves, drawn uniformly.

    The lead on collective thrust is a uniform share of that on torque, down to none.
    """

    tilt: tuple[float, float] = (0.6, 1.4)
    yaw: tuple[float, float] = (0.5, 1.6)
    lag: tuple[float, float] = (0.6, 1.5)
    delay: tuple[float, float] = (0.0, 3.0)
    """Ticks that a command is on its way to the loop, at most `MAX_DELAY`."""


class RateLoops(NamedTuple):
    """One loop a drone."""

    rates: Array  # (n, 3) gains per body axis in 1/s
    lead: Array  # (n, 1) on what turns the drone
    thrust_lead: Array  # (n, 1) on what all rotors have in common
    delivery: Array  # (n, 1 + MAX_DELAY) shares of the commands of 0, 1, ... ticks ago


def same_loops(gains: RateGains, count: int) -> RateLoops:
    """Return the same loop for so many drones."""
    lead = np.full((count, 1), gains.lead)
    at_once = deliver(np.zeros(count))
    return RateLoops(np.tile(gains.rates, (count, 1)), lead, lead.copy(), at_once)


def draw_loops(
    variation: RateVariation, quadrotor: Quadrotor, count: int, rng: np.random.Generator
) -> RateLoops:
    """Draw a loop for each of so many drones; five numbers a drone."""
    ranges = (variation.tilt, variation.yaw, variation.lag, (0.0, 1.0), variation.delay)
    low, high = np.transpose(ranges)
    tilt, yaw, lag, share, delay = rng.uniform(low, high, (count, 5)).T
    lead = lead_for(quadrotor, AUTOPILOT_LAG * lag)
    factors = np.stack([tilt, tilt, yaw], axis=1)
    rates = autopilot_gains(quadrotor).rates * factors
    return RateLoops(rates, lead[:, None], (share * lead)[:, None], deliver(delay))


def deliver(delay: Array) -> Array:
    """Return shares (n, 1 + MAX_DELAY) of present and past commands for delays (n,) in ticks.

    A command that arrives within a tick takes over from the one before for the rest of it; over
    the tick that is the mean of both.
    """
    return np.clip(1.0 - np.abs(delay[:, None] - np.arange(1 + MAX_DELAY)), 0.0, None)


def control_by_loops(
    thrust_rates: Array, body_rates: Array, rotors: Array, *, quadrotor: Quadrotor, loops: RateLoops
) -> Array:
    """Return throttle (n, 4) in [0, 1], as `rate_control.control_rates` but one loop a drone.

    Args:
        thrust_rates: Collective thrust in m/s^2 and body rates in rad/s (n, 4).
        body_rates: Measured body rates (n, 3) in rad/s.
        rotors: Present rotor state (n, 4).
        quadrotor: Airframe that the loops count on.
        loops: Of the drones.
    """
    desired = desired_throttle(thrust_rates, body_rates, loops.rates, quadrotor)
    ahead = desired - rotors
    common = ahead.mean(axis=1, keepdims=True)
    return np.clip(desired + loops.lead * (ahead - common) + loops.thrust_lead * common, 0.0, 1.0)


class RateControlledDrones:
    """A batch of either simulator whose actions are of the kind `thrust_rates`.

    Where the loop's commands come late, an episode begins as if a hover had been asked for.

    The loop sees the body rates that the observation shows, with its noise, bias and dropouts, as
    the fixed test's does, and the true rotors. It counts on the nominal airframe.
    """

    def __init__(
        self,
        drones: Drones,
        gains: RateGains,
        *,
        variation: RateVariation | None = None,
        history_steps: int = 0,
        seed: int = 0,
    ) -> None:
        """Put loops before drones that take motor actions, at the start of their episodes.

        Args:
            drones: Of either simulator.
            gains: Of the loop that all have.
            variation: Draws another loop for every episode instead.
            history_steps: Actions that `histories` shows.
            seed: Of the variation; an episode's loop depends on it and on the numbers of drone
                and episode alone.
        """
        self.drones, self.variation, self.seed = drones, variation, seed
        self.quadrotor = drones.quadrotor
        self.count = drones.count
        self.control_period = drones.control_period
        self._history = ActionHistory(self.count, history_steps)
        self.loops = same_loops(gains, self.count)
        self._commands = np.zeros((self.count, 1 + MAX_DELAY, 4))  # actions, newest first
        self._episodes = np.zeros(self.count, np.int64)  # begun so far
        self._begin(np.arange(self.count))

    @property
    def observations(self) -> NDArray[Any]:
        """Observations (count, 18)."""
        return self.drones.observations

    @property
    def final_observations(self) -> NDArray[Any]:
        """Last observations (count, 18) of the episodes that the last step ended."""
        return self.drones.final_observations

    @property
    def rewards(self) -> Array:
        """Rewards (count,) of the last step, for the rotor throttle after the loop."""
        return self.drones.rewards

    @property
    def reward_parts(self) -> NDArray[np.float32]:
        """What each coefficient multiplies in the last step's rewards (count, 5)."""
        return self.drones.reward_parts

    @property
    def terminated(self) -> NDArray[Any]:
        """Whether each drone (count,) crashed in the last step."""
        return self.drones.terminated

    @property
    def truncated(self) -> NDArray[Any]:
        """Whether each episode (count,) reached the cap in the last step."""
        return self.drones.truncated

    @property
    def state(self) -> State:
        """True states, a copy, batch (count,)."""
        return self.drones.state

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1], a copy."""
        return self.drones.rotors

    @property
    def loads(self) -> Array:
        """Constant force in N, world, and torque in N m, body (count, 6)."""
        return self.drones.loads

    @property
    def steps(self) -> NDArray[Any]:
        """Steps (count,) flown in the present episodes."""
        return self.drones.steps

    @property
    def references(self) -> Reference:
        """The points that errors are measured from, batch (count,)."""
        return self.drones.references

    @property
    def throttles(self) -> Array:
        """Throttle (count, 4) that the loop commanded in the last step."""
        return self.drones.throttles

    @property
    def histories(self) -> NDArray[np.float32]:
        """Last actions (count, history_steps, 4) of the kind `thrust_rates`, oldest first.

        An episode begins as if the thrust that its rotors show, and no rates, had been asked for.
        """
        return self._history.actions

    def reset(self, *, seed: int | None = None) -> NDArray[Any]:
        """Begin an episode on every drone and return observations."""
        observations = self.drones.reset(seed=seed)
        if seed is not None:
            self.seed, self._episodes[:] = seed, 0
        self._begin(np.arange(self.count))
        return observations

    def restart(self, drones: NDArray[Any]) -> None:
        """Begin the next episodes of the drones of a mask (count,) or of some numbers."""
        self.drones.restart(drones)
        self._begin(np.arange(self.count)[drones])

    def step(self, actions: NDArray[np.floating], *, auto_reset: bool = True) -> None:
        """Fly one control period with actions (count, 4): thrust and body rates, clipped to +-1.

        Raises:
            UserError: The actions have another shape.
        """
        check_actions(actions, self.count)
        self._commands[:, 1:] = self._commands[:, :-1].copy()
        self._commands[:, 0] = np.clip(actions, -1.0, 1.0)
        arrived = np.einsum("nk,nka->na", self.loops.delivery, self._commands)
        throttle = control_by_loops(
            thrust_rates_from_action(arrived),
            self.observations[:, BODY_RATES].astype(np.float64),
            self.rotors,
            quadrotor=self.quadrotor,
            loops=self.loops,
        )
        self.drones.step(action_from_throttle(throttle), auto_reset=auto_reset)
        self._history.append(actions)
        if auto_reset:
            self._begin(np.flatnonzero(self.terminated | self.truncated))

    def set_coefficients(self, coefficients: RewardCoefficients) -> None:
        """Use other weights of the reward from the next step on."""
        self.drones.set_coefficients(coefficients)

    def set_states(self, state: State, rotors: Array) -> None:
        """Put the drones into states (count,) with rotors (count, 4), at step 0."""
        self.drones.set_states(state, rotors)
        self._begin_histories(np.arange(self.count))

    def set_references(self, reference: Reference, *, observe: bool = True) -> None:
        """Move the points that errors are measured from."""
        self.drones.set_references(reference, observe=observe)

    def set_disturbances(self, disturbances: Sequence[Disturbance]) -> None:
        """Give each drone the disturbance of its present episode."""
        self.drones.set_disturbances(disturbances)

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes in flight."""
        return {
            **self.drones.snapshot(),
            "history": self._history.snapshot(),
            "loops": self.loops._asdict(),
            "commands": self._commands.copy(),
            "loop_episodes": self._episodes,
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot."""
        self._history.restore(snapshot["history"])
        self.loops = RateLoops(**{k: np.array(x) for k, x in snapshot["loops"].items()})
        self._commands = np.array(snapshot["commands"])
        self._episodes = np.array(snapshot["loop_episodes"])
        nothing = np.zeros((self.count, 0, 4), np.float32)
        self.drones.restore({**snapshot, "history": nothing})

    def close(self) -> None:
        """Free what the drones hold; closing twice does no harm."""
        self.drones.close()

    def _begin(self, drones: NDArray[np.int64]) -> None:
        """Begin the episodes of some drones: a loop for each, and a history."""
        if self.variation is not None:
            for number in drones:
                rng = np.random.default_rng([self.seed, int(number), int(self._episodes[number])])
                for values, new in zip(
                    self.loops, draw_loops(self.variation, self.quadrotor, 1, rng), strict=True
                ):
                    values[number] = new[0]
        self._episodes[drones] += 1
        self._commands[drones] = 0.0
        self._begin_histories(drones)

    def _begin_histories(self, drones: NDArray[np.int64]) -> None:
        if self._history.steps and len(drones):
            thrust = self.quadrotor.thrust(self.rotors[drones]).sum(axis=1)
            self._history.begin(drones, action_from_thrust(thrust, self.quadrotor))


def action_from_thrust(thrust: Array, quadrotor: Quadrotor) -> Array:
    """Return the actions (n, 4) that ask for thrusts in N (n,) and no body rates."""
    actions = np.zeros((len(thrust), 4))
    actions[:, 0] = np.clip(thrust / (quadrotor.mass * quadrotor.gravity) - 1.0, -1.0, 1.0)
    return actions

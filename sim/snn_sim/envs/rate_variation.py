"""Rate loops of other autopilots: gains, lags and delays around those of ours, one loop a drone.

A policy that has met them flies behind loops it was not trained with. What they look like: behind
Betaflight roll and pitch follow 15 ms late as a second-order lag of 38 to 42 rad/s with a damping
of 0.5 to 0.6 (docs/real_flight.md), and no firmware leads the motors on collective thrust.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from snn_controller.control import (
    AUTOPILOT_LAG,
    RateGains,
    autopilot_gains,
    desired_throttle,
    lead_for,
)
from snn_controller.vehicle import Array, Quadrotor

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

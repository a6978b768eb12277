"""Body-rate loop of a flight controller: collective thrust and body rates to motor throttle.

The inner half of the guide, and what the simulated flight controller runs for `thrust_rates`
commands. Accepts leading batch dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from snn_controller.vehicle import Array, Quadrotor

AUTOPILOT_LAG = 0.024  # s, what an autopilot's loop leaves of the motors' lag


@dataclass(frozen=True)
class RateGains:
    """Gains of the rate loop."""

    tilt_rate: float = 32.0  # 1/s, roll and pitch
    yaw_rate: float = 8.0  # 1/s
    lead: float = 5.0  # how far the throttle command runs ahead of the rotors' state

    @property
    def rates(self) -> Array:
        """Gains per body axis (3,) in 1/s."""
        return np.array([self.tilt_rate, self.tilt_rate, self.yaw_rate])


def autopilot_gains(quadrotor: Quadrotor) -> RateGains:
    """Return the loop of a well-tuned autopilot, which flies the commands `thrust_rates`.

    Its lead leaves 24 ms of the motors' lag: the rates then follow as a second-order lag of
    37 rad/s with a damping of 0.57, as those measured behind Betaflight's loop (38 to 42 rad/s,
    0.5 to 0.6). Faster motors get no lead, which at 100 Hz would make them swing.
    """
    return RateGains(lead=float(lead_for(quadrotor, AUTOPILOT_LAG)))


def lead_for(quadrotor: Quadrotor, lag: float | Array) -> Any:
    """Return the lead that shortens the motors' lag to so many s, 0 where it is shorter."""
    return np.maximum(quadrotor.motor_time_constant_up / lag - 1.0, 0.0)


def control_rates(
    thrust_rates: Array,
    body_rates: Array,
    rotors: Array,
    *,
    quadrotor: Quadrotor,
    gains: RateGains,
) -> Array:
    """Return throttle (..., 4) in [0, 1] that produces a thrust and turns towards body rates.

    Args:
        thrust_rates: Collective thrust in m/s^2 and body rates in rad/s (..., 4).
        body_rates: Measured body rates (..., 3) in rad/s.
        rotors: Present rotor state (..., 4), the throttle the motors have reached.
        quadrotor: Airframe.
        gains: Gains of the loop.
    """
    desired = desired_throttle(thrust_rates, body_rates, gains.rates, quadrotor)
    return np.clip(desired + gains.lead * (desired - rotors), 0.0, 1.0)


def desired_throttle(
    thrust_rates: Array, body_rates: Array, rates: Array, quadrotor: Quadrotor
) -> Array:
    """Return the throttle (..., 4) that the rotors should have reached, without any lead.

    Args:
        thrust_rates: Collective thrust in m/s^2 and body rates in rad/s (..., 4).
        body_rates: Measured body rates (..., 3) in rad/s.
        rates: Gains per body axis (..., 3) in 1/s.
        quadrotor: Airframe.
    """
    torque = quadrotor.inertia * rates * (thrust_rates[..., 1:] - body_rates)
    force = quadrotor.mass * thrust_rates[..., :1]
    wrench = np.concatenate([force, torque], axis=-1)
    return quadrotor.throttle(wrench @ quadrotor.inverse_mixer.T)

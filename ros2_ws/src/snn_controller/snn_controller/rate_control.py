"""Body-rate loop of a flight controller: collective thrust and body rates to motor throttle.

The inner half of the guide, and what the simulated flight controller runs for `thrust_rates`
commands. Accepts leading batch dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from snn_controller.frames import Array
from snn_controller.quadrotor import Quadrotor


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
    torque = quadrotor.inertia * gains.rates * (thrust_rates[..., 1:] - body_rates)
    force = quadrotor.mass * thrust_rates[..., :1]
    wrench = np.concatenate([force, torque], axis=-1)
    desired = quadrotor.throttle(wrench @ quadrotor.inverse_mixer.T)
    return np.clip(desired + gains.lead * (desired - rotors), 0.0, 1.0)

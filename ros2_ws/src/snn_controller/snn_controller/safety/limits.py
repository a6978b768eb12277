"""The limits of a flight: parameters of the controller node, one declaration each. SI units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snn_controller.parameter import setting
from snn_controller.vehicle import Array, FrameNames


@dataclass(frozen=True)
class Limits(FrameNames):
    """What a flight must stay within; lists of numbers are checked by `preparation`."""

    geofence: list[float] = setting(
        [-3.0, 3.0, -3.0, 3.0, -0.5, 3.0], "x, y, z bounds in m: low, high, low, high, low, high"
    )
    max_tilt_deg: float = setting(120.0, "tilt at which the guide takes over", low=1.0, high=180.0)
    max_speed: float = setting(
        5.0, "speed in m/s at which the guide takes over", low=0.1, high=100.0
    )
    max_body_rate: float = setting(
        25.0, "body rate in rad/s about one axis at which the guide takes over", low=0.1, high=200.0
    )
    overturned_time: float = setting(
        1.0,
        "time in s beyond max_tilt_deg under the guide after which motors stop",
        low=0.0,
        high=60.0,
    )
    odometry_timeout: float = setting(
        0.1, "age or silence of the odometry in s that counts as lost", low=0.01, high=10.0
    )
    frozen_time: float = setting(
        0.2,
        "time in s that odometry in the air may repeat one state to the last bit",
        low=0.05,
        high=3600.0,
    )
    max_position_jump: float = setting(
        0.3,
        "change of position in m between two samples beyond what the velocity explains",
        low=0.001,
        high=100.0,
    )
    max_velocity_jump: float = setting(
        1.5,
        "change of velocity in m/s between two samples beyond what 4 g explain",
        low=0.01,
        high=100.0,
    )
    max_attitude_jump_deg: float = setting(
        30.0,
        "turn in degrees between two samples beyond what the body rates explain",
        low=0.1,
        high=180.0,
    )
    max_position_deviation: float = setting(
        0.3, "standard deviation of the position in m, where odometry states it", low=0.0, high=1e3
    )
    max_velocity_deviation: float = setting(
        1.0,
        "standard deviation of the velocity in m/s, where odometry states it",
        low=0.0,
        high=1e3,
    )
    max_attitude_deviation_deg: float = setting(
        15.0,
        "standard deviation of the attitude in degrees, where odometry states it",
        low=0.0,
        high=180.0,
    )
    max_missed_share: float = setting(
        0.2, "share of a second's ticks that may be missed, or be late", low=0.0, high=1.0
    )
    max_tick_age: float = setting(
        0.05, "age in s of the odometry beyond which a tick is late", low=0.001, high=10.0
    )
    max_saturation: float = setting(
        0.9, "share of the actions in action_window that may be at a limit", low=0.0, high=1.0
    )
    max_action_step: float = setting(
        0.6, "mean step of the actions in action_window, of a range of 2", low=0.0, high=2.0
    )
    action_window: float = setting(
        0.3,
        "time in s over which saturation and steps are judged",
        low=0.0,
        high=60.0,
    )
    layer_window: float = setting(  # a layer gone for 0.1 s has tipped a Crazyflie over
        0.05, "time in s that a layer may be all silent or all firing", low=0.0, high=60.0
    )
    link_timeout: float = setting(
        0.3, "silence of the flight controller in s that counts as a lost link", low=0.02, high=60.0
    )
    min_battery_voltage: float = setting(
        0.0, "voltage in V below which the drone lands; 0 to ignore", low=0.0, high=1000.0
    )
    battery_window: float = setting(
        1.0, "time in s that the voltage may sag below min_battery_voltage", low=0.0, high=60.0
    )

    @cached_property
    def geofence_lower(self) -> Array:
        """Low corner (3,) of the box in m."""
        return np.array(self.geofence[::2], dtype=np.float64)

    @cached_property
    def geofence_upper(self) -> Array:
        """High corner (3,) of the box in m."""
        return np.array(self.geofence[1::2], dtype=np.float64)

    @cached_property
    def cosine_of_tilt(self) -> float:
        """Cosine of the largest tilt."""
        return float(np.cos(np.deg2rad(self.max_tilt_deg)))

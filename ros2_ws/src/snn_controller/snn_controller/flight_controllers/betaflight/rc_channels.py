"""Collective thrust and body rates to Betaflight's stick positions, by the vehicle's own settings.

Betaflight turns a stick into a rate by one of five formulas. Each is evaluated here at every pulse
width, and the pulse width whose rate is nearest is looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight.msp_messages import RateProfile, Receiver
from snn_controller.flight_controllers.shared.estimate import throttle_from_thrust
from snn_controller.vehicle import RATE_LIMITS, Array, Command

LOW, HIGH = 1000, 2000  # us, the ends of every stick
SPAN = 500  # us from the middle to an end
HIGHEST_RATE = 1998.0  # degrees/s, the firmware's own limit
# RcChannels to body rates FLU: roll and pitch have the rates' sign, yaw the opposite one.
SIGNS = (1.0, 1.0, -1.0)
AXES = ("roll", "pitch", "yaw")


@dataclass(frozen=True)
class RcChannels:
    """The settings that commands are translated by."""

    rates: tuple[Array, Array, Array]  # rad/s at 0 to `SPAN` us from the middle: roll, pitch, yaw
    receiver: Receiver
    hover_thrust: float  # throttle that carries the weight
    thrust_curve: float  # thrust over throttle: 0 linear ... 1 square

    def pulses(self, command: Command) -> tuple[int, int, int, int]:
        """Return the pulse widths in us of roll, pitch, yaw and throttle."""
        if command.stop:
            middle = self.receiver.middle
            return middle, middle, middle, LOW
        thrust, *rates = command.values.tolist()
        roll, pitch, yaw = (
            self.receiver.middle + round(sign * nearest_offset(table, rate))
            for sign, table, rate in zip(SIGNS, self.rates, rates, strict=True)
        )
        return roll, pitch, yaw, self._throttle(thrust)

    def _throttle(self, thrust: float) -> int:
        throttle = throttle_from_thrust(thrust, self.hover_thrust, self.thrust_curve)
        low = self.receiver.low
        return round(low + (HIGH - low) * throttle)


def nearest_offset(table: Array, rate: float) -> float:
    """Return the stick offset in us, with the rate's sign, whose rate is nearest."""
    offset = float(np.interp(abs(rate), table, np.arange(len(table))))
    return offset if rate >= 0.0 else -offset


def rate_tables(
    profile: RateProfile, deadbands: tuple[int, int, int]
) -> tuple[Array, Array, Array]:
    """Return the body rates in rad/s at stick offsets of 0 to `SPAN` us, for roll, pitch and yaw.

    Raises:
        UserError: The vehicle uses a formula that is unknown here, or one that cannot be inverted.
    """
    formula = _FORMULAS.get(profile.kind)
    if formula is None:
        raise UserError(
            f"the vehicle uses rates type {profile.kind}, which is unknown here; choose 'actual'"
            " in the Configurator's Rates tab"
        )
    if profile.kind == QUICK and any(profile.expo):  # which expo it means is told nowhere
        raise UserError(
            "the vehicle uses 'quick' rates with expo; set expo to 0 or choose 'actual' in the"
            " Configurator's Rates tab"
        )
    offsets = np.arange(SPAN + 1)
    roll, pitch, yaw = (
        _table(formula, profile, axis, np.maximum(offsets - band, 0.0) / (SPAN - band))
        for axis, band in enumerate(deadbands)
    )
    return roll, pitch, yaw


def check_rates(tables: tuple[Array, Array, Array]) -> None:
    """Refuse rates that do not reach what a policy may ask for.

    Raises:
        UserError: An axis is too slow.
    """
    for name, table, needed in zip(AXES, tables, RATE_LIMITS.tolist(), strict=True):
        if table[-1] < needed:
            raise UserError(
                f"the vehicle's {name} rate ends at {table[-1]:.1f} rad/s but policies ask for"
                f" {needed:g} rad/s; set a maximum of at least {np.degrees(needed):.0f} degrees/s"
                " in the Configurator's Rates tab"
            )


def _table(
    formula: Callable[[Array, float, float, float], Array],
    profile: RateProfile,
    axis: int,
    stick: Array,
) -> Array:
    degrees = formula(stick, profile.rc_rates[axis], profile.rates[axis], profile.expo[axis])
    highest = min(profile.limits[axis] or HIGHEST_RATE, HIGHEST_RATE)
    table = np.radians(np.minimum(degrees, highest))
    if not np.isfinite(table).all() or (np.diff(table) < 0.0).any() or table[-1] <= 0.0:
        raise UserError(
            f"the vehicle's {AXES[axis]} rate does not grow with the stick; restore the defaults in"
            " the Configurator's Rates tab"
        )
    return table


# The formulas of the firmware's documentation; x is the stick in [0, 1], the settings are as sent.


def _betaflight(x: Array, rc_rate: float, rate: float, expo: float) -> Array:
    curved = x * (x**3 * expo + 100.0 - expo) / 100.0
    gain = rc_rate / 100.0
    if gain > 2.0:
        gain += 14.54 * (gain - 2.0)
    # the stick itself, not its curve, drives the super rate
    return 200.0 * gain * curved / np.clip(1.0 - x * rate / 100.0, 0.01, 1.0)


def _raceflight(x: Array, rc_rate: float, rate: float, expo: float) -> Array:
    curved = (1.0 + 0.01 * expo * (x**2 - 1.0)) * x
    return 10.0 * rc_rate * curved * (1.0 + x * rate * 0.01)


def _kiss(x: Array, rc_rate: float, rate: float, expo: float) -> Array:
    curved = (x**3 * expo + x * (100.0 - expo)) / 100.0 * rc_rate / 1000.0
    return 2000.0 * curved / np.clip(1.0 - x * rate / 100.0, 0.01, 1.0)


def _actual(x: Array, rc_rate: float, rate: float, expo: float) -> Array:
    curved = x * (x**5 * expo + x * (100.0 - expo)) / 100.0
    centre = 10.0 * rc_rate
    return x * centre + max(0.0, 10.0 * rate - centre) * curved


def _quick(x: Array, rc_rate: float, rate: float, _: float) -> Array:
    centre = 2.0 * rc_rate
    highest = max(10.0 * rate, centre)
    share = 1.0 - centre / highest if highest > 0.0 else 0.0
    return x * centre / np.clip(1.0 - x * share, 0.01, 1.0)


QUICK = 4
_FORMULAS = {0: _betaflight, 1: _raceflight, 2: _kiss, 3: _actual, QUICK: _quick}

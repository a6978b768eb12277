"""What a link says of its vehicle, held against the limits: heard, obeying, charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from snn_controller.parameter import setting
from snn_controller.safety.guard import Guard, Moment, Rule, Stage, Verdict
from snn_controller.safety.state_machine import FINAL_MODES, Event, Mode
from snn_controller.vehicle import LinkStatus


@dataclass(frozen=True)
class VehicleLimits:
    """How the vehicle must do."""

    link_timeout: float = setting(
        0.3, "silence of the flight controller in s that counts as a lost link", low=0.02, high=60.0
    )
    min_battery_voltage: float = setting(
        0.0, "voltage in V below which the drone lands; 0 to ignore", low=0.0, high=1000.0
    )
    battery_window: float = setting(
        1.0, "time in s that the voltage may sag below min_battery_voltage", low=0.0, high=60.0
    )


class VehicleGuard(Guard):
    """Judges the newest status of a link, from the operator's wish to arm to the flight's end."""

    stage = Stage.VEHICLE
    verdicts: ClassVar[Mapping[str, Rule]] = {
        "battery": Rule("below `min_battery_voltage` for `battery_window`", Event.LAND),
        "link": Rule("flight controller not heard for `link_timeout`", Event.LAND),
        "mode": Rule("the vehicle has disarmed, or left the mode that obeys us", Event.HAND_OVER),
    }

    def __init__(self, limits: VehicleLimits, _rate: float) -> None:
        """Begin with a battery that has not sagged."""
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Forget how the battery did."""
        self._sagging_since: int | None = None

    def check(self, moment: Moment) -> Verdict | None:
        """Say what is wrong with a vehicle that is armed, or is to be, or None."""
        mode, status = moment.mode, moment.status
        if mode in FINAL_MODES or mode is Mode.DISARMED:
            return None
        battery = self._check_battery(status, moment.now)  # its memory must not depend on the rest
        armed = mode not in (Mode.CHECKS, Mode.ARMING)
        control = check_control(status) if armed else None
        return control or check_link(status, self._limits) or battery

    def _check_battery(self, status: LinkStatus, now: int) -> Verdict | None:
        limit = self._limits.min_battery_voltage
        if limit <= 0.0 or status.battery is None or status.battery >= limit:
            self._sagging_since = None
            return None
        if self._sagging_since is None:
            self._sagging_since = now
        if (now - self._sagging_since) * 1e-9 < self._limits.battery_window:
            return None
        return Verdict("battery", f"battery at {status.battery:.2f} V, below {limit:g} V")


def check_control(status: LinkStatus) -> Verdict | None:
    """Say whether pilot or firmware have taken an armed vehicle from us."""
    where = f" (mode {status.mode})" if status.mode else ""
    if not status.armed:
        why = f": {status.refusal}" if status.refusal else ""
        return Verdict("mode", f"the vehicle has disarmed itself{where}{why}")
    if not status.in_control:
        return Verdict("mode", f"the vehicle no longer obeys this controller{where}")
    return None


def check_link(status: LinkStatus, limits: VehicleLimits) -> Verdict | None:
    """Say whether the vehicle has been silent for too long."""
    if status.age <= limits.link_timeout:
        return None
    return Verdict(
        "link",
        f"the flight controller has not been heard for {status.age * 1e3:.0f} ms; check its link",
    )

"""What a link says of its vehicle, held against the limits: heard, obeying, charged."""

from __future__ import annotations

from snn_controller.safety.limits import Limits
from snn_controller.safety.verdicts import Verdict
from snn_controller.vehicle import LinkStatus


class VehicleGuard:
    """Judges the newest status of a link."""

    def __init__(self, limits: Limits) -> None:
        """Begin with a battery that has not sagged."""
        self._limits = limits
        self._sagging_since: int | None = None

    def check(self, status: LinkStatus, now: int) -> Verdict | None:
        """Say what is wrong with an armed vehicle at a time in ns, or None."""
        battery = self._check_battery(status, now)  # its memory must not depend on the rest
        return check_control(status) or check_link(status, self._limits) or battery

    def check_arming(self, status: LinkStatus, now: int) -> Verdict | None:
        """Say why a vehicle that is not armed yet should not be, or None."""
        battery = self._check_battery(status, now)
        return check_link(status, self._limits) or battery

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


def check_link(status: LinkStatus, limits: Limits) -> Verdict | None:
    """Say whether the vehicle has been silent for too long."""
    if status.age <= limits.link_timeout:
        return None
    return Verdict(
        "link",
        f"the flight controller has not been heard for {status.age * 1e3:.0f} ms; check its link",
    )

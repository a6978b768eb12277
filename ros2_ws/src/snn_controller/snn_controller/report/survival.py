"""Whether a flight survived, and the first thing that says it did not. SI units, world ENU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight import TOUCHDOWN_HEIGHT
from snn_controller.flight_log import FlightColumns
from snn_controller.safety import MOTORLESS_MODES, Limits, Mode
from snn_controller.vehicle import Array, quaternion_to_matrix, tilt_angle

POLICY_MODE = Mode.POLICY.value
# motors off: fence and tilt are not judged
RESTING_MODES = tuple(mode.value for mode in Mode if mode in MOTORLESS_MODES)
RELIEF_MODES = (*RESTING_MODES, Mode.FALLBACK.value, Mode.DESCENT.value, Mode.PILOT.value)
DURATION_SLACK = 0.02  # share of the asked duration that start-up and the last tick may cost
DURATION_GRACE = 0.1  # s on top of it


@dataclass(frozen=True)
class FlightBounds:
    """What a flight must keep to."""

    duration: float  # s that the policy was asked to fly
    lands: bool = False  # the task ends on the ground
    limits: Limits = field(default_factory=Limits)  # geofence and tilt
    contact_height: float = TOUCHDOWN_HEIGHT  # m, world z below which the ground was touched


def find_failure(flight: FlightColumns, bounds: FlightBounds) -> str | None:
    """Return one sentence that says why a flight did not survive, or None when it did.

    A flight survives when the policy takes control and keeps it for the asked duration, and the
    drone stays in the geofence, does not touch the ground unasked, never tilts past the limit
    and ends airborne or landed as its task says. The earliest breach is the one reported.
    """
    if not flight.time.size:
        return "no odometry ever reached the controller"
    breaches = list(_breaches(flight, bounds))
    if breaches:
        return min(breaches, key=lambda breach: breach[0])[1]
    return _wrong_end(flight, bounds)


def _breaches(flight: FlightColumns, bounds: FlightBounds) -> Iterator[tuple[int, str]]:
    """Yield the first tick of each kind of breach with its sentence."""
    outside, axis = _outside_fence(flight, bounds.limits)
    low = flight.position[:, 2] < bounds.contact_height
    tilt = _tilt(flight)
    overturned = _flying(flight) & (tilt > np.deg2rad(bounds.limits.max_tilt_deg))
    if (row := _first(outside)) is not None:
        where = f"{'xyz'[axis[row]]} = {flight.position[row, axis[row]]:.2f} m"
        yield row, f"left the geofence at {flight.time[row]:.2f} s ({where})"
    if (row := _first((flight.mode == POLICY_MODE) & low)) is not None:
        yield row, f"touched the ground at {flight.time[row]:.2f} s while the policy flew"
    if (row := _first(overturned)) is not None:
        yield row, f"tilted by {np.rad2deg(tilt[row]):.0f} degrees at {flight.time[row]:.2f} s"
    if (row := _first(_relieved(flight, lands=bounds.lands))) is not None:
        reason = f": {flight.verdict[row]}" if flight.verdict[row] else ""
        mode = flight.mode[row]
        yield row, f"the policy was relieved at {flight.time[row]:.2f} s ({mode}){reason}"


def _flying(flight: FlightColumns) -> NDArray[np.bool_]:
    return ~np.isin(flight.mode, RESTING_MODES)


def _outside_fence(
    flight: FlightColumns, limits: Limits
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return per tick whether a flying drone is outside the fence, and its worst axis."""
    position = flight.position
    excess = np.maximum(limits.geofence_lower - position, position - limits.geofence_upper)
    excess = np.nan_to_num(excess, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    return _flying(flight) & (excess > 0.0).any(axis=1), np.argmax(excess, axis=1)


def _tilt(flight: FlightColumns) -> Array:
    """Return the tilt (ticks,) in rad, NaN where the odometry holds no attitude."""
    quaternion = flight.quaternion.copy()
    usable = np.isfinite(quaternion).all(axis=1) & (quaternion != 0.0).any(axis=1)
    quaternion[~usable] = np.nan
    return tilt_angle(quaternion_to_matrix(quaternion))


def _relieved(flight: FlightColumns, *, lands: bool) -> NDArray[np.bool_]:
    """Return per tick whether another than the policy intervened after it had been in control."""
    had_control = np.maximum.accumulate(flight.mode == POLICY_MODE)
    landing = flight.mode == Mode.LAND.value
    asked = np.maximum.accumulate(landing) & (flight.mode == Mode.DISARMED.value) & lands
    forced = landing & (flight.verdict != "")
    return had_control & (np.isin(flight.mode, RELIEF_MODES) & ~asked | forced)


def _wrong_end(flight: FlightColumns, bounds: FlightBounds) -> str | None:
    """Return why a flight without a breach still did not end as its task says."""
    mode, height = str(flight.mode[-1]), float(flight.position[-1, 2])
    flying = flight.mode == POLICY_MODE
    if not flying.any():
        reason = flight.verdict[-1] or f"the flight ended in mode {mode}"
        return f"the policy never took control: {reason}"
    if not np.isfinite(flight.position[-1]).all():
        return "the last odometry was not finite"
    begin = 0.0 if flying[0] else flight.time[flying][0]  # a long log has lost its beginning
    flown, asked = flight.time[flying][-1] - begin, bounds.duration
    if flown < asked * (1.0 - DURATION_SLACK) - DURATION_GRACE:
        return f"the policy flew {flown:.2f} s of the {asked:.2f} s asked for"
    landed = mode in (Mode.LAND.value, *RESTING_MODES)
    if landed and height > bounds.contact_height:
        return f"ended in mode {mode} at a height of {height:.2f} m"
    if landed != bounds.lands:
        return "did not land at the end" if bounds.lands else "was not airborne at the end"
    return None


def _first(mask: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(mask)) if mask.any() else None

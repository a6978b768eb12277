"""Whether a flight survived, and the first thing that says it did not. SI units, world ENU."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns
from snn_controller.frames import Array, quaternion_to_matrix, tilt_angle
from snn_controller.safety import Limits

POLICY_MODE = "policy"
LAND_MODE = "land"
RESTING_MODES = ("idle", "stopped")  # motors off: neither fence nor tilt is judged
LOST_MODES = ("fallback", "descent", "stopped")  # the policy was relieved
DURATION_SLACK = 0.02  # share of the asked duration that start-up and the last tick may cost
DURATION_GRACE = 0.1  # s on top of it


@dataclass(frozen=True)
class FlightBounds:
    """What a flight must keep to."""

    duration: float  # s that the policy was asked to be in control
    lands: bool = False  # the task ends on the ground
    limits: Limits = field(default_factory=Limits)  # geofence and tilt
    ground_height: float = 0.05  # m, odometry below it means contact with the ground


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


def policy_time(flight: FlightColumns) -> float:
    """Return how long in s the policy was in control, counted from its first to its last tick."""
    times = flight.time[flight.mode == POLICY_MODE]
    return float(times[-1] - times[0]) if times.size else 0.0


def _breaches(flight: FlightColumns, bounds: FlightBounds) -> Iterator[tuple[int, str]]:
    """Yield the first tick of each kind of breach with its sentence."""
    outside, axis = _outside_fence(flight, bounds.limits)
    low = flight.position[:, 2] < bounds.ground_height
    tilt = _tilt(flight)
    overturned = _flying(flight) & (tilt > bounds.limits.tilt)
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
        yield row, f"the policy was relieved at {flight.time[row]:.2f} s (mode {mode}){reason}"


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
    after_landing = np.maximum.accumulate(flight.mode == LAND_MODE) & (flight.mode == "stopped")
    return had_control & np.isin(flight.mode, LOST_MODES) & ~(after_landing & lands)


def _wrong_end(flight: FlightColumns, bounds: FlightBounds) -> str | None:
    """Return why a flight without a breach still did not end as its task says."""
    mode, height = str(flight.mode[-1]), float(flight.position[-1, 2])
    if not (flight.mode == POLICY_MODE).any():
        reason = flight.verdict[-1] or f"the flight ended in mode {mode}"
        return f"the policy never took control: {reason}"
    if not np.isfinite(flight.position[-1]).all():
        return "the last odometry was not finite"
    flown, asked = policy_time(flight), bounds.duration
    if flown < asked * (1.0 - DURATION_SLACK) - DURATION_GRACE:
        return f"the policy flew {flown:.2f} s of the {asked:.2f} s asked for"
    landed = mode in (LAND_MODE, *RESTING_MODES)
    if landed and height > bounds.ground_height:
        return f"ended in mode {mode} at a height of {height:.2f} m"
    if landed != bounds.lands:
        return "did not land at the end" if bounds.lands else "was not airborne at the end"
    return None


def _first(mask: NDArray[np.bool_]) -> int | None:
    return int(np.argmax(mask)) if mask.any() else None

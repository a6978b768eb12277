"""The guide's part of a flight: where it is going, and whether it has arrived or never will."""

from __future__ import annotations

import numpy as np

from snn_controller.flight_plan import FlightPlan
from snn_controller.frames import Array
from snn_controller.guards.verdicts import Verdict
from snn_controller.pilot import (
    landing_deadline,
    landing_reference,
    takeoff_deadline,
    takeoff_reference,
)
from snn_controller.state import Reference, State
from snn_controller.state_machine import Event, Mode

ARRIVAL_DISTANCE = 0.1  # m from the hover point at which take-off has ended
ARRIVAL_SPEED = 0.2  # m/s
TOUCHDOWN_HEIGHT = 0.05  # m above the plan's ground, of the centre of mass
STANDING_HEIGHT = 0.0125  # m, where that expects the centre of a drone that stands

Step = tuple[Event, Verdict | None]


def guided_reference(mode: Mode, plan: FlightPlan, start: Array, seconds: float) -> Reference:
    """Return where the guide flies, some seconds after it began at `start` (3,) in m."""
    if mode is Mode.TAKEOFF:
        return takeoff_reference(start, plan.hover_point, seconds)
    return landing_reference(start, plan.ground_height, seconds)


def watch_flight(
    mode: Mode,
    state: State,
    plan: FlightPlan,
    start: Array,
    seconds: float,
    *,
    recovered: bool,
    overturned: bool,
) -> Step | None:
    """Return what ends a state in the air, or None while it goes on.

    Args:
        mode: The state.
        state: Where the drone is, valid.
        plan: The flight's plan.
        start: Where the state was entered (3,) in m.
        seconds: Time since then.
        recovered: Whether odometry has been valid for long enough to end a descent.
        overturned: Whether the drone has been tilted beyond its limit for too long.
    """
    if mode is Mode.TAKEOFF:
        return _watch_takeoff(state, plan, start, seconds)
    height = float(state.position[2]) - plan.ground_height
    if mode is Mode.POLICY:
        return _watch_policy(height, plan, seconds)
    if mode in (Mode.LAND, Mode.FALLBACK):
        return _watch_landing(height, plan, start, seconds, overturned=overturned)
    return (Event.RECOVER, None) if mode is Mode.DESCENT and recovered else None


def _watch_takeoff(state: State, plan: FlightPlan, start: Array, seconds: float) -> Step | None:
    distance = float(np.linalg.norm(state.position - plan.hover_point))
    speed = float(np.linalg.norm(state.velocity))
    if distance < ARRIVAL_DISTANCE and speed < ARRIVAL_SPEED:
        return Event.ENGAGE, None
    if seconds > takeoff_deadline(start, plan.hover_point):
        return Event.FALL_BACK, Verdict("takeoff", "take-off did not reach the hover point")
    return None


def _watch_policy(height: float, plan: FlightPlan, seconds: float) -> Step | None:
    if height < TOUCHDOWN_HEIGHT:
        return Event.KILL, Verdict("ground", "touched the ground")
    return (Event.LAND, None) if plan.lands and seconds >= plan.duration else None


def _watch_landing(
    height: float, plan: FlightPlan, start: Array, seconds: float, *, overturned: bool
) -> Step | None:
    if height < TOUCHDOWN_HEIGHT:
        return Event.TOUCH_DOWN, None
    if overturned:
        return Event.KILL, Verdict("overturned", "the guide could not turn the drone upright")
    if seconds > landing_deadline(start, plan.ground_height):
        # it lies on something, or its height is wrong
        return Event.KILL, Verdict("landing", "the landing did not reach the ground")
    return None

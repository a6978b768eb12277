"""Before and after a flight: settings to a checked `Flight`, a flown `Flight` to its report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from snn_controller.control import find_task
from snn_controller.errors import UserError
from snn_controller.flight.backup import STANDING_HEIGHT
from snn_controller.flight.flight import Flight
from snn_controller.flight.parameters import ControllerSettings
from snn_controller.flight.plan import FlightPlan
from snn_controller.flight_controllers import LINKS
from snn_controller.paths import policy_path
from snn_controller.policy import Policy
from snn_controller.vehicle import Quadrotor, load_quadrotor


def prepare_flight(
    settings: ControllerSettings, warn: Callable[[str], Any] = lambda sentence: None
) -> Flight:
    """Load and check all that a flight needs.

    Args:
        settings: The controller's parameters.
        warn: Told what is done otherwise than asked.

    Raises:
        UserError: The policy, the airframe, the task or a limit is not fit to fly.
    """
    quadrotor = load_quadrotor(settings.airframe)
    path = policy_path(settings.policy)
    policy = Policy.load(path, sha256=settings.policy_sha256, airframe=settings.airframe)
    link = LINKS[settings.link]
    _check_policy(policy, settings)
    _check_limits(settings)
    _aim(policy, settings.target_return, warn)
    plan = FlightPlan(
        task=find_task(settings.task),
        duration=settings.duration,
        hover_point=np.array([0.0, 0.0, settings.hover_height]),
        # a vehicle of its own tells its height from where it stood
        ground_height=_raised(quadrotor) if link.simulated else 0.0,
        descent_time=settings.descent_time,
        auto_start=settings.auto_start
        in (("simulated", "always") if link.simulated else ("always",)),
        from_ground=not link.simulated,
        has_pilot=link.has_pilot,
    )
    return Flight(policy, quadrotor, plan, settings)


def _raised(quadrotor: Quadrotor) -> float:
    """Return how much higher the centre of a standing drone is than touch-down expects, in m."""
    return max(quadrotor.collision_height / 2.0 - STANDING_HEIGHT, 0.0)


def _aim(policy: Policy, asked: float, warn: Callable[[str], Any]) -> None:
    """Ask a policy for a return; one outside its range is moved in, and that is said."""
    if asked == 0.0:
        return
    given = policy.aim(asked)
    if given != asked:
        low, high = policy.metadata.target_return_range
        warn(
            f"policy {policy.path} has learnt returns of {low:.0f} to {high:.0f}, so it is asked"
            f" for {given:.0f} instead of {asked:g}"
        )


def _check_policy(policy: Policy, settings: ControllerSettings) -> None:
    kind, link = policy.metadata.action_kind, LINKS[settings.link]
    if kind not in link.action_kinds:
        why, kinds = link.why_no_motors, ", ".join(sorted(link.action_kinds))
        raise UserError(
            f"link '{settings.link}' takes {kinds} commands, but policy {policy.path} gives"
            f" {kind}{f' ({why})' if why else ''}; choose another policy or link"
        )
    rate = policy.metadata.control_rate
    ratio = settings.odometry_rate / rate
    if ratio < 1.0 or abs(ratio - round(ratio)) > 1e-6:
        raise UserError(
            f"policy {policy.path} ticks at {rate:g} Hz, which odometry at"
            f" {settings.odometry_rate:g} Hz cannot drive; set the parameter odometry_rate to a"
            " whole multiple of the policy's rate, or choose a policy trained for this rate"
        )


def _check_limits(settings: ControllerSettings) -> None:
    fence = np.array(settings.geofence, dtype=np.float64)
    if fence.shape != (6,) or not (fence[::2] < fence[1::2]).all():
        raise UserError(
            "parameter 'geofence' must be six numbers, low and high of x, y and z in m;"
            f" got {settings.geofence}"
        )
    lower, upper = fence[4:]
    if not lower < settings.hover_height < upper:
        raise UserError(
            f"hover_height {settings.hover_height:g} m is outside the geofence's"
            f" {lower:g} to {upper:g} m; lower it or widen the parameter geofence"
        )

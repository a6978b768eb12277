from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.safety.envelope import check_envelope, check_goal, is_overturned
from snn_controller.safety.guard import Verdict
from snn_controller.safety.guards import RULES, Limits, reaction_table
from snn_controller.safety.state_machine import GUARD_EVENTS, Event
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from support.states import hovering

LIMITS = Limits()


def test_a_hovering_drone_is_inside() -> None:
    assert check_envelope(hovering(), LIMITS) is None


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("low", [True, False])
def test_each_wall_of_the_fence_is_a_limit(axis: int, low: bool) -> None:
    wall = (LIMITS.geofence_lower if low else LIMITS.geofence_upper)[axis]
    for beyond, name in ((-0.01, None), (0.01, "altitude" if axis == 2 else "geofence")):
        position = np.array([0.0, 0.0, 1.0])
        position[axis] = wall + (-beyond if low else beyond)
        verdict = check_envelope(hovering(tuple(position)), LIMITS)
        assert (verdict.limit if verdict else None) == name


@pytest.mark.parametrize(("degrees", "broken"), [(119.0, False), (121.0, True), (180.0, True)])
def test_tilt(degrees: float, broken: bool) -> None:
    turned = axis_angle_to_quaternion([1.0, 0.0, 0.0], np.deg2rad(degrees))
    state = replace(hovering(), quaternion=turned)
    verdict = check_envelope(state, LIMITS)
    assert is_overturned(state, LIMITS) is broken
    assert (verdict is not None and verdict.limit == "tilt") is broken


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"velocity": np.array([0.0, -4.9, 0.0])}, None),
        ({"velocity": np.array([3.0, -3.0, 3.0])}, "speed"),
        ({"body_rates": np.array([0.0, 24.9, 24.9])}, None),
        ({"body_rates": np.array([0.0, -25.1, 0.0])}, "body_rate"),
    ],
)
def test_speed_and_body_rates(changes: dict, limit: str | None) -> None:
    verdict = check_envelope(replace(hovering(), **changes), LIMITS)
    assert (verdict.limit if verdict else None) == limit


@pytest.mark.parametrize(
    ("goal", "word"),
    [
        ((0.0, np.inf, 1.0), "finite"),
        ((0.0, 9.0, 1.0), "geofence"),
        ((0.0, 0.0, 0.05), "on the ground"),
        ((0.0, 0.0, -0.2), "on the ground"),
        ((0.5, 0.5, 1.5), None),
    ],
)
def test_goals(goal: tuple[float, float, float], word: str | None) -> None:
    reason = check_goal(np.array(goal), LIMITS, lowest=0.1)
    assert reason is None if word is None else word in str(reason)


def test_every_rule_is_carried_out_by_an_event_that_guards_may_raise() -> None:
    assert {rule.reaction for rule in RULES.values()} == set(GUARD_EVENTS)
    assert RULES["battery"].reaction is Event.LAND
    assert Verdict("units", "deg/s").doubts_the_past
    assert not Verdict("finite", "NaN").doubts_the_past
    for name in RULES:
        assert f"| `{name}` |" in reaction_table()

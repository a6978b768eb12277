"""Who arms a flight: in simulation the node itself, a real vehicle only where that is asked for."""

from __future__ import annotations

import pytest
from snn_controller.action import ACTION_KINDS
from snn_controller.errors import UserError
from snn_controller.preparation import prepare_flight
from snn_controller.settings import ControllerSettings

KINDS = frozenset(ACTION_KINDS)


@pytest.mark.parametrize(
    ("link", "auto_start", "expected"),
    [
        ("sim", "simulated", True),
        ("sim", "always", True),
        ("sim", "never", False),
        ("betaflight", "simulated", False),
        ("betaflight", "always", True),
        ("betaflight", "never", False),
    ],
)
def test_a_real_vehicle_arms_by_itself_only_where_that_was_asked_for(
    link: str, auto_start: str, expected: bool
) -> None:
    settings = ControllerSettings(link=link, auto_start=auto_start)
    plan = prepare_flight(settings, KINDS, has_pilot=False).plan
    assert plan.auto_start is expected


def test_a_real_vehicle_begins_and_ends_on_the_ground_whatever_the_task() -> None:
    for link, lands in (("sim", False), ("mavlink", True)):
        settings = ControllerSettings(link=link, auto_start="always", task="hover")
        assert prepare_flight(settings, KINDS, has_pilot=True).plan.lands is lands


def test_motors_are_refused_over_a_crazyflies_radio_with_the_reason() -> None:
    settings = ControllerSettings(link="crazyflie")
    with pytest.raises(UserError, match=r"gives motors \(stock Crazyflie firmware takes no"):
        prepare_flight(settings, frozenset({"thrust_rates"}), has_pilot=False)

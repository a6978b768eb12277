"""The table of links says what the links say themselves."""

from __future__ import annotations

from dataclasses import fields
from importlib import import_module

import pytest

from snn_controller.errors import UserError
from snn_controller.flight.parameters import LINKS as CHOICES
from snn_controller.flight.parameters import ControllerSettings
from snn_controller.flight_controllers.registry import LINKS, Link, LinkOptions, open_link

LIBRARIES = {"pyserial": "serial", "ros-rclpy": "rclpy"}


@pytest.mark.parametrize("name", LINKS)
def test_a_link_has_the_kinds_and_the_pilot_that_the_table_gives_it(name: str) -> None:
    row = LINKS[name]
    if row.needs:
        pytest.importorskip(LIBRARIES.get(row.needs, row.needs))
    module = import_module(row.module, "snn_controller.flight_controllers")
    link = next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and getattr(value, "name", None) == name
    )
    assert callable(getattr(module, row.factory))
    assert link.action_kinds == row.action_kinds
    assert link.has_pilot is row.has_pilot


def test_every_link_can_be_chosen_and_told_its_options_by_the_controllers_parameters() -> None:
    assert CHOICES[0] == "sim" and set(CHOICES) == set(LINKS)
    assert {each.name for each in fields(LinkOptions)} <= {
        each.name for each in fields(ControllerSettings)
    }
    assert isinstance(ControllerSettings(), LinkOptions)


@pytest.mark.parametrize(("rate", "period"), [(100.0, 0.0025), (10.0, 0.02), (1000.0, 0.00025)])
def test_a_link_that_tells_odometry_is_polled_four_times_as_often(
    rate: float, period: float
) -> None:
    options = LinkOptions(odometry_rate=rate)
    assert LINKS["mavlink"].poll_period(options) == pytest.approx(period)
    assert LINKS["sim"].poll_period(options) == 0.02


def test_an_unknown_link_and_a_missing_library_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown link 'px5'; there are: "):
        open_link("px5", LinkOptions())
    monkeypatch.setitem(LINKS, "lacking", Link(".no_such_module", "open", "no-such-package"))
    with pytest.raises(UserError, match=r"link 'lacking' needs no-such-package .*pip install"):
        open_link("lacking", LinkOptions())

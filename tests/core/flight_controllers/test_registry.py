"""What the table of links says is what the links say themselves."""

from __future__ import annotations

from importlib import import_module

import pytest

from snn_controller.errors import UserError
from snn_controller.flight.parameters import LINKS
from snn_controller.flight_controllers import registry as links
from snn_controller.flight_controllers.registry import (
    LinkOptions,
    link_has_pilot,
    link_names,
    open_link,
)


@pytest.mark.parametrize("name", link_names())
def test_a_link_takes_rates_and_has_the_pilot_that_the_table_gives_it(name: str) -> None:
    entry = links._LINKS[name]
    pytest.importorskip({"pyserial": "serial"}.get(entry.needs, entry.needs))
    module = import_module(f"snn_controller.flight_controllers.{entry.module}")
    link = next(
        value
        for value in vars(module).values()
        if isinstance(value, type) and getattr(value, "name", None) == name
    )
    assert link.action_kinds == {"thrust_rates"}
    assert link.has_pilot is link_has_pilot(name)


def test_every_link_can_be_chosen() -> None:
    assert LINKS[0] == "sim"
    assert set(link_names()) <= set(LINKS)


def test_an_unknown_link_and_a_missing_library_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown link 'px5'; there are: "):
        open_link("px5", LinkOptions())
    entry = links._Entry("no_such_module", "open", "no-such-package")
    monkeypatch.setitem(links._LINKS, "lacking", entry)
    with pytest.raises(UserError, match=r"link 'lacking' needs no-such-package .*pip install"):
        open_link("lacking", LinkOptions())

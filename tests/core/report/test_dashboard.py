"""The dashboard's line is a pure function of the log; on terminals it stays in place."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.bringup import runner
from snn_controller.flight_log.log import FlightLog, Tick
from snn_controller.report.dashboard import dashboard_line, fit
from snn_controller.vehicle.state import Reference, State


def flown(ticks: int, mode: str = "policy", verdict: str = "") -> FlightLog:
    log = FlightLog()
    for number in range(ticks):
        spikes = {"lif1": np.arange(8) < number % 5, "lif2": np.ones(4, dtype=bool)}
        state = State.at_rest(np.array([0.03, 0.04, 1.0]))
        reference = Reference(np.array([0.0, 0.0, 1.0]))
        log.append(
            Tick(
                time=number / 100,
                mode=mode,
                verdict=verdict,
                state=state,
                reference=reference,
                command=np.zeros(4),
                spikes=spikes if mode == "policy" else {},
                synaptic_ops=1000 + number % 5,
            )
        )
        log.append_timing(period=0.01, latency=0.001 if number % 2 else 0.002)
    return log


def test_it_says_state_error_spikes_operations_and_latency() -> None:
    assert dashboard_line(flown(1230), 20.0) == (
        "12.3/20 s  policy  error 0.050 m  spikes 25% 100%  1,002 ops/tick  1.50/2.00 ms"
    )


def test_before_the_policy_runs_nothing_is_said_of_neurons() -> None:
    line = dashboard_line(flown(10, mode="takeoff"), 5.0)
    assert line.startswith("0.1 s  takeoff") and "spikes" not in line


def test_time_is_told_of_what_the_policy_has_to_fly() -> None:
    assert dashboard_line(flown(401), 5.0, since=2.5).startswith("1.5/5 s  policy")


def test_what_rests_has_no_error_and_what_ran_before_no_neurons() -> None:
    assert dashboard_line(flown(10, mode="checks"), 5.0) == "0.1 s  checks  1.50/2.00 ms"
    log = flown(10)
    log.append(replace(log.ticks[-1], time=0.1, mode="land", spikes={}))
    assert dashboard_line(log, 5.0) == "0.1 s  land  error 0.050 m  1.50/2.00 ms"


def test_a_verdict_is_named() -> None:
    line = dashboard_line(flown(3, mode="fallback", verdict="tilt of 130 degrees"), 5.0)
    assert "fallback  tilt of 130 degrees  error" in line


def test_nothing_known_is_said_in_words() -> None:
    assert dashboard_line(FlightLog(), 5.0) == "waiting for the first tick"
    log = flown(1)
    log.ticks[0].state.position[:] = np.nan
    assert "error unknown" in dashboard_line(log, 5.0)


@given(st.text(max_size=200), st.integers(0, 250))
def test_a_line_never_wraps(line: str, width: int) -> None:
    shown = fit(line, width)
    assert len(shown) < max(width, 4)
    assert shown == line or shown.endswith("...")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_it_is_in_place_on_a_terminal_and_a_line_elsewhere(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    screen = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setenv("COLUMNS", "40")
    output = runner._Output()
    log = io.StringIO("[INFO] [x]: progress: one\n[INFO] [x]: progress: " + "y" * 99 + "\nend\n")
    output.copy(log, screen, "[node] ")
    shown = screen.getvalue()
    if terminal:
        assert shown == f"\r\033[Kone\r\033[K{'y' * 36}...\n[node] end\n"
    else:
        assert shown == f"progress: one\nprogress: {'y' * 99}\n[node] end\n"


@pytest.mark.parametrize(("terminal", "period"), [(True, 0.25), (False, 2.0)])
def test_the_runner_paces_it_by_who_reads(
    terminal: bool, period: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    from snn_controller.bringup.graph import fly_graph

    monkeypatch.setattr("sys.stdout", Terminal() if terminal else io.StringIO())
    paced: Callable[[Any], Any] = runner._paced
    nodes = {node.name: paced(node) for node in fly_graph({}, launcher_pid=1)}
    assert nodes["snn_controller"].parameters["progress_period"] == period
    assert "progress_period" not in nodes["simulator"].parameters

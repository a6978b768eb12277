from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from snn_controller.flight.parameters import SAFE_END, JudgeSettings
from snn_controller.judge.checks import Judgement, judge, reachable, summary_lines, write_judgement
from snn_controller.safety.state_machine import Mode
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.state import State
from support.observed_flight import FIRST, PERIOD, fall, observed_hover, say

SETTINGS = JudgeSettings()
SAFE = JudgeSettings(expect=SAFE_END)


def failed(judgement: Judgement) -> set[str]:
    return {check.name for check in judgement.checks if not check.passed}


def test_a_good_flight_passes_every_check() -> None:
    judgement = judge(observed_hover(), SETTINGS)
    assert judgement.passed and judgement.failure is None
    assert {check.name for check in judgement.checks} == {
        "heard",
        "state_machine",
        "silent_motors",
        "survival",
        "error",
        "tick_rate",
        "stopped",
    }
    assert judgement.summary["ticks"] == 401 and judgement.summary["survived"]


@pytest.mark.parametrize("part", ["samples", "commands", "accounts", "info"])
def test_nothing_is_judged_by_half_of_the_evidence(part: str) -> None:
    seen = observed_hover(0.5)
    getattr(seen, part).clear()
    judgement = judge(seen, SETTINGS)
    assert failed(judgement) == {"heard"} and len(judgement.checks) == 1


def test_a_crash_is_seen_whatever_the_controller_says() -> None:
    seen = observed_hover()
    for stamp in list(seen.samples)[300:]:
        state = seen.samples[stamp]
        seen.samples[stamp] = replace(state, position=np.array([0.0, 0.0, 0.01]))
    judgement = judge(seen, SETTINGS)
    assert {"survival", "error"} <= failed(judgement)
    assert "touched the ground at 3.00 s" in (judgement.failure or "")


@pytest.mark.parametrize(
    ("facts", "lands"),
    [
        ({}, False),
        ({"task": "takeoff_land"}, True),
        ({"link": "betaflight"}, True),  # real vehicles begin and end on the ground
        ({"parameters": {"auto_start": "always"}}, False),
        ({"parameters": {"auto_start": "never"}}, True),
    ],
)
def test_a_flight_must_end_where_its_facts_say(facts: dict[str, Any], lands: bool) -> None:
    seen = observed_hover(0.5)
    seen.info |= facts
    assert seen.facts().bounds.lands is lands


def test_a_large_error_fails_though_the_drone_stays_up() -> None:
    judgement = judge(observed_hover(), replace(SETTINGS, max_rmse=0.001))
    assert failed(judgement) == {"error"}


def test_samples_without_an_answer_count() -> None:
    seen = observed_hover()
    del seen.commands[100:120]
    assert failed(judge(seen, SETTINGS)) == {"tick_rate"}
    assert judge(seen, replace(SETTINGS, max_unanswered=0.1)).passed


def test_ticks_at_another_rate_fail() -> None:
    seen = observed_hover()
    seen.info["control_rate"] = 200.0
    assert failed(judge(seen, SETTINGS)) == {"tick_rate"}


@pytest.mark.parametrize("mode", ["disarmed", "checks", "arming", "armed", "killed"])
def test_motors_must_be_silent_where_the_mode_says_so(mode: str) -> None:
    seen = observed_hover()
    say(seen, mode, after=390)
    assert "silent_motors" in failed(judge(seen, SETTINGS))


@pytest.mark.parametrize(
    ("mode", "throttle", "ticks", "passes"),
    [
        ("armed", 0.06, 100, True),  # armed firmware idles
        ("armed", 0.07, 100, False),
        ("disarmed", 0.5, 9, True),  # it takes a while to stop
        ("disarmed", 0.5, 12, False),
    ],
)
def test_a_firmwares_motors_may_idle_and_take_a_while_to_stop(
    mode: str, throttle: float, ticks: int, passes: bool
) -> None:
    seen = observed_hover()
    end = len(seen.accounts) - 1
    say(seen, mode, after=end - ticks)
    for row in range(end - ticks, end + 1):
        command = Command("motors", np.full(4, throttle))
        seen.commands[row] = seen.commands[row]._replace(command=command)
    settings = replace(SETTINGS, idle_throttle=0.06, reaction_time=0.1)
    assert ("silent_motors" not in failed(judge(seen, settings))) is passes


def test_a_command_before_the_first_account_is_uncommanded_motion() -> None:
    seen = observed_hover()
    del seen.accounts[0]
    assert "silent_motors" in failed(judge(seen, SETTINGS))


def test_a_flight_may_end_between_two_samples() -> None:
    """The policy has answered the last sample when a signal kills the flight at the same stamp."""
    seen = observed_hover()
    last = seen.accounts[-1]
    seen.accounts.append(replace(last, mode="killed"))
    assert seen.modes_of(seen.commands[-1]) == ["policy", "killed"]
    assert judge(seen, SAFE).passed


@pytest.mark.parametrize("turning", [False, True])
def test_without_odometry_the_order_counts(turning: bool) -> None:
    """The controller's own time stands where the simulator's does; its commands' time goes on."""
    seen = observed_hover()
    say(seen, "descent", after=380)
    say(seen, "killed", after=395)
    much_later = seen.accounts[-1].stamp + 10**10
    for row in range(380, len(seen.commands)):
        heard = seen.commands[row]
        seen.commands[row] = heard._replace(stamp=much_later + row * PERIOD)
    seen.commands[395:] = [
        heard._replace(command=stop_command("motors")) for heard in seen.commands[395:]
    ]
    if turning:
        command = Command("motors", np.full(4, 0.5))
        seen.commands[398] = seen.commands[398]._replace(command=command)
    assert ("silent_motors" in failed(judge(seen, SAFE))) is turning


def test_a_mode_that_cannot_follow_is_named() -> None:
    seen = observed_hover()
    say(seen, "fallback", after=100)
    say(seen, "policy", after=200)
    judgement = judge(seen, SAFE)
    assert failed(judgement) == {"state_machine"}
    assert "impossible: fallback to policy" in (judgement.failure or "")


def test_a_flight_must_end_with_motors_off() -> None:
    seen = observed_hover()
    del seen.commands[-1]
    assert failed(judge(seen, SETTINGS)) == {"stopped"}


def test_after_a_fault_a_stop_command_is_safe() -> None:
    seen = observed_hover()
    say(seen, "killed", after=395)
    seen.commands = [
        heard._replace(command=stop_command("motors")) if row >= 395 else heard
        for row, heard in enumerate(seen.commands)
    ]
    assert judge(seen, SAFE).passed


def test_after_a_fault_a_vehicle_that_lies_on_the_ground_is_safe() -> None:
    seen = observed_hover()
    fall(seen)
    assert judge(seen, SAFE).passed


def test_a_fallen_vehicle_may_turn_on_the_spot_but_not_slide() -> None:
    for speed, passes in ((0.05, True), (0.3, False)):
        seen = observed_hover()
        fall(seen)
        for stamp in sorted(seen.samples)[-300:]:
            x = speed * (stamp - FIRST) * 1e-9
            state = State(np.array([x, 0.0, 0.04]), *_turning())
            seen.samples[stamp] = state
        assert judge(seen, SAFE).passed is passes


def _turning() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array([0.0, 0.0, 0.0, 1.0]), np.full(3, 0.05), np.array([0.0, 0.0, 25.0])


@pytest.mark.parametrize(("seconds", "height"), [(0.0, 1.0), (0.5, 0.02), (3.0, 0.12)])
def test_commands_that_cease_without_a_vehicle_on_the_ground_are_not_safe(
    seconds: float, height: float
) -> None:
    seen = observed_hover()
    fall(seen, seconds, height=height)
    assert failed(judge(seen, SAFE)) == {"safe_end"}


def test_a_fault_needs_a_flight_to_end() -> None:
    seen = observed_hover()
    say(seen, "disarmed", after=0)
    stop = stop_command("motors")
    seen.commands = [heard._replace(command=stop) for heard in seen.commands]
    assert failed(judge(seen, SAFE)) == {"flown"}


def test_the_first_answer_to_a_sample_is_the_one_that_flew() -> None:
    seen = observed_hover(1.0)
    heard = seen.commands[50]
    seen.commands.insert(60, heard._replace(command=Command("motors", np.zeros(4))))
    assert (seen.log().ticks[50].command == heard.command.values).all()


def test_the_verdict_of_the_controller_names_the_reason() -> None:
    seen = observed_hover()
    say(seen, "fallback", after=200)
    seen.verdicts.append((seen.accounts[199].stamp + PERIOD // 2, "tilted too far"))
    judgement = judge(seen, SETTINGS)
    assert "relieved at 2.00 s (fallback): tilted too far" in (judgement.failure or "")


def test_a_tick_may_hold_several_events_but_no_second_start() -> None:
    assert reachable(Mode.KILLED) == frozenset()
    assert reachable(Mode.PILOT) == {Mode.KILLED}
    assert {Mode.POLICY, Mode.FALLBACK} <= reachable(Mode.DISARMED)
    assert reachable(Mode.FALLBACK) == {Mode.DESCENT, Mode.DISARMED, Mode.PILOT, Mode.KILLED} | {
        Mode.FALLBACK
    }


def test_both_files_tell_the_same(tmp_path: Path) -> None:
    seen = observed_hover()
    del seen.commands[-1]
    judgement = judge(seen, SETTINGS)
    report = json.loads(write_judgement(tmp_path, judgement, SETTINGS).read_text())
    assert report["passed"] is False and "stopped" in report["failure"]
    assert report["flight"]["motion_sha256"] == judgement.summary["motion_sha256"]
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()
    assert suite.get("failures") == "1" and suite.get("tests") == str(len(report["checks"]))
    assert [case.get("name") for case in suite if case.find("failure") is not None] == ["stopped"]
    lines = summary_lines(judgement)
    assert lines[0] == "judgement: FAILED"
    assert [line.split()[1] for line in lines if line.startswith("  FAIL")] == ["stopped:"]

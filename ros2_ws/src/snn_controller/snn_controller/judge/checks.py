"""Judges a flight by what was seen of it, check by check. Pure and without ROS.

Every check is one sentence that says what was found; a flight passes when all its checks do. The
judgement goes into report.json for programs and people, and junit.xml for build servers.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from snn_controller.flight import FLIGHT, JudgeSettings
from snn_controller.flight_log import columns
from snn_controller.judge.observations import Observations
from snn_controller.report import POLICY_MODE, find_failure, summarise
from snn_controller.safety import GROUND_MODES, MOTORLESS_MODES, TRANSITIONS, Mode
from snn_controller.system import write_atomically
from snn_controller.vehicle import Command

RATE_TOLERANCE = 0.02  # share by which the control rate may be off
REST_TIME = 1_000_000_000  # ns at the end of the samples, in which a fallen drone must stay
REST_HEIGHT = 0.1  # m, of the centre of mass of a drone that lies as it has fallen
REST_WAY = 0.1  # m; it may turn on the spot, as a simulated one does for long
SILENT_MODES = frozenset(mode.value for mode in MOTORLESS_MODES)
REPORT_FILE, JUNIT_FILE = "report.json", "junit.xml"


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    passed: bool
    detail: str  # one sentence


@dataclass(frozen=True)
class Judgement:
    """What became of a flight."""

    checks: tuple[Check, ...]
    summary: dict[str, Any]  # the flight report, by what was seen

    @property
    def passed(self) -> bool:
        """Whether every check has passed."""
        return all(check.passed for check in self.checks)

    @property
    def failure(self) -> str | None:
        """Why the flight has not passed, or None."""
        failed = [f"{check.name}: {check.detail}" for check in self.checks if not check.passed]
        return "; ".join(failed) or None


def judge(seen: Observations, settings: JudgeSettings) -> Judgement:
    """Judge a flight that is over."""
    log = seen.log()
    summary = summarise(log, seen.facts())
    heard = check_heard(seen)
    if not heard.passed:
        return Judgement((heard,), summary)
    checks = [heard, check_modes(seen), check_silence(seen, settings)]
    if settings.expect == FLIGHT:
        checks += [
            check_survival(seen),
            check_error(summary, settings.max_rmse),
            check_rate(seen, settings.max_unanswered),
            check_stopped(seen),
        ]
    else:
        checks += [check_flown(seen), check_safe_end(seen)]
    return Judgement(tuple(checks), summary)


def check_heard(seen: Observations) -> Check:
    """Check that there is anything to judge by."""
    counts = {
        "odometry samples": len(seen.samples),
        "commands": len(seen.commands),
        "accounts of ticks": len(seen.accounts),
        "facts of the flight": len(seen.info),
    }
    missing = [name for name, count in counts.items() if not count]
    found = ", ".join(f"{count} {name}" for name, count in counts.items())
    return Check("heard", not missing, f"{found} heard")


def check_survival(seen: Observations) -> Check:
    """Check that the flight survived, by the positions that the vehicle really had."""
    failure = find_failure(columns(seen.log()), seen.facts().bounds)
    return Check("survival", failure is None, failure or "the flight survived")


def check_error(summary: dict[str, Any], limit: float) -> Check:
    """Check the RMS position error in m of the policy's flight."""
    error = summary["position_rmse_m"]
    if error is None:
        return Check("error", False, "the policy did not fly long enough for an RMS error")
    return Check("error", error <= limit, f"RMS error {error:.3f} m, limit {limit:.3f} m")


def check_rate(seen: Observations, limit: float) -> Check:
    """Check that samples were answered, and ticks came at the policy's rate."""
    answered = {heard.stamp for heard in seen.commands}
    first, last = min(answered), max(answered)
    asked = [stamp for stamp in seen.samples if first <= stamp <= last]
    unanswered = sum(stamp not in answered for stamp in asked) / max(len(asked), 1)
    rate, wanted = _tick_rate(seen), float(seen.info.get("control_rate", 0.0))
    good = unanswered <= limit and abs(rate - wanted) <= RATE_TOLERANCE * wanted
    found = f"{unanswered:.1%} of {len(asked)} samples unanswered (limit {limit:.1%})"
    return Check("tick_rate", good, f"{rate:.1f} ticks/s of {wanted:g}, {found}")


def check_modes(seen: Observations) -> Check:
    """Check that each mode can follow the one before by the table of the state machine."""
    modes = [Mode.DISARMED.value, *(account.mode for account in seen.accounts)]
    path = [modes[0]] + [after for before, after in pairwise(modes) if after != before]
    wrong = [
        f"{before} to {after}"
        for before, after in pairwise(path)
        if Mode(after) not in reachable(Mode(before))
    ]
    sentence = f"impossible: {', '.join(wrong)}" if wrong else " -> ".join(path)
    return Check("state_machine", not wrong, sentence)


def check_silence(seen: Observations, settings: JudgeSettings) -> Check:
    """Check that no motor was commanded while the controller said that motors are off."""
    reaction = round(settings.reaction_time * 1e9)
    for heard in seen.commands:
        if heard.command.stop or _idles(heard.command, settings.idle_throttle):
            continue
        modes = seen.modes_of(heard)
        if SILENT_MODES.issuperset(modes) and not _flew_since(seen, heard.stamp, reaction):
            said = f"the mode was {modes[-1]}" if modes else "nothing had been said yet"
            return Check("silent_motors", False, f"motors turned at {heard.stamp} ns while {said}")
    return Check("silent_motors", True, "no motion was commanded while motors were to be off")


def check_stopped(seen: Observations) -> Check:
    """Check that the last command switched the motors off."""
    stopped = seen.commands[-1].command.stop
    return Check(
        "stopped", stopped, f"the last command {'stopped' if stopped else 'turned'} motors"
    )


def check_flown(seen: Observations) -> Check:
    """Check that there was a flight of the policy for a fault to end."""
    ticks = sum(account.mode == POLICY_MODE for account in seen.accounts)
    return Check("flown", ticks > 0, f"the policy flew {ticks} ticks")


def check_safe_end(seen: Observations) -> Check:
    """Check that the flight ended with motors off: by command, or by the vehicle's own time-out."""
    final = seen.commands[-1]
    stamp, mode = final.stamp, (seen.modes_of(final) or ["untold"])[-1]
    if final.command.stop:
        after = max(stamp - seen.accounts[-1].stamp, 0) * 1e-9
        found = f"motors were switched off in mode {mode}, {after:.1f} s after its last account"
        return Check("safe_end", True, found)
    last = max(seen.samples)
    end = np.array([x.position for t, x in seen.samples.items() if t > last - REST_TIME])
    height, way = float(end[:, 2].max()), float(np.ptp(end, axis=0).max())
    good = last - stamp > REST_TIME and height <= REST_HEIGHT and way <= REST_WAY
    seconds = (last - stamp) * 1e-9
    found = f"in the last second of {seconds:.1f} s: height up to {height:.2f} m, moved {way:.2f} m"
    return Check("safe_end", good, f"commands ceased in mode {mode}; {found}")


def reachable(mode: Mode) -> frozenset[Mode]:
    """Return the modes that events within one tick lead to, which may not land and start anew."""
    found: set[Mode] = set()
    fresh = {mode}
    while fresh:
        steps = {(origin, to) for (origin, _), to in TRANSITIONS.items() if origin in fresh}
        landings = {to for origin, to in steps if to in GROUND_MODES and origin not in GROUND_MODES}
        fresh = {to for _, to in steps} - found - landings
        found |= fresh | landings
    return frozenset(found)


def _flew_since(seen: Observations, stamp: int, time: int) -> bool:
    """Whether a mode that lets motors turn was told up to `time` ns before a stamp."""
    first = bisect_left(seen.accounts, stamp - time, key=lambda account: account.stamp)
    end = bisect_left(seen.accounts, stamp, key=lambda account: account.stamp)
    return any(account.mode not in SILENT_MODES for account in seen.accounts[first:end])


def _idles(command: Command, limit: float) -> bool:
    """Whether motors turn no faster than armed firmware lets them."""
    return command.kind == "motors" and limit > 0.0 and float(command.values.max()) <= limit


def _tick_rate(seen: Observations) -> float:
    """Return the median rate in Hz of the ticks, by their stamps; 0 for less than two."""
    periods = list(_periods(seen))
    return 1e9 / float(np.median(periods)) if periods else 0.0


def _periods(seen: Observations) -> Iterator[int]:
    for before, after in pairwise(seen.accounts):
        if after.stamp > before.stamp:
            yield after.stamp - before.stamp


def write_judgement(folder: Path, judgement: Judgement, settings: JudgeSettings) -> Path:
    """Write both files and return the path of report.json.

    Raises:
        UserError: The folder cannot be written.
    """
    write_atomically(folder / JUNIT_FILE, junit(judgement, settings.expect))
    text = json.dumps(as_json(judgement, settings), indent=2, allow_nan=False) + "\n"
    return write_atomically(folder / REPORT_FILE, text.encode())


def as_json(judgement: Judgement, settings: JudgeSettings) -> dict[str, Any]:
    """Return the judgement as JSON types."""
    return {
        "passed": judgement.passed,
        "failure": judgement.failure,
        "expect": settings.expect,
        "checks": [asdict(check) for check in judgement.checks],
        "flight": judgement.summary,
    }


def junit(judgement: Judgement, suite: str) -> bytes:
    """Return the judgement as JUnit XML: one test case per check."""
    failures = sum(not check.passed for check in judgement.checks)
    root = ElementTree.Element(
        "testsuite", name=suite, tests=str(len(judgement.checks)), failures=str(failures)
    )
    for check in judgement.checks:
        case = ElementTree.SubElement(root, "testcase", classname="judge", name=check.name)
        if not check.passed:
            ElementTree.SubElement(case, "failure", message=check.detail)
        else:
            ElementTree.SubElement(case, "system-out").text = check.detail
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)


def summary_lines(judgement: Judgement) -> list[str]:
    """Return the judgement as lines for a screen."""
    lines = [
        f"  {'ok  ' if check.passed else 'FAIL'} {check.name}: {check.detail}"
        for check in judgement.checks
    ]
    return [f"judgement: {'PASSED' if judgement.passed else 'FAILED'}", *lines]

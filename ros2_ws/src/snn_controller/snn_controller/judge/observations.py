"""What an observer saw of a flight: odometry, commands, the controller's own account. ROS-free.

Positions and commands are what was on the topics; only the mode and the reference of a tick are
taken from the controller's account of it. Times are stamps in ns.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from snn_controller.control import find_task
from snn_controller.flight import AUTO_STARTS, LINKS, FlightPlan
from snn_controller.flight_log import FlightLog, Tick
from snn_controller.report import FlightBounds, FlightFacts
from snn_controller.safety import Limits
from snn_controller.vehicle import ACTION_SIZE, Array, Command, Reference, State

NEVER = AUTO_STARTS[-1]


@dataclass(frozen=True)
class Account:
    """What the controller says of one tick."""

    stamp: int  # ns
    mode: str
    reference: Reference


class ObservedCommand(NamedTuple):
    """A command as it came."""

    stamp: int  # ns, of the odometry that it answers, or the time where there was none
    command: Command
    told: int  # how many accounts had come before it


@dataclass
class Observations:
    """All that was seen of one flight, in the order in which it came."""

    samples: dict[int, State] = field(default_factory=dict)  # by stamp
    commands: list[ObservedCommand] = field(default_factory=list)
    accounts: list[Account] = field(default_factory=list)
    verdicts: list[tuple[int, str]] = field(default_factory=list)  # why the policy does not fly
    info: dict[str, Any] = field(default_factory=dict)  # the facts of the flight, as it told them

    def hear(self, stamp: int, command: Command) -> None:
        """Add a command that has just come."""
        self.commands.append(ObservedCommand(stamp, command, len(self.accounts)))

    def modes_of(self, heard: ObservedCommand) -> list[str]:
        """Return the modes that were told for a command; none where nothing had been told yet.

        There are several where a flight ends between two samples. Without odometry the ticks of the
        controller have other stamps than its commands: then the one told before and the next.
        """
        first = bisect_left(self.accounts, heard.stamp, key=lambda account: account.stamp)
        end = bisect_right(self.accounts, heard.stamp, key=lambda account: account.stamp)
        if first == end and heard.told:
            first, end = heard.told - 1, heard.told + 1
        return [account.mode for account in self.accounts[first:end]]

    def verdict_at(self, stamp: int) -> str:
        """Return the newest verdict up to a stamp, empty where there is none."""
        return next((reason for time, reason in reversed(self.verdicts) if time <= stamp), "")

    def facts(self) -> FlightFacts:
        """Return what the flight was asked to do."""
        info = self.info
        task = find_task(info.get("task", "hover"))
        parameters = info.get("parameters", {})
        names = ("geofence", "max_tilt_deg")
        limits = Limits(**{name: parameters[name] for name in names if name in parameters})
        return FlightFacts(
            task=task.name,
            bounds=FlightBounds(info.get("asked_duration_s", 0.0), self._lands(), limits),
            seed=info.get("seed"),
            policy=info.get("policy"),
            policy_sha256=info.get("policy_sha256"),
            action_kind=info.get("action_kind", "motors"),
            link=info.get("link", "sim"),
            lockstep=bool(info.get("lockstep", False)),
        )

    def _lands(self) -> bool:
        """Whether the flight was to end on the ground."""
        link, parameters = self.info.get("link", LINKS[0]), self.info.get("parameters", {})
        waits = parameters.get("auto_start", AUTO_STARTS[0]) == NEVER
        task = find_task(self.info.get("task", "hover"))
        return FlightPlan(task, 0.0, auto_start=not waits, from_ground=link != LINKS[0]).lands

    def log(self) -> FlightLog:
        """Return the flight as a log: one tick per account, with what was seen at its stamp."""
        log = FlightLog()
        # the first answer to a sample is the one that flew
        answers = {heard.stamp: heard.command for heard in reversed(self.commands)}
        stamps = sorted(self.samples)
        for account in self.accounts:
            row = bisect_right(stamps, account.stamp)
            if row:
                log.append(self._tick(account, self.samples[stamps[row - 1]], answers))
        return log

    def _tick(self, account: Account, state: State, answers: dict[int, Command]) -> Tick:
        command = answers.get(account.stamp)
        return Tick(
            time=(account.stamp - self.accounts[0].stamp) * 1e-9,
            mode=account.mode,
            verdict=self.verdict_at(account.stamp) if account.mode != "policy" else "",
            state=state,
            reference=account.reference,
            command=_values(command),
            missed=0,
        )


def _values(command: Command | None) -> Array:
    return np.zeros(ACTION_SIZE) if command is None else command.values

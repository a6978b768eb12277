"""What a judge would have seen of a flight that was made up."""

from __future__ import annotations

import numpy as np

from snn_controller.judge.evidence import Account, Evidence
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.state import State
from support.synthetic_flight import make_flight

FIRST = 1_000_000_000  # ns
PERIOD = 10_000_000  # ns


def witness(seconds: float = 4.0) -> Evidence:
    """Return the evidence of a hover that goes well and ends with a stop."""
    log = make_flight(seconds=seconds, spiking=False)
    evidence = Evidence(
        info={"task": "hover", "asked_duration_s": seconds, "control_rate": 100.0, "seed": 1}
    )
    for row, tick in enumerate(log.ticks):
        stamp = FIRST + row * PERIOD
        evidence.samples[stamp] = tick.state
        evidence.hear(stamp, Command("motors", tick.command))
        evidence.accounts.append(Account(stamp, tick.mode, tick.reference))
    evidence.hear(stamp, stop_command("motors"))
    return evidence


def fall(evidence: Evidence, seconds: float = 3.0, *, height: float = 0.02) -> None:
    """Let commands cease, and the vehicle lie at a height in m for some seconds after."""
    del evidence.commands[-1]
    last = max(evidence.samples)
    for row in range(1, round(seconds * 100) + 1):
        evidence.samples[last + row * PERIOD] = State.at_rest(np.array([0.0, 0.0, height]))


def say(evidence: Evidence, mode: str, *, after: int) -> None:
    """Let the controller tell of a mode from a tick on."""
    for row in range(after, len(evidence.accounts)):
        old = evidence.accounts[row]
        evidence.accounts[row] = Account(old.stamp, mode, old.reference)

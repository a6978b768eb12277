"""What a judge would have seen of a flight that was made up."""

from __future__ import annotations

import numpy as np

from snn_controller.judge.observations import Account, Observations
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.state import State
from support.synthetic_flight import make_flight

FIRST = 1_000_000_000  # ns
PERIOD = 10_000_000  # ns


def observed_hover(seconds: float = 4.0) -> Observations:
    """Return what is seen of a hover that goes well and ends with a stop."""
    log = make_flight(seconds=seconds, spiking=False)
    seen = Observations(
        info={"task": "hover", "asked_duration_s": seconds, "control_rate": 100.0, "seed": 1}
    )
    for row, tick in enumerate(log.ticks):
        stamp = FIRST + row * PERIOD
        seen.samples[stamp] = tick.state
        seen.hear(stamp, Command("motors", tick.command))
        seen.accounts.append(Account(stamp, tick.mode, tick.reference))
    seen.hear(stamp, stop_command("motors"))
    return seen


def fall(seen: Observations, seconds: float = 3.0, *, height: float = 0.02) -> None:
    """Let commands cease, and the vehicle lie at a height in m for some seconds after."""
    del seen.commands[-1]
    last = max(seen.samples)
    for row in range(1, round(seconds * 100) + 1):
        seen.samples[last + row * PERIOD] = State.at_rest(np.array([0.0, 0.0, height]))


def say(seen: Observations, mode: str, *, after: int) -> None:
    """Let the controller tell of a mode from a tick on."""
    for row in range(after, len(seen.accounts)):
        old = seen.accounts[row]
        seen.accounts[row] = Account(old.stamp, mode, old.reference)

"""What a guard is: it looks at one moment of a flight and may give a verdict.

`guards.py` lists all there are. A guard decides nothing: its verdict names the event that follows,
and the state machine takes it or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, ClassVar, Protocol

from numpy.typing import NDArray

from snn_controller.policy import Policy
from snn_controller.safety.state_machine import Event, Mode
from snn_controller.vehicle import LinkStatus, Odometry


@dataclass(frozen=True)
class Rule:
    """What one verdict means, and the event that it raises in the air."""

    meaning: str
    reaction: Event


@dataclass(frozen=True)
class Verdict:
    """A limit that was broken: which one, one of `RULES`, and a sentence for people."""

    limit: str
    reason: str

    @property
    def doubts_the_past(self) -> bool:
        """Whether it speaks against all odometry so far: units do not mend themselves."""
        return self.limit in ("units", "gravity")


class Stage(IntEnum):
    """When a guard is asked, and what its verdict is about."""

    ESTIMATE = 0  # each sample of odometry: one with a verdict is not flown on
    REST = 1  # each valid sample on the ground: what speaks against arming now
    VEHICLE = 2  # each control period, without odometry too
    FLIGHT = 3  # each control period on a valid state
    POLICY = 4  # each tick of the policy, before its action becomes a command


@dataclass(slots=True)
class Moment:
    """All that a guard may look at. What is not known at its stage is as it was before."""

    mode: Mode = Mode.DISARMED
    now: int = 0  # ns, on the clock that stamps odometry
    sample: Odometry | None = None  # the newest, None before the first
    airborne: bool = False  # the drone flies by our commands, so that it cannot stand still
    thrust: float | None = None  # m/s^2 per mass that the rotors give; known during take-off only
    status: LinkStatus = LinkStatus()
    missed: int = 0  # control periods without a tick before this one
    policy: Policy | None = None
    action: NDArray | None = None  # (4,) of the policy, before it is clipped


class Guard(Protocol):
    """One guard. It judges moments in order and keeps what it must remember of them.

    Made for one flight, from its limits and the rate in Hz at which its policy ticks.
    """

    stage: ClassVar[Stage]
    verdicts: ClassVar[Mapping[str, Rule]]  # that it may give, by the name of the limit

    def __init__(self, limits: Any, rate: float) -> None:
        """Begin without a past; `limits` are what this guard needs of a flight's `Limits`."""

    def reset(self) -> None:
        """Forget the past: a new flight, or a policy that takes over anew."""

    def check(self, moment: Moment) -> Verdict | None:
        """Take in a moment and say what is wrong, or None. Called in every state of a flight."""
        ...

    def settle(self) -> None:
        """Do what may take its time, at the stage `ESTIMATE` once the command has gone out."""

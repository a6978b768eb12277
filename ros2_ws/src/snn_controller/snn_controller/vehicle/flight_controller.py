"""The protocol of links to flight controllers, and what a link knows of its vehicle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from snn_controller.vehicle.action import ActionKind, Command
from snn_controller.vehicle.state import Odometry


@dataclass(frozen=True)
class LinkStatus:
    """What a link knows of its vehicle; the defaults are those of a vehicle without opinions."""

    age: float = 0.0  # s since the vehicle was last heard
    armed: bool = True  # the vehicle lets its motors turn
    in_control: bool = True  # the vehicle's mode lets our commands through
    mode: str = ""  # that mode, in the vehicle's own words
    refusal: str = ""  # why the vehicle does not arm, in its own words; "" once it does
    battery: float | None = None  # V of the whole battery, None where unknown
    odometry: Odometry | None = None  # newest since the last poll, None where it comes by topic


class FlightController(Protocol):
    """What takes commands: a simulated or real flight controller behind some link."""

    name: str
    action_kinds: frozenset[ActionKind]  # what this link and its firmware accept
    has_pilot: bool  # somebody is there to whom `hand_back` gives the vehicle

    @property
    def description(self) -> str:
        """What is flown and by what, for people."""
        ...

    def poll(self, now: int) -> LinkStatus:
        """Keep the link alive (heartbeats, retries), take in what has come, and tell.

        Called every control tick and at least every 20 ms, whatever the state of the flight.

        Args:
            now: Time in ns on the node's clock, for the stamps of `LinkStatus.odometry`.
        """
        ...

    def arm(self) -> None:
        """Begin to ask for control and arming, with retries, never by force.

        `send` brings stop commands meanwhile, at the odometry's rate, for firmware that wants a
        stream first. `poll` says `armed` and `in_control` when it is done, `refusal` while not.
        """
        ...

    def send(self, command: Command, stamp: int) -> None:
        """Send a command that answers the odometry stamped `stamp` (ns).

        A stop command is no thrust and no rates; it neither arms nor disarms.
        """
        ...

    def disarm(self) -> None:
        """Begin to disarm a vehicle that stands on the ground; firmware may refuse in the air."""
        ...

    def kill(self) -> None:
        """Stop the motors by every means there is, in the air too, and keep them stopped."""
        ...

    def hand_back(self) -> None:
        """Leave the vehicle to its pilot: ask for no mode and send nothing until `arm`."""
        ...

    def close(self) -> None:
        """Stop the motors at the end of a flight, and wait until the vehicle has heard it.

        The only call that may block, for 0.2 s at most. Safe to call twice, and before `arm`.
        """
        ...

    def release(self) -> None:
        """Let go of the link; nothing is sent any more. Give back what was set in the vehicle."""
        ...

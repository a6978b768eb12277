"""Links to flight controllers: one module each, one small protocol."""

from __future__ import annotations

from typing import Protocol

from snn_controller.action import ActionKind, Command


class FlightController(Protocol):
    """What takes commands: a simulated or real flight controller behind some link."""

    name: str
    action_kinds: frozenset[ActionKind]  # what this link and its firmware accept

    def send(self, command: Command, stamp: int) -> None:
        """Send a command that answers the odometry stamped `stamp` (ns). Must not block."""
        ...

    def close(self) -> None:
        """Stop the motors. Safe to call twice, and before more commands of another flight."""
        ...

    def release(self) -> None:
        """Let go of the link; nothing is sent any more."""
        ...

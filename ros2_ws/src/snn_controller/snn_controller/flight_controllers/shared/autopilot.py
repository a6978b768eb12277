"""What links to PX4 and ArduPilot share, whatever carries them: wishes that a `Pursuit` follows.

Such firmware gives control by a mode and by arming, and takes it back for its pilot.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.flight_controllers.shared.estimate import OwnEstimate
from snn_controller.flight_controllers.shared.mode_requests import Autopilot, Pursuit, Request, Wish
from snn_controller.vehicle import ActionKind, Command, LinkStatus

CLOSE_TIME = 0.2  # s
CLOSE_STEP = 0.005  # s

VehicleType = TypeVar("VehicleType", bound=Autopilot)


class AutopilotLink(ABC, Generic[VehicleType]):
    """The calls of a `FlightController` but `poll` and `release`, which the carrier makes."""

    has_pilot = True  # or the firmware's own failsafe, which acts when setpoints stop

    def __init__(
        self,
        vehicle: VehicleType,
        options: LinkOptions,
        kind: ActionKind,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Want nothing of the vehicle yet.

        Args:
            vehicle: What is known of it; `poll` takes in what comes.
            options: Throttle at hover, and what is made of the vehicle's estimate.
            kind: What is commanded.
            sleep: Lets time pass in `close`.
        """
        self.vehicle = vehicle
        self._estimate = OwnEstimate(options)
        self._kind: ActionKind = kind
        self._sleep = sleep
        self._pursuit = Pursuit()
        self._now = 0  # ns, of the last poll

    @abstractmethod
    def poll(self, now: int) -> LinkStatus:
        """Take in what has come, ask for what is wished for, and tell."""

    @abstractmethod
    def _send_values(self, values: list[float] | None) -> None:
        """Send values (4,) of our kind, or a stop for None."""

    @abstractmethod
    def _ask(self, request: Request, repetition: int) -> None:
        """Send a request to the vehicle."""

    @abstractmethod
    def _objection(self) -> str:
        """Say why this vehicle is not flown, "" for no reason."""

    def arm(self) -> None:
        """Ask for control as soon as the stream has run for a while, then for arming."""
        self._estimate.start()
        self._want(Wish.CONTROL)

    def send(self, command: Command, stamp: int) -> None:
        """Send a command; what is not finite, or of another kind, is a stop."""
        if self._pursuit.wish in (Wish.NOTHING, Wish.LAND):
            return
        self._pursuit.note_setpoint(self._now)
        stop = command.stop or command.kind != self._kind or self._pursuit.wish is Wish.KILL
        values = command.values.tolist()
        self._send_values(None if stop or not math.isfinite(sum(values)) else values)

    def disarm(self) -> None:
        """Ask for disarming, which firmware refuses in the air."""
        self._want(Wish.DISARM)

    def kill(self) -> None:
        """Disarm by force, in the air too, and again until the vehicle says that it has."""
        self._want(Wish.KILL)
        self._pursue(self._now)

    def hand_back(self) -> None:
        """Send no setpoint and ask for nothing: the firmware leaves the mode by itself."""
        self._want(Wish.NOTHING)

    def close(self) -> None:
        """Disarm on the ground; in the air let the firmware land, which is never a drop."""
        wish = self._pursuit.wish
        if wish in (Wish.NOTHING, Wish.LAND):
            return
        if wish is not Wish.KILL:
            self._want(Wish.LAND if self.vehicle.airborne else Wish.DISARM)
        start = self._now
        for step in range(round(CLOSE_TIME / CLOSE_STEP)):
            if self._pursuit.is_over(self.vehicle):
                break
            self._close_step(start + round(step * CLOSE_STEP * 1e9))
            self._sleep(CLOSE_STEP)
        self._want(Wish.NOTHING)

    def _close_step(self, now: int) -> None:
        """Do what brings the end of a flight nearer."""
        self.poll(now)

    @property
    def _is_in_control(self) -> bool:
        """Whether the vehicle's mode flies our setpoints, and they come."""
        return self.vehicle.takes_setpoints and self._pursuit.wish is not Wish.NOTHING

    def _want(self, wish: Wish) -> None:
        self._pursuit.want(wish)
        self.vehicle.forget_answers()

    def _pursue(self, now: int) -> None:
        """Ask for what is wished for, and again while it has no effect."""
        if self._pursuit.wish is Wish.CONTROL and self._objection():
            return
        asked = self._pursuit.advance(self.vehicle, now)
        if asked is not None:
            self._ask(*asked)

    def _refusal(self) -> str:
        return self._objection() or self._pursuit.refusal(self.vehicle)

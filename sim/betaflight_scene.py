"""A flight with real firmware as it is seen from outside, while something goes wrong."""

from __future__ import annotations

from time import monotonic

from snn_controller.flight_controllers.links import LinkOptions
from snn_controller.state_machine import Mode

from sim.betaflight_loop import FlightLoop
from sim.betaflight_plant import Snapshot
from sim.betaflight_sitl import BetaflightSitl

IDLE_THROTTLE = 0.15  # mean below which motors do not lift: armed ones idle and stabilise
IDLE_TIME = 0.2  # s below it that count; an impact makes the rate loop twitch later
OBEDIENCE_TIME = 0.1  # s that the firmware may take to do what it was told


class MotorWatch:
    """Says when motors stopped lifting, and when they stood still for good; times in s."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.idle: float | None = None  # where they did not lift for `IDLE_TIME`
        self.off: float | None = None
        self._low: float | None = None  # since when they do not lift

    def look(self, snapshot: Snapshot, time: float) -> None:
        """Take in the drone at a time."""
        lifting = snapshot.throttle.mean() >= IDLE_THROTTLE
        self._low = None if lifting else time if self._low is None else self._low
        if self.idle is None and self._low is not None and time - self._low >= IDLE_TIME:
            self.idle = self._low
        if snapshot.throttle.any():
            self.off = None
        elif self.off is None:
            self.off = time


class Scene:
    """A flight with the policy in control, and what a fault may touch."""

    def __init__(self, sitl: BetaflightSitl, loop: FlightLoop, options: LinkOptions) -> None:
        """Begin to watch a drone that hovers."""
        self.sitl = sitl
        self.loop = loop
        self.options = options
        self.begin = monotonic()
        self.reaction: float | None = None  # s
        self.motors = MotorWatch()
        self.deviation = 0.0
        self.uncommanded = 0
        self._place = sitl.plant.snapshot().state.position
        self._commanded = monotonic()  # when motors were last to turn

    def watch(self) -> None:
        """Note what can be seen from outside."""
        snapshot, mode = self.sitl.plant.snapshot(), self.loop.flight.mode
        since = monotonic() - self.begin
        self.motors.look(snapshot, since)
        if self.reaction is None and self.loop.flight.verdict is not None:
            self.reaction = since
        offset = snapshot.state.position - self._place
        self.deviation = max(self.deviation, float((offset[:2] ** 2).sum() ** 0.5))
        if mode not in (Mode.KILLED, Mode.DISARMED):
            self._commanded = monotonic()
        turning = bool(snapshot.throttle.any())
        self.uncommanded += turning and monotonic() - self._commanded > OBEDIENCE_TIME

    def fly(self, seconds: float) -> None:
        """Fly on for some seconds, or until the flight is done."""
        end = monotonic() + seconds
        while monotonic() < end and not self.loop.flight.done:
            self.loop.tick()
            self.watch()
        while monotonic() < end:  # what is done keeps being watched
            self.loop.poll()
            self.watch()
            self.loop.wait()

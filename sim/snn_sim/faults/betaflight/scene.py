"""A flight with real firmware as it is seen from outside, while something goes wrong."""

from __future__ import annotations

import random
from time import monotonic

from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.betaflight import ByteStream
from snn_controller.safety import Mode
from snn_sim.betaflight import BetaflightSitl, Snapshot
from snn_sim.faults.betaflight.loop import FlightLoop

DAMAGE = 0.005  # share of damaged bytes
BURST, BURST_EVERY = 64, 10  # bytes of garbage, before one in so many messages


class DamagedStream:
    """A `ByteStream` that changes bytes and sends bursts of garbage between messages."""

    def __init__(self, stream: ByteStream, chance: random.Random) -> None:
        """Pass everything on unchanged until `damaging` is set."""
        self._stream = stream
        self._chance = chance
        self.damaging = False

    def read(self, timeout: float) -> bytes:
        """Return what has come, damaged."""
        return self._damage(self._stream.read(timeout))

    def write(self, data: bytes) -> None:
        """Send bytes damaged, now and then behind garbage."""
        if self.damaging and self._chance.randrange(BURST_EVERY) == 0:
            # what opens the command line is left out: it works on a disarmed vehicle only
            garbage = self._chance.randbytes(BURST).translate(None, b"#\x02R$")
            self._stream.write(garbage)
        self._stream.write(self._damage(data))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def _damage(self, data: bytes) -> bytes:
        if not self.damaging:
            return data
        chance = self._chance
        return bytes(
            b ^ (1 << chance.randrange(8) if chance.random() < DAMAGE else 0) for b in data
        )


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

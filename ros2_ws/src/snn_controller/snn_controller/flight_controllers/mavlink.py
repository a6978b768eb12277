"""The `mavlink` link: body rates and thrust to PX4 (OFFBOARD) or ArduPilot (GUIDED).

The vehicle's own estimate comes back as odometry. Modes and arming are asked for with retries and
never by force, and not again once the vehicle or its pilot has taken control away.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

from snn_controller.action import ActionKind, Command
from snn_controller.errors import UserError
from snn_controller.flight_controllers import LinkStatus
from snn_controller.flight_controllers.links import LinkOptions
from snn_controller.flight_controllers.mavlink_codec import Codec, read_signing_key
from snn_controller.flight_controllers.mavlink_introduction import (
    ANSWER_TIME,
    await_introduction,
    objection,
    questions,
)
from snn_controller.flight_controllers.mavlink_messages import (
    command,
    heartbeat,
    setpoint,
    timesync,
)
from snn_controller.flight_controllers.mavlink_streams import INTERVAL_COMMAND, Streams
from snn_controller.flight_controllers.mavlink_vehicle import Vehicle
from snn_controller.flight_controllers.mavlink_wire import Chunk, Wire, open_wire
from snn_controller.flight_controllers.own_estimate import OwnEstimate
from snn_controller.flight_controllers.pursuit import Pursuit, Wish
from snn_controller.guards.limits import FrameNames
from snn_controller.state import Odometry

DEFAULT_ENDPOINT = "udpin:127.0.0.1:14540"
ACTION_KINDS: frozenset[ActionKind] = frozenset({"thrust_rates"})
HEARTBEAT_PERIOD = 500_000_000  # ns
QUESTION_PERIOD = 500_000_000  # ns
TIMESYNC_PERIOD = 100_000_000  # ns
READS = 8  # of a wire in one poll, each of which takes a limited number of bytes
CLOSE_TIME = 0.2  # s
CLOSE_STEP = 0.005  # s


class MavlinkLink:
    """A `FlightController` over MAVLink 2."""

    name = "mavlink"
    action_kinds = ACTION_KINDS
    has_pilot = True  # or the firmware's own failsafe, which acts when setpoints stop

    def __init__(
        self,
        wire: Wire,
        options: LinkOptions,
        *,
        key: bytes | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Speak over a wire that is open.

        Args:
            wire: Carries the bytes.
            options: Throttle at hover, rate and frames of the odometry.
            key: Signing key (32,), or None.
            sleep: Lets time pass in `close`.
        """
        self.vehicle = Vehicle()
        self._wire = wire
        self._estimate = OwnEstimate(options)
        self._sleep = sleep
        self._codec = Codec(key=key, datagrams=wire.datagrams)
        names = FrameNames(options.world_frame, options.body_frame)
        self._streams = Streams(options.odometry_rate, names, wire.bandwidth)
        self._now = 0
        self._opened: int | None = None
        self._due = {"heartbeat": 0, "timesync": 0, "questions": 0}  # ns
        self._listened = False  # whether bytes have come at all
        self._pursuit = Pursuit()

    def poll(self, now: int) -> LinkStatus:
        """Keep the link alive, take in what has come, and tell."""
        self._now = now
        self._opened = now if self._opened is None else self._opened
        odometry = self._receive(now)
        if odometry is not None:
            armed = self.vehicle.armed
            flying = armed and self._is_in_control
            odometry = self._estimate.tell(odometry, flying=flying, armed=armed)
        self._keep_alive(now)
        self._pursue(now)
        return self._status(odometry, now)

    def arm(self) -> None:
        """Ask for control as soon as setpoints have streamed for a while, then for arming."""
        self._estimate.start()
        self._want(Wish.CONTROL)

    def send(self, command: Command, stamp: int) -> None:
        """Send a setpoint; what is not finite, or of another kind, is a stop."""
        if self._pursuit.wish in (Wish.NOTHING, Wish.LAND):
            return
        values = command.values.tolist()
        stop = command.stop or command.kind != "thrust_rates" or self._pursuit.wish is Wish.KILL
        if stop or not math.isfinite(sum(values)):
            values = [0.0] * 4
        self._pursuit.note_setpoint(self._now)
        self._send_setpoint(values)

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
        start, steps = self._now, round(CLOSE_TIME / CLOSE_STEP)
        for step in range(steps):
            if self._pursuit.is_over(self.vehicle):
                break
            if self._pursuit.wish is not Wish.LAND:
                self._send_setpoint([0.0] * 4)
            self.poll(start + round(step * CLOSE_STEP * 1e9))
            self._sleep(CLOSE_STEP)
        self._want(Wish.NOTHING)

    def release(self) -> None:
        """Give the message rates back to the firmware and let go of the wire."""
        self._want(Wish.NOTHING)
        if self.vehicle.system != 0:
            for message in self._streams.asked_for():
                self._command(INTERVAL_COMMAND, (float(message), 0.0))
        self._wire.close()

    @property
    def _is_in_control(self) -> bool:
        return self.vehicle.takes_setpoints and self._pursuit.wish is not Wish.NOTHING

    @property
    def description(self) -> str:
        """What is flown, for people."""
        firmware, version = self.vehicle.firmware, self.vehicle.version or ()
        name = "nobody yet" if firmware is None else firmware.name
        return f"{name} {'.'.join(map(str, version))} (system {self.vehicle.system})"

    @property
    def silence(self) -> str:
        """Why no vehicle is known, as far as this end can tell."""
        if not self._listened:
            return "nothing comes from there; is the autopilot on, and does it send to this end?"
        if self._codec.damaged:
            return (
                "what comes from there is not MAVLink of this link's kind; check the baud rate,"
                " and the signing key on both ends"
            )
        return "MAVLink comes from there, but no autopilot's heartbeat; check the endpoint"

    def _want(self, wish: Wish) -> None:
        self._pursuit.want(wish)
        self.vehicle.refusals.clear()
        self.vehicle.words.clear()

    def _receive(self, now: int) -> Odometry | None:
        """Take in all that waits, so that what was kept while nobody polled is not told as new."""
        newest = None
        for _ in range(READS if self.vehicle.system != 0 else 1):
            chunks = self._wire.read()
            for chunk in chunks:
                newest = self._take_in(chunk, now) or newest
            if not chunks:
                break
        return newest

    def _take_in(self, chunk: Chunk, now: int) -> Odometry | None:
        newest, known = None, self.vehicle.system != 0
        self._listened = True
        for message in self._codec.unpack(chunk.data):
            if self.vehicle.take(message, now):
                newest = self._streams.take(message, now) or newest
        if not known and self.vehicle.system != 0:
            self._wire.settle(chunk.sender)
            self._codec.speak_as(self.vehicle.system)
        return newest

    def _keep_alive(self, now: int) -> None:
        if self._is_due("heartbeat", now, HEARTBEAT_PERIOD):
            self._send(heartbeat())
        if self.vehicle.system == 0:
            return
        if self._is_due("timesync", now, TIMESYNC_PERIOD):
            self._send(timesync(self._streams.clock.ask(now)))
        if self._is_due("questions", now, QUESTION_PERIOD):
            for question in questions(self.vehicle):
                self._send(question)
        asked = self._streams.ask(self.vehicle, now)
        if asked is not None:
            self._command(INTERVAL_COMMAND, (float(asked[0]), asked[1]))

    def _is_due(self, what: str, now: int, period: int) -> bool:
        if 0 <= now - self._due[what] < period:  # a clock that was set back is due at once
            return False
        self._due[what] = now
        return True

    def _pursue(self, now: int) -> None:
        """Ask for what is wished for, and again while it has no effect."""
        if self.vehicle.system == 0 or objection(self.vehicle):
            return
        asked = self._pursuit.advance(self.vehicle, now)
        if asked is not None:
            request, repetition = asked
            self._command(request.command, request.parameters, repetition)

    def _status(self, odometry: Odometry | None, now: int) -> LinkStatus:
        vehicle = self.vehicle
        since = self._opened if vehicle.heard is None else vehicle.heard
        return LinkStatus(
            age=(now - (since or now)) * 1e-9,
            armed=vehicle.armed,
            in_control=self._is_in_control,
            mode=vehicle.mode,
            refusal=self._refusal(),
            battery=vehicle.battery,
            odometry=odometry,
        )

    def _refusal(self) -> str:
        if self.vehicle.system == 0:
            return self.silence if self._pursuit.wish is Wish.CONTROL else ""
        return objection(self.vehicle) or self._pursuit.refusal(self.vehicle)

    def _send_setpoint(self, values: list[float]) -> None:
        throttle = self._estimate.throttle(values[0])
        self._send(setpoint(throttle, values[1:], self.vehicle, self._now))

    def _command(self, number: int, parameters: tuple[float, ...], repetition: int = 0) -> None:
        self._send(command(self.vehicle, number, parameters, repetition))

    def _send(self, message: Any) -> None:
        self._wire.write(self._codec.pack(message))


def open_mavlink(options: LinkOptions) -> MavlinkLink:
    """Open the endpoint and wait until a vehicle that this link flies has answered.

    Raises:
        UserError: The endpoint, the key, the vehicle or its firmware is not fit, or nobody answers.
    """
    endpoint = options.endpoint or DEFAULT_ENDPOINT
    key = read_signing_key(options.signing_key)
    wire = open_wire(endpoint)
    start = time.monotonic()
    try:
        link = MavlinkLink(wire, options, key=key)
        await_introduction(link.vehicle, lambda: _poll(link), lambda: time.monotonic() - start)
        if link.vehicle.system == 0:
            raise UserError(f"nobody answers at {endpoint} for {ANSWER_TIME:g} s: {link.silence}")
    except BaseException:
        wire.close()
        raise
    return link


def _poll(link: MavlinkLink) -> None:
    link.poll(time.time_ns())
    time.sleep(CLOSE_STEP)

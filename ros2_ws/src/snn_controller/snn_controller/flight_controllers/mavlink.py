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
from snn_controller.flight_controllers.mavlink_endpoint import Wire, open_wire
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
from snn_controller.flight_controllers.mavlink_requests import (
    STREAM_TIME,
    Request,
    Wish,
    next_request,
    refusal,
)
from snn_controller.flight_controllers.mavlink_streams import INTERVAL_COMMAND, Streams
from snn_controller.flight_controllers.mavlink_vehicle import Vehicle
from snn_controller.guards.limits import FrameNames
from snn_controller.state import Odometry

DEFAULT_ENDPOINT = "udpin:127.0.0.1:14540"
ACTION_KINDS: frozenset[ActionKind] = frozenset({"thrust_rates"})
HEARTBEAT_PERIOD = 500_000_000  # ns
QUESTION_PERIOD = 500_000_000  # ns
TIMESYNC_PERIOD = 200_000_000  # ns
STREAM_GAP = 300_000_000  # ns between setpoints that breaks a stream: PX4 wants more than 2 Hz
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
        self._options = options
        self._sleep = sleep
        self._codec = Codec(key=key, datagrams=wire.datagrams)
        names = FrameNames(options.world_frame, options.body_frame)
        self._streams = Streams(options.odometry_rate, names, wire.bandwidth)
        self._now = 0
        self._opened: int | None = None
        self._due = {"heartbeat": 0, "timesync": 0, "questions": 0}  # ns
        self._listened = False  # whether bytes have come at all
        self._wish = Wish.NOTHING
        self._forget_requests()

    def poll(self, now: int) -> LinkStatus:
        """Keep the link alive, take in what has come, and tell."""
        self._now = now
        self._opened = now if self._opened is None else self._opened
        odometry = self._receive(now)
        self._watch_control()
        self._keep_alive(now)
        self._pursue(now)
        return self._status(odometry, now)

    def arm(self) -> None:
        """Ask for control as soon as setpoints have streamed for a second, then for arming."""
        self._wish = Wish.CONTROL
        self._forget_requests()

    def send(self, command: Command, stamp: int) -> None:
        """Send a setpoint; what is not finite, or of another kind, is a stop."""
        if self._wish in (Wish.NOTHING, Wish.LAND):
            return
        values = command.values.tolist()
        stop = command.stop or command.kind != "thrust_rates" or self._wish is Wish.KILL
        if stop or not math.isfinite(sum(values)):
            values = [0.0] * 4
        if self._sent is None or self._now - self._sent > STREAM_GAP:
            self._stream_start = self._now
        self._sent = self._now
        self._send_setpoint(values)

    def disarm(self) -> None:
        """Ask for disarming, which firmware refuses in the air."""
        self._wish = Wish.DISARM
        self._forget_requests()

    def kill(self) -> None:
        """Disarm by force, in the air too, and again until the vehicle says that it has."""
        self._wish = Wish.KILL
        self._forget_requests()
        self._pursue(self._now)

    def hand_back(self) -> None:
        """Send no setpoint and ask for nothing: the firmware leaves the mode by itself."""
        self._wish = Wish.NOTHING
        self._forget_requests()

    def close(self) -> None:
        """Disarm on the ground; in the air let the firmware land, which is never a drop."""
        if self._wish in (Wish.NOTHING, Wish.LAND):
            return
        if self._wish is not Wish.KILL:
            self._wish = Wish.LAND if self.vehicle.airborne else Wish.DISARM
            self._forget_requests()
        start, step = self._now, 0
        while step * CLOSE_STEP < CLOSE_TIME and not self._is_over:
            if self._wish is not Wish.LAND:
                self._send_setpoint([0.0] * 4)
            self.poll(start + round(step * CLOSE_STEP * 1e9))
            self._sleep(CLOSE_STEP)
            step += 1
        self._wish = Wish.NOTHING

    def release(self) -> None:
        """Give the message rates back to the firmware and let go of the wire."""
        self._wish = Wish.NOTHING
        if self.vehicle.system != 0:
            for message in self._streams.asked_for():
                self._command(INTERVAL_COMMAND, (float(message), 0.0))
        self._wire.close()

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

    @property
    def _is_over(self) -> bool:
        vehicle = self.vehicle
        if self._wish is Wish.LAND and vehicle.armed:
            return not vehicle.takes_setpoints
        return not vehicle.armed

    def _forget_requests(self) -> None:
        self._request: Request | None = None
        self._requested_at = self._repetitions = 0
        self._stream_start: int = 0
        self._sent: int | None = None
        self._had_mode = self._engaged = False
        self._lost = ""
        self.vehicle.refusals.clear()
        self.vehicle.words.clear()

    def _receive(self, now: int) -> Odometry | None:
        newest = None
        for chunk in self._wire.read():
            self._listened = True
            known = self.vehicle.system != 0
            for message in self._codec.unpack(chunk.data):
                if self.vehicle.take(message, now):
                    newest = self._streams.take(message, now) or newest
            if not known and self.vehicle.system != 0:
                self._wire.settle(chunk.sender)
                self._codec.speak_as(self.vehicle.system)
        return newest

    def _watch_control(self) -> None:
        """Notice that control was given, and stop asking once it was taken away."""
        if self._wish is not Wish.CONTROL or self._streamed < STREAM_TIME:
            return
        vehicle = self.vehicle
        had = self._engaged or self._had_mode
        self._had_mode |= vehicle.takes_setpoints
        self._engaged |= vehicle.takes_setpoints and vehicle.armed
        if had and (not vehicle.takes_setpoints or (self._engaged and not vehicle.armed)):
            what = "disarmed" if vehicle.takes_setpoints else f"went to {vehicle.mode}"
            self.hand_back()
            self._lost = f"the vehicle {what}: it is its pilot's until it is armed again"

    @property
    def _streamed(self) -> float:
        """Seconds for which setpoints have gone out without a gap."""
        if self._sent is None or self._now - self._sent > STREAM_GAP:
            return 0.0
        return (self._now - self._stream_start) * 1e-9

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
        request = next_request(self._wish, self.vehicle, streamed=self._streamed)
        waited = abs(now - self._requested_at) * 1e-9
        if request is None or (request == self._request and waited < request.period):
            return
        self._repetitions = self._repetitions + 1 if request == self._request else 0
        self._request, self._requested_at = request, now
        self._command(request.command, request.parameters, self._repetitions)

    def _status(self, odometry: Odometry | None, now: int) -> LinkStatus:
        vehicle = self.vehicle
        since = self._opened if vehicle.heard is None else vehicle.heard
        return LinkStatus(
            age=(now - (since or now)) * 1e-9,
            armed=vehicle.armed,
            in_control=vehicle.takes_setpoints and self._wish is not Wish.NOTHING,
            mode=vehicle.mode,
            refusal=self._refusal(),
            battery=vehicle.battery,
            odometry=odometry,
        )

    def _refusal(self) -> str:
        if self.vehicle.system == 0:
            return self.silence if self._wish is Wish.CONTROL else ""
        if self._wish is Wish.NOTHING:
            return self._lost
        reason = objection(self.vehicle) or refusal(self._request, self.vehicle)
        return "" if self._engaged else reason

    def _send_setpoint(self, values: list[float]) -> None:
        self._send(setpoint(values, self.vehicle, self._now, self._options))

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

"""The `mavlink` link: body rates and thrust to PX4 (OFFBOARD) or ArduPilot (GUIDED).

The vehicle's own estimate comes back as odometry. Modes and arming are asked for with retries and
never by force, and not again once the vehicle or its pilot has taken control away.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pymavlink.dialects.v20 import common

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.codec import (
    Codec,
    command,
    heartbeat,
    read_signing_key,
    setpoint,
    timesync,
)
from snn_controller.flight_controllers.mavlink.streams import INTERVAL_COMMAND, Streams
from snn_controller.flight_controllers.mavlink.transport import Chunk, Wire, open_wire
from snn_controller.flight_controllers.mavlink.vehicle import (
    FIRMWARES,
    MULTIROTORS,
    MavlinkAutopilot,
    autopilot_name,
    vehicle_name,
)
from snn_controller.flight_controllers.registry import RATES_ONLY, LinkOptions
from snn_controller.flight_controllers.shared.autopilot import AutopilotLink, Request, Wish
from snn_controller.vehicle import FrameNames, LinkStatus, Odometry

ANSWER_TIME = 10.0  # s to wait for a vehicle and for its version


def objection(vehicle: MavlinkAutopilot) -> str:
    """Say why a vehicle that has been heard is not flown, as far as is known; "" for no reason."""
    firmware = vehicle.firmware
    if firmware is None:
        names = " and ".join(firmware.name for firmware in FIRMWARES.values())
        return (
            f"the vehicle runs {autopilot_name(vehicle.autopilot)}, but this link flies {names};"
            " check the endpoint, or choose another link"
        )
    if vehicle.kind not in MULTIROTORS:
        return (
            f"the vehicle is a {vehicle_name(vehicle.kind)}, but body rates and thrust fly"
            " multirotors; check the endpoint and the autopilot's airframe"
        )
    version = vehicle.version
    # 0.0.0 is what firmware says that was built outside its repository: its age is unknown
    if version is not None and version != (0, 0, 0) and version[:2] < firmware.oldest:
        return (
            f"{firmware.name} {version[0]}.{version[1]}.{version[2]} is too old;"
            f" update it to {firmware.oldest[0]}.{firmware.oldest[1]} or later"
        )
    if firmware.check in vehicle.parameters:
        value = int(vehicle.parameters[firmware.check])
        if not value & firmware.check_bit:
            return (
                f"{firmware.name}'s parameter {firmware.check} is {value}, without bit"
                f" {firmware.check_bit}: {firmware.check_mend}"
            )
    return ""


def questions(vehicle: MavlinkAutopilot) -> list[Any]:
    """Return the messages that ask for what is not known of a vehicle yet."""
    firmware = vehicle.firmware
    if firmware is None:
        return []
    asked: list[Any] = []
    if vehicle.version is None:
        version = float(common.MAVLINK_MSG_ID_AUTOPILOT_VERSION)
        asked.append(command(vehicle, common.MAV_CMD_REQUEST_MESSAGE, (version,)))
        # the older way to ask the same
        asked.append(command(vehicle, common.MAV_CMD_REQUEST_AUTOPILOT_CAPABILITIES, (1.0,)))
    if firmware.check and firmware.check not in vehicle.parameters:
        asked.append(
            common.MAVLink_param_request_read_message(
                vehicle.system, vehicle.component, firmware.check.encode(), -1
            )
        )
    return asked


def await_handshake(
    vehicle: MavlinkAutopilot, poll: Callable[[], None], elapsed: Callable[[], float]
) -> None:
    """Poll until a vehicle is known well enough to fly it.

    Raises:
        UserError: It is not one that this link flies, or it does not say what it is.
    """
    while elapsed() < ANSWER_TIME:
        poll()
        if vehicle.system != 0:
            if reason := objection(vehicle):
                raise UserError(reason)
            if not questions(vehicle):
                return
    if vehicle.system == 0:
        return  # the link knows best why nobody was heard
    firmware = vehicle.firmware
    assert firmware is not None
    what = "its version" if vehicle.version is None else f"its parameter {firmware.check}"
    raise UserError(
        f"{firmware.name} does not tell {what}; update it to"
        f" {firmware.oldest[0]}.{firmware.oldest[1]} or later, and check the link"
    )


DEFAULT_ENDPOINT = "udpin:127.0.0.1:14540"
HEARTBEAT_PERIOD = 500_000_000  # ns
HEARTBEAT_PATIENCE = 2_500_000_000  # ns; a firmware may send one a second only
QUESTION_PERIOD = 500_000_000  # ns
TIMESYNC_PERIOD = 100_000_000  # ns
READS = 8  # of a wire in one poll, each of which takes a limited number of bytes
POLL_STEP = 0.005  # s between two polls while nobody has answered


class MavlinkLink(AutopilotLink[MavlinkAutopilot]):
    """A `FlightController` over MAVLink 2."""

    name = "mavlink"
    action_kinds = RATES_ONLY

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
        super().__init__(MavlinkAutopilot(), options, "thrust_rates", sleep)
        self._wire = wire
        self._codec = Codec(key=key, datagrams=wire.datagrams)
        names = FrameNames(options.world_frame, options.body_frame)
        self._streams = Streams(options.odometry_rate, names, wire.bandwidth)
        self._opened: int | None = None
        self._due = {"heartbeat": 0, "timesync": 0, "questions": 0}  # ns
        self._listened = False  # whether bytes have come at all

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
        self._request_on(now)
        return self._status(odometry, now)

    def release(self) -> None:
        """Give the message rates back to the firmware and let go of the wire."""
        self._want(Wish.NOTHING)
        if self.vehicle.system != 0:
            for message in self._streams.asked_for():
                self._command(INTERVAL_COMMAND, (float(message), 0.0))
        self._wire.close()

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

    def _status(self, odometry: Odometry | None, now: int) -> LinkStatus:
        vehicle = self.vehicle
        return LinkStatus(
            age=(now - self._last_heard(now)) * 1e-9,
            armed=vehicle.armed,
            in_control=self._is_in_control,
            mode=vehicle.mode,
            refusal=self._refusal(),
            battery=vehicle.battery,
            odometry=odometry,
        )

    def _last_heard(self, now: int) -> int:
        """Return the time in ns at which the vehicle was last known to live."""
        vehicle = self.vehicle
        if vehicle.heard is None:
            return now if self._opened is None else self._opened
        if vehicle.beat is not None and now - vehicle.beat > HEARTBEAT_PATIENCE:
            return vehicle.beat  # who knows what mode it is in
        return vehicle.heard

    def _objection(self) -> str:
        if self.vehicle.system == 0:
            return self.silence if self._requests.wish is Wish.CONTROL else ""
        return objection(self.vehicle)

    def _close_step(self, now: int) -> None:
        if self._requests.wish is not Wish.LAND:
            self._send_values(None)
        self.poll(now)

    def _send_values(self, values: list[float] | None) -> None:
        thrust, *rates = values or [0.0] * 4
        throttle = self._estimate.throttle(thrust)
        self._send(setpoint(throttle, rates, self.vehicle, self._now))

    def _ask(self, request: Request, repetition: int) -> None:
        self._command(request.command, request.parameters, repetition)

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
        await_handshake(link.vehicle, lambda: _poll(link), lambda: time.monotonic() - start)
        if link.vehicle.system == 0:
            raise UserError(f"nobody answers at {endpoint} for {ANSWER_TIME:g} s: {link.silence}")
    except BaseException:
        wire.close()
        raise
    return link


def _poll(link: MavlinkLink) -> None:
    link.poll(time.time_ns())
    time.sleep(POLL_STEP)

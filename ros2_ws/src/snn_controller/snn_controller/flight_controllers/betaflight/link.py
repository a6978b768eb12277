"""The `betaflight` link: thrust and body rates as stick positions over MSP.

The firmware stabilises the rates; its failsafe stops the motors 0.3 s after the last command and
disarms 1.5 s later (its defaults). It has no estimate of its position: odometry comes by topic.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.msp import Frame, MspClient, open_stream
from snn_controller.flight_controllers.betaflight.vehicle import BetaflightVehicle, read_vehicle
from snn_controller.flight_controllers.registry import RATES_ONLY, LinkOptions
from snn_controller.vehicle import Command, LinkStatus, stop_command

FRESH = 0.1  # s, older commands are not sent
PATIENCE = 0.04  # s until a lost answer is no longer waited for; the usual one takes 0.01 s
STATUS_PERIOD = 0.1  # s
URGENT_STATUS_PERIOD = 0.06  # s, some commands later: to see that they were obeyed
BATTERY_PERIOD = 1.0  # s


@dataclass(frozen=True)
class LastHeard:
    """What the vehicle said last."""

    status: msp.VehicleStatus
    time: float  # s, monotonic, of the last answer of any kind
    battery: float | None = None  # V
    answers: int = 0  # commands that the vehicle has confirmed
    trouble: str = ""  # why the connection has ended


class MspWorker(Thread):
    """Sends channels and asks for the status until `halt`."""

    def __init__(self, client: MspClient) -> None:
        """Ask for the first status; the thread is not started yet.

        Raises:
            UserError: Nobody answers.
        """
        super().__init__(name="msp", daemon=True)
        self._client = client
        status = msp.parse_status(client.ask(msp.STATUS))
        self._heard = LastHeard(status, monotonic())
        self._changed = Condition()
        self._payload: bytes | None = None  # newest channels, until they are sent
        self._payload_time = 0.0
        self._urgent = False
        self._urgent_time = 0.0
        self._halted = False
        self._asked = 0.0  # s, monotonic, when the status was asked for
        self._battery_time = 0.0

    @property
    def heard(self) -> LastHeard:
        """What the vehicle said last."""
        return self._heard

    def offer(self, channels: list[int], *, urgent: bool = False) -> None:
        """Let pulse widths in us be the newest command; an urgent one never grows too old."""
        payload = msp.pack_channels(channels)
        with self._changed:
            now = monotonic()
            if urgent and now - self._urgent_time > STATUS_PERIOD:
                self._asked = now  # the first one goes before the status
            self._urgent_time = now if urgent else self._urgent_time
            self._payload, self._payload_time, self._urgent = payload, now, urgent
            self._changed.notify_all()

    def await_answer(self, timeout: float) -> bool:
        """Wait until the newest command was sent and answered; say whether it was."""
        with self._changed:
            return self._changed.wait_for(lambda: self._payload is None, timeout)

    def halt(self) -> None:
        """End the thread and close the connection."""
        with self._changed:
            self._halted = True
            self._changed.notify_all()
        if self.is_alive():
            self.join(timeout=2.0)
        self._client.close()

    def run(self) -> None:
        """Talk until `halt`, or until the connection is lost."""
        try:
            while not self._halted:
                self._turn()
        except OSError as error:
            self._update(trouble=str(error))

    def _turn(self) -> None:
        now = monotonic()
        # since it was asked for, not heard: commands must not wait for a lost answer
        since, urgent = now - self._asked, self._urgent
        if since < (URGENT_STATUS_PERIOD if urgent else STATUS_PERIOD):
            payload = self._next_payload()
            if payload is not None:
                self._send(payload)
        elif now - self._battery_time > BATTERY_PERIOD and not urgent:
            self._battery_time = now
            self._ask(msp.ANALOG)
        else:
            self._asked = now
            self._ask(msp.STATUS)

    def _next_payload(self) -> bytes | None:
        """Return the newest command, waiting a moment for one; None where there is none."""
        with self._changed:
            self._changed.wait_for(lambda: self._payload is not None or self._halted, 0.02)
            stale = not self._urgent and monotonic() - self._payload_time > FRESH
            if self._payload is not None and stale:
                self._payload = None
            return self._payload

    def _send(self, payload: bytes) -> None:
        if not self._ask(msp.SET_RAW_RC, payload):
            return  # lost: the newest command goes out next
        with self._changed:
            if self._payload is payload:
                self._payload, self._urgent = None, False
            self._changed.notify_all()

    def _ask(self, command: int, payload: bytes = b"") -> bool:
        """Send a request and take in what comes until its answer; say whether that came."""
        for frame in self._client.exchange(command, payload, timeout=PATIENCE):
            with suppress(UserError):  # damaged, though its checksum is right
                self._take(frame)
            if frame.command == command:
                return True
        return False

    def _take(self, frame: Frame) -> None:
        """Note an answer, also one that comes too late for its question."""
        if frame.command == msp.SET_RAW_RC:
            self._update(answers=self._heard.answers + 1)
        elif frame.command == msp.STATUS and not frame.refused:
            self._update(status=msp.parse_status(frame.payload))
        elif frame.command == msp.ANALOG and not frame.refused:
            self._update(battery=msp.parse_battery(frame.payload))

    def _update(self, **changes: object) -> None:
        values = {**vars(self._heard), "time": monotonic(), **changes}
        if "trouble" in changes:
            values["time"] = self._heard.time
        self._heard = LastHeard(**values)


DEFAULT_ENDPOINT = "tcp:127.0.0.1:5761"
CLOSING_TIME, CLOSING_STEP = 0.2, 0.02  # s
SWITCH_TIME = 1.0  # s, patience with the arm switch before it is lowered for another try
RETRY_TIME = 0.5  # s between two tries
ARMED = 1  # bit of the status' modes, which the firmware lists first
# Modes that give the sticks another meaning, by permanent number, in the Configurator's words.
FOREIGN_MODES = {
    1: "angle",
    2: "horizon",
    3: "altitude hold",
    6: "headfree",
    11: "position hold",
    12: "passthrough",
    27: "failsafe",
    30: "camera angle mix",
    35: "turtle",
    45: "paralyze",
    46: "GPS rescue",
    47: "acro trainer",
    49: "launch control",
    55: "chirp",
}
OWN_MODE = "acro"


def open_betaflight(options: LinkOptions) -> Betaflight:
    """Connect to a vehicle and check how it is set up.

    Raises:
        UserError: Nobody answers, or the vehicle is not fit for thrust and rates.
    """
    endpoint = options.endpoint or DEFAULT_ENDPOINT
    client = MspClient(open_stream(endpoint), endpoint)
    try:
        vehicle = read_vehicle(client, options)
        return Betaflight(vehicle, MspWorker(client))
    except BaseException:
        client.close()
        raise


class Betaflight:
    """A `FlightController` that runs Betaflight."""

    name = "betaflight"
    action_kinds = RATES_ONLY
    has_pilot = False  # the receiver is MSP: nobody else commands this vehicle

    def __init__(self, vehicle: BetaflightVehicle, worker: MspWorker) -> None:
        """Talk to a vehicle that was found fit, through a worker that is started here."""
        self.vehicle = vehicle
        self._worker = worker
        self._wanted = False  # somebody asked to arm
        self._ending = False  # disarming, until the vehicle says that it is
        self._was_armed = False
        self._silent = False
        self._switch = False  # the arm switch is up
        self._switched = 0.0  # s, monotonic, when it was moved
        worker.start()

    @property
    def description(self) -> str:
        """Firmware and endpoint."""
        return self.vehicle.description

    @property
    def confirmed(self) -> int:
        """Number of commands that the vehicle has confirmed."""
        return self._worker.heard.answers

    @property
    def signal_lost(self) -> bool:
        """Whether the vehicle misses our commands."""
        return bool(self._worker.heard.status.arming_flags & msp.RX_LOSS)

    def poll(self, now: int) -> LinkStatus:
        """Move the arm switch where it should be, and tell what the vehicle said last."""
        heard = self._worker.heard
        armed = bool(heard.status.modes & ARMED)
        self._move_switch(heard, armed)
        if self._ending and armed:  # the firmware wants to see the switch down four times
            self._offer(stop_command("thrust_rates"), urgent=True)
        mode = self._mode(heard)
        waiting = self._wanted and not armed
        flags = heard.status.arming_flags & ~msp.ARM_SWITCH
        return LinkStatus(
            age=monotonic() - heard.time,
            armed=armed,
            in_control=mode == OWN_MODE,
            mode=mode,
            refusal=heard.trouble or (msp.arming_words(flags) if waiting else ""),
            battery=heard.battery,
        )

    def arm(self) -> None:
        """Ask for arming: the switch goes up once the firmware has no objection left."""
        self._wanted, self._ending, self._silent, self._was_armed = True, False, False, False

    def send(self, command: Command, stamp: int) -> None:
        """Let the vehicle have a command as its next; the newest wins."""
        if not self._silent:
            self._offer(command)

    def disarm(self) -> None:
        """Lower the arm switch until the vehicle is disarmed; it obeys in the air too."""
        self._wanted, self._ending = False, True
        self._set_switch(False)
        self._offer(stop_command("thrust_rates"), urgent=True)

    def kill(self) -> None:
        """Lower the arm switch: there is no faster way to stop the motors."""
        self.disarm()

    def hand_back(self) -> None:
        """Disarm, and send nothing else until `arm`: nobody else could fly this vehicle."""
        self.kill()
        self._silent = True

    def close(self) -> None:
        """Disarm, and wait until the vehicle says that it is."""
        deadline = monotonic() + CLOSING_TIME
        self.disarm()
        while (left := deadline - monotonic()) > 0.0 and not self._worker.heard.trouble:
            self._worker.await_answer(min(left, CLOSING_STEP))
            if not self.poll(0).armed:
                return

    def release(self) -> None:
        """End the connection."""
        self._silent = True
        self._worker.halt()

    def _offer(self, command: Command, *, urgent: bool = False) -> None:
        vehicle = self.vehicle
        frame = list(vehicle.quiet)
        for place, pulse in zip(vehicle.channel_map, vehicle.rc.pulses(command), strict=True):
            frame[place] = pulse
        if self._switch:
            frame[vehicle.arm_channel] = vehicle.arm_pulse
        self._worker.offer(frame, urgent=urgent)

    def _move_switch(self, heard: LastHeard, armed: bool) -> None:
        """Raise the switch when nothing objects, lower it when the vehicle did not obey."""
        if armed:
            self._was_armed = True
            return
        if self._was_armed:  # the firmware has disarmed: do not ask again unasked
            self._was_armed = self._wanted = False
            self._set_switch(False)
            return
        since = monotonic() - self._switched
        if self._switch:
            if since > SWITCH_TIME or heard.status.arming_flags & msp.ARM_SWITCH:
                self._set_switch(False)
        elif self._wanted and heard.status.arming_flags == 0 and since > RETRY_TIME:
            self._set_switch(True)

    def _set_switch(self, up: bool) -> None:
        if up is not self._switch:
            self._switch, self._switched = up, monotonic()

    def _mode(self, heard: LastHeard) -> str:
        bits = heard.status.modes
        on = (number for bit, number in enumerate(self.vehicle.modes) if bits >> bit & 1)
        return next((FOREIGN_MODES[number] for number in on if number in FOREIGN_MODES), OWN_MODE)

"""The thread that talks to a Betaflight vehicle: the newest command per answer, and its status.

A command is sent once, and only while it is fresh: when no new ones come, none are sent, and the
vehicle's own failsafe acts. Asking for the status is no command.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from threading import Condition, Thread
from time import monotonic

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.msp import Frame, MspClient

FRESH = 0.1  # s, older commands are not sent
PATIENCE = 0.04  # s until a lost answer is no longer waited for; the usual one takes 0.01 s
STATUS_PERIOD = 0.1  # s
URGENT_STATUS_PERIOD = 0.06  # s, some commands later: to see that they were obeyed
BATTERY_PERIOD = 1.0  # s


@dataclass(frozen=True)
class Heard:
    """What the vehicle said last."""

    status: msp.VehicleStatus
    time: float  # s, monotonic, of the last answer of any kind
    battery: float | None = None  # V
    answers: int = 0  # commands that the vehicle has confirmed
    trouble: str = ""  # why the connection has ended


class MspPump(Thread):
    """Sends channels and asks for the status until `halt`."""

    def __init__(self, client: MspClient) -> None:
        """Ask for the first status; the thread is not started yet.

        Raises:
            UserError: Nobody answers.
        """
        super().__init__(name="msp", daemon=True)
        self._client = client
        status = msp.parse_status(client.ask(msp.STATUS))
        self._heard = Heard(status, monotonic())
        self._changed = Condition()
        self._payload: bytes | None = None  # newest channels, until they are sent
        self._payload_time = 0.0
        self._urgent = False
        self._urgent_time = 0.0
        self._halted = False
        self._asked = 0.0  # s, monotonic, when the status was asked for
        self._battery_time = 0.0

    @property
    def heard(self) -> Heard:
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
        self._heard = Heard(**values)

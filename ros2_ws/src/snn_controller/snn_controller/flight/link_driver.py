"""Carries out on a link what the state machine has decided."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from snn_controller.flight.flight import Flight
from snn_controller.safety import Mode
from snn_controller.vehicle import Command, FlightController, LinkStatus, Odometry

DISARM_TIME = 5.0  # s that a vehicle has to disarm after its flight


class LinkDriver:
    """Calls a link once for each state that asks something of the vehicle."""

    def __init__(self, link: FlightController) -> None:
        """Drive a link that nobody has armed."""
        self._link = link
        self._mode = Mode.DISARMED
        self._odometry: Odometry | None = None
        self._done_at: float | None = None  # s, of the steady clock
        self._flown = False  # it left the states in which nobody has asked it to arm
        self._calls: dict[Mode, Callable[[], None]] = {
            Mode.ARMING: link.arm,
            Mode.DISARMED: link.disarm,
            Mode.KILLED: link.kill,
            Mode.PILOT: link.hand_back,
        }

    def poll(self, flight: Flight, now: int) -> LinkStatus:
        """Let the flight know what the vehicle says at a time in ns."""
        flight.status = self._link.poll(now)
        self._odometry = flight.status.odometry or self._odometry
        return flight.status

    def take_odometry(self) -> Odometry | None:
        """Return the newest odometry of the vehicle that was not taken yet, whichever poll it was.

        None where odometry comes by topic.
        """
        odometry, self._odometry = self._odometry, None
        return odometry

    def answer(self, flight: Flight, command: Command | None, stamp: int) -> None:
        """Follow the state of a flight and send its command, if it has one."""
        self.follow(flight.mode)
        if command is not None:
            self._link.send(command, stamp)

    def follow(self, mode: Mode) -> None:
        """Ask of the vehicle what a new state needs."""
        if mode is not self._mode:
            self._mode = mode
            self._flown |= mode not in (Mode.DISARMED, Mode.CHECKS)
            self._calls.get(mode, _do_nothing)()

    def has_ended(self, flight: Flight) -> bool:
        """Whether a flight is done, and a vehicle that it armed is disarmed or had time to.

        Firmware takes a second or two to believe that it has landed before it disarms.
        """
        if not flight.done:
            return False
        asked = self._flown and flight.mode in (Mode.DISARMED, Mode.KILLED)
        if not asked or not flight.status.armed:
            return True
        self._done_at = monotonic() if self._done_at is None else self._done_at
        return monotonic() - self._done_at > DISARM_TIME

    def close(self) -> None:
        """Stop the motors at the end of a flight, unless a pilot flies."""
        if self._mode is not Mode.PILOT:
            self._link.close()
        self._mode = Mode.DISARMED
        self._flown, self._done_at = False, None


def _do_nothing() -> None:
    pass

"""The `betaflight` link: thrust and body rates as stick positions over MSP.

The firmware stabilises the rates; its failsafe stops the motors 0.3 s after the last command and
disarms 1.5 s later (its defaults). It has no estimate of its position: odometry comes by topic.
"""

from __future__ import annotations

from time import monotonic

from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.byte_stream import open_stream
from snn_controller.flight_controllers.betaflight.msp import MspClient
from snn_controller.flight_controllers.betaflight.vehicle import Vehicle, read_vehicle
from snn_controller.flight_controllers.betaflight.worker import Heard, MspPump
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle import ActionKind, Command, LinkStatus, stop_command

DEFAULT_ENDPOINT = "tcp:127.0.0.1:5761"
ACTION_KINDS: frozenset[ActionKind] = frozenset({"thrust_rates"})
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
        return Betaflight(vehicle, MspPump(client))
    except BaseException:
        client.close()
        raise


class Betaflight:
    """A `FlightController` that runs Betaflight."""

    name = "betaflight"
    action_kinds = ACTION_KINDS
    has_pilot = False  # the receiver is MSP: nobody else commands this vehicle

    def __init__(self, vehicle: Vehicle, pump: MspPump) -> None:
        """Talk to a vehicle that was found fit, through a pump that is started here."""
        self.vehicle = vehicle
        self._pump = pump
        self._wanted = False  # somebody asked to arm
        self._ending = False  # disarming, until the vehicle says that it is
        self._was_armed = False
        self._silent = False
        self._switch = False  # the arm switch is up
        self._switched = 0.0  # s, monotonic, when it was moved
        pump.start()

    @property
    def description(self) -> str:
        """Firmware and endpoint."""
        return self.vehicle.description

    @property
    def confirmed(self) -> int:
        """Number of commands that the vehicle has confirmed."""
        return self._pump.heard.answers

    @property
    def signal_lost(self) -> bool:
        """Whether the vehicle misses our commands."""
        return bool(self._pump.heard.status.arming_flags & msp.RX_LOSS)

    def poll(self, now: int) -> LinkStatus:
        """Move the arm switch where it should be, and tell what the vehicle said last."""
        heard = self._pump.heard
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
        while (left := deadline - monotonic()) > 0.0 and not self._pump.heard.trouble:
            self._pump.await_answer(min(left, CLOSING_STEP))
            if not self.poll(0).armed:
                return

    def release(self) -> None:
        """End the connection."""
        self._silent = True
        self._pump.halt()

    def _offer(self, command: Command, *, urgent: bool = False) -> None:
        vehicle = self.vehicle
        frame = list(vehicle.quiet)
        for place, pulse in zip(vehicle.channel_map, vehicle.sticks.pulses(command), strict=True):
            frame[place] = pulse
        if self._switch:
            frame[vehicle.arm_channel] = vehicle.arm_pulse
        self._pump.offer(frame, urgent=urgent)

    def _move_switch(self, heard: Heard, armed: bool) -> None:
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

    def _mode(self, heard: Heard) -> str:
        bits = heard.status.modes
        on = (number for bit, number in enumerate(self.vehicle.modes) if bits >> bit & 1)
        return next((FOREIGN_MODES[number] for number in on if number in FOREIGN_MODES), OWN_MODE)

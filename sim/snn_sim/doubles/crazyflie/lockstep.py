"""The `crazyflie` link and the firmware's double in one process and one time, as fast as it goes.

Link and frames are the real ones. What stands between them is not cflib, whose threads and timers
know real time only, but a radio of our own that sends the same frames when time advances. Flights
with cflib are in `tests/test_crazyflie_flight.py`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.crazyflie import (
    REST_TIME,
    SILENCE_TIME,
    SLACK,
    STALE,
    STATE_PERIOD,
    STATE_VARIABLES,
    STATUS_PERIOD,
    STATUS_VARIABLES,
    STOP,
    CrazyflieLink,
    CrazyflieRadio,
    Sample,
    Setpoint,
    Supervisor,
)
from snn_sim.doubles.crazyflie import crtp
from snn_sim.doubles.crazyflie.firmware import (
    HOVER_THRUST,
    STEP,
    CrazyflieFirmware,
    ground_firmware,
)

START = 1_700_000_000_000_000_000  # ns, of a clock that has nothing to do with the vehicle's
Edit = Callable[[list[bytes]], list[bytes]]  # of frames that come now
_BLOCKS = {  # number of the log block -> variables, their types on the wire, period in ms
    1: (STATE_VARIABLES, (8,) * 13, STATE_PERIOD),
    2: (STATUS_VARIABLES, (2, 7, 8, 8, 8), STATUS_PERIOD),
}


class LockstepRadio:
    """What `CrazyflieRadio` offers, without threads; `advance` lets time pass."""

    def __init__(self, firmware: CrazyflieFirmware) -> None:
        """Connect: read the tables of contents and start the log blocks."""
        self.firmware = firmware
        self.endpoint, self.lost = "lockstep", ""
        self.state: Sample | None = None
        self.status: Sample | None = None
        self.edit_up: Edit = lambda frames: frames
        self.edit_down: Edit = lambda frames: frames
        self.client: Any = SimpleNamespace(supervisor=self)
        self._up: list[bytes] = []
        self._parameters: dict[str, str] = {}
        self._names = self._read_table(crtp.PARAM)
        self._rest_until: float | None = None
        self._rest_due = 0.0
        self.heard = self.seconds
        for number, (variables, kinds, period) in _BLOCKS.items():
            self._start_log(number, variables, kinds, period)

    @property
    def seconds(self) -> float:
        """Time on the clock that both ends share."""
        return self.firmware.time * 1e-3

    @property
    def nanoseconds(self) -> int:
        """The same in ns."""
        return self.firmware.time * 1_000_000

    @property
    def flying(self) -> bool:
        """Whether the firmware says that it flies, or has not been heard for a while."""
        if self.status is None or self.nanoseconds - self.status.arrival > STALE:
            return True
        return bool(int(self.status.values[0]) & Supervisor.FLYING)

    @property
    def silent(self) -> bool:
        """Whether nothing has been heard of the vehicle for a while."""
        return self.seconds - self.heard > SILENCE_TIME

    def advance(self) -> None:
        """Let one step of the vehicle pass."""
        self._rest()
        down: list[bytes] = []
        frames, self._up = self._up, []
        for data in self.edit_up(frames):
            down += self.firmware.receive(data)
        down += self.firmware.step()
        for data in self.edit_down(down):
            self._take(data)

    def parameter(self, name: str) -> str | None:
        """Return the value of a parameter as last heard."""
        return self._parameters.get(name)

    def set_parameters(self, values: dict[str, str]) -> None:
        """Ask for parameters to be set."""
        for name, value in values.items():
            index = self._names.index(name)
            self._send(crtp.PARAM, 2, struct.pack("<HB", index, int(value)))

    def send(self, setpoint: Setpoint) -> None:
        """Send a setpoint with the signs of cflib."""
        self._rest_until = None
        self._send_setpoint(setpoint)

    def do(self, job: Callable[[Any], None]) -> None:
        """Do a job at once."""
        job(self.client)

    def send_arming_request(self, wanted: bool) -> None:
        """Ask to arm or disarm, as cflib does for this protocol."""
        self._send(crtp.PLATFORM, 0, bytes([1, wanted]))

    def send_emergency_stop(self) -> None:
        """Stop the motors, and lock the vehicle."""
        self._send(crtp.LOCATION, 1, b"\x03")

    def rest(self) -> None:
        """Send stop setpoints until the firmware knows that it has landed."""
        self._rest_until = self.seconds + REST_TIME

    def echo(self, patience: float) -> bool:
        """Say that the vehicle has heard, without letting time pass."""
        return True

    def release(self, farewell: dict[str, str]) -> None:
        """Give parameters back."""
        self.set_parameters(farewell)

    def join(self) -> bool:
        """Say that the link is closed."""
        return True

    def _rest(self) -> None:
        if self._rest_until is None or self.seconds < self._rest_due:
            return
        self._rest_due = self.seconds + SLACK
        if self.flying and self.seconds < self._rest_until:
            self._send_setpoint(STOP)
        else:
            self._rest_until = None
            self._send(crtp.GENERIC, 1, b"\0" + struct.pack("<I", 0))

    def _send_setpoint(self, setpoint: Setpoint) -> None:
        values = setpoint.roll, -setpoint.pitch, setpoint.yaw, setpoint.thrust
        self._send(crtp.COMMANDER, 0, struct.pack("<fffH", *values))

    def _send(self, port: int, channel: int, payload: bytes) -> None:
        self._up.append(crtp.frame(port, channel, payload))

    def _take(self, data: bytes) -> None:
        port, channel, payload = data[0] >> 4, data[0] & 3, data[1:]
        self.heard = self.seconds
        if port == crtp.LOG and channel == 2:
            self._take_log(payload)
        elif port == crtp.PARAM and channel == 2 and len(payload) > 2:
            index, value = struct.unpack_from("<HB", payload)
            self._parameters[self._names[index]] = str(value)

    def _take_log(self, payload: bytes) -> None:
        number, time = payload[0], int.from_bytes(payload[1:4], "little")
        kinds = _BLOCKS[number][1]
        values = struct.unpack("<" + "".join(crtp.LOG_TYPES[kind] for kind in kinds), payload[4:])
        sample = Sample(self.nanoseconds, time, values)
        if number == 1:
            self.state = sample
        else:
            self.status = sample

    def _read_table(self, port: int) -> list[str]:
        """Return the names in a table of contents."""
        (answer,) = self.firmware.receive(crtp.frame(port, 0, b"\x03"))
        (count,) = struct.unpack_from("<H", answer, 2)
        names = []
        for index in range(count):
            (item,) = self.firmware.receive(crtp.frame(port, 0, struct.pack("<BH", 2, index)))
            group, variable, _ = item[5:].split(b"\0")
            names.append(f"{group.decode()}.{variable.decode()}")
        return names

    def _start_log(
        self, number: int, variables: Iterable[str], kinds: Iterable[int], period: int
    ) -> None:
        table = self._read_table(crtp.LOG)
        entries = [
            struct.pack("<BH", kind, table.index(name))
            for name, kind in zip(variables, kinds, strict=True)
        ]
        create = bytes([6, number]) + b"".join(entries[:9])  # no more fit into a frame
        append = bytes([7, number]) + b"".join(entries[9:])
        for payload in (create, append, bytes([3, number, period // 10])):
            (answer,) = self.firmware.receive(crtp.frame(crtp.LOG, 1, payload))
            assert answer[3] == 0


def connect_lockstep() -> tuple[CrazyflieLink, LockstepRadio]:
    """Return a link and the radio to a vehicle that stands on the ground."""
    radio = LockstepRadio(ground_firmware())
    options = LinkOptions(hover_thrust=HOVER_THRUST / 65535)
    link = CrazyflieLink(
        options,
        radio=lambda endpoint, names: cast(CrazyflieRadio, radio),
        clock=lambda: radio.nanoseconds,
    )
    return link, radio


def advance(radio: LockstepRadio, seconds: float) -> None:
    """Let time pass."""
    for _ in range(max(1, math.ceil(seconds * 1e3 / STEP - 1e-9))):
        radio.advance()

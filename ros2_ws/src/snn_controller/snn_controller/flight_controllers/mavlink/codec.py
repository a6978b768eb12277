"""MAVLink 2 messages to bytes and back, signed where a key is given."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

from pymavlink.dialects.v20 import common

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.vehicle import MavlinkAutopilot
from snn_controller.vehicle import swap_flu_frd

_LEVEL = [1.0, 0.0, 0.0, 0.0]  # an attitude that the type mask says to ignore
_MAVLINK_VERSION = 3  # which version 2 sends too


def heartbeat() -> Any:
    """Return the HEARTBEAT of a companion computer."""
    return common.MAVLink_heartbeat_message(
        common.MAV_TYPE_ONBOARD_CONTROLLER,
        common.MAV_AUTOPILOT_INVALID,
        0,
        0,
        common.MAV_STATE_ACTIVE,
        _MAVLINK_VERSION,
    )


def setpoint(throttle: float, rates: list[float], vehicle: MavlinkAutopilot, now: int) -> Any:
    """Return SET_ATTITUDE_TARGET for throttle in [0, 1] and body rates in rad/s FLU, now in ns.

    The attitude is ignored; rates turn to FRD.
    """
    roll, pitch, yaw = swap_flu_frd(rates).tolist()
    return common.MAVLink_set_attitude_target_message(
        now // 1_000_000 % 2**32,
        vehicle.system,
        vehicle.component,
        common.ATTITUDE_TARGET_TYPEMASK_ATTITUDE_IGNORE,
        _LEVEL,
        roll,
        pitch,
        yaw,
        throttle,
    )


def command(
    vehicle: MavlinkAutopilot, number: int, parameters: tuple[float, ...], repetition: int = 0
) -> Any:
    """Return COMMAND_LONG to a vehicle; parameters that are not given are 0."""
    seven = (*parameters, *(0.0,) * (7 - len(parameters)))
    return common.MAVLink_command_long_message(
        vehicle.system, vehicle.component, number, min(repetition, 255), *seven
    )


def timesync(now: int) -> Any:
    """Return a TIMESYNC request at our time in ns."""
    return common.MAVLink_timesync_message(0, now)


ONBOARD_COMPUTER = common.MAV_COMP_ID_ONBOARD_COMPUTER
_MARKERS = (common.PROTOCOL_MARKER_V1, common.PROTOCOL_MARKER_V2)
LONGEST_KEY = 4096  # bytes of a key file
_SIGNING_EPOCH = 1_420_070_400  # s, 2015-01-01; signatures count 10 us since then


class Codec:
    """Packs our messages, and unpacks one vehicle's from a stream or from datagrams."""

    def __init__(
        self,
        *,
        system: int = 1,
        component: int = ONBOARD_COMPUTER,
        key: bytes | None = None,
        datagrams: bool = True,
    ) -> None:
        """Speak as one system and component; with a key (32,), unsigned messages are refused."""
        self._mav: Any = _Protocol(None, srcSystem=system, srcComponent=component)
        self._mav.robust_parsing = True
        self._datagrams = datagrams
        if key is not None:
            self._mav.signing.secret_key = key
            self._mav.signing.sign_outgoing = True
        self.damaged = 0  # frames whose checksum or signature was wrong

    def speak_as(self, system: int) -> None:
        """Send as part of this system from now on: the vehicle that the computer rides on."""
        self._mav.srcSystem = system

    def pack(self, message: Any) -> bytes:
        """Return the frame of a message."""
        signing = self._mav.signing
        if signing.sign_outgoing:
            signing.timestamp = max(signing.timestamp, _signing_time())
        frame = message.pack(self._mav)
        self._mav.seq = (self._mav.seq + 1) % 256
        return bytes(frame)

    def unpack(self, data: bytes) -> list[Any]:
        """Return the sound messages in some bytes; what is damaged or unknown is left out."""
        if self._datagrams:
            if not data or data[0] not in _MARKERS:  # cheap, because anybody may send to a port
                self.damaged += 1
                return []
            self._mav.buf, self._mav.buf_index = bytearray(), 0  # of a frame that was cut off
            self._mav.expected_length = common.HEADER_LEN_V1 + 2
        if self._mav.signing.sign_outgoing:
            self._mav.signing.timestamp = max(self._mav.signing.timestamp, _signing_time())
        messages = self._mav.parse_buffer(data) or []
        sound = [message for message in messages if message.get_msgId() >= 0]
        self.damaged += len(messages) - len(sound)
        return [message for message in sound if not isinstance(message, common.MAVLink_unknown)]


class _Protocol(common.MAVLink):
    """pymavlink's, but a forged signature must not move the clock of the stream it imitates."""

    def check_signature(self, msgbuf: bytearray, srcSystem: int, srcComponent: int) -> bool:
        stream = (msgbuf[-13], srcSystem, srcComponent)
        timestamps = self.signing.stream_timestamps
        before = timestamps.get(stream)
        sound = super().check_signature(msgbuf, srcSystem, srcComponent)
        if not sound:
            timestamps.pop(stream, None)
            if before is not None:
                timestamps[stream] = before
        return sound


def read_signing_key(path: str) -> bytes | None:
    """Return the key (32,) in a file: 64 hexadecimal digits, or a passphrase that is hashed.

    Raises:
        UserError: The file cannot be read, is empty, or others can read it too.
    """
    if not path:
        return None
    file = Path(os.path.expanduser(path))
    try:
        if os.path.exists(file) and not file.is_file():
            raise OSError("it is no regular file")
        with file.open("rb") as stream:
            content = stream.read(LONGEST_KEY + 1)
        if len(content) > LONGEST_KEY:
            raise OSError(f"it is longer than {LONGEST_KEY} bytes")
        text = content.decode().strip()
        readable_by_others = file.stat().st_mode & 0o077
    except (OSError, ValueError) as error:
        raise UserError(
            f"signing key {file} cannot be read ({error}); give a file with a passphrase or 64"
            " hexadecimal digits"
        ) from error
    if readable_by_others:
        raise UserError(f"signing key {file} can be read by others: chmod 600 {file}")
    if not text:
        raise UserError(f"signing key {file} is empty; write a passphrase into it")
    if len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text):
        return bytes.fromhex(text)
    return hashlib.sha256(text.encode()).digest()


def _signing_time() -> int:
    return int((time.time() - _SIGNING_EPOCH) * 100_000)

"""What `endpoint` strings mean, and why what they name does not open, in sentences.

TCP as `tcp:HOST:PORT`; a serial port as `/dev/ttyACM0:115200`, `COM3:115200` or
`serial:/dev/ttyACM0:115200`.
"""

from __future__ import annotations

import errno
import socket
from typing import Any

from snn_controller.errors import UserError

CONNECT_TIME = 3.0  # s, patience with a TCP server


def names_tcp(endpoint: str) -> bool:
    """Whether an endpoint means a TCP server."""
    return endpoint.startswith("tcp:")


def names_serial_port(endpoint: str) -> bool:
    """Whether an endpoint means a serial port."""
    return endpoint.startswith(("/", "COM", "serial:"))


def parse_host_and_port(endpoint: str) -> tuple[str, int]:
    """Return host and port of an endpoint KIND:HOST:PORT.

    Raises:
        UserError: One of them is missing, or the port is none.
    """
    kind, _, address = endpoint.partition(":")
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise UserError(f"endpoint '{endpoint}' must be {kind}:HOST:PORT, as {kind}:127.0.0.1:5760")
    return host, int(port)


def parse_serial_port(endpoint: str, default_baud: int | None = None) -> tuple[str, int]:
    """Return device and baud rate of a serial endpoint.

    Args:
        endpoint: One for which `names_serial_port` holds.
        default_baud: Baud rate where the endpoint has none; None where it must have one.

    Raises:
        UserError: The device or the baud rate is missing, or the rate is no number.
    """
    address = endpoint.removeprefix("serial:")
    device, separator, baud = address.rpartition(":")  # names by path have colons too
    if not separator and address and default_baud is not None:
        return address, default_baud
    if not device or not baud.isdecimal() or int(baud) == 0:
        form = "DEVICE:BAUD" if default_baud is None else "DEVICE or DEVICE:BAUD"
        raise UserError(f"endpoint '{endpoint}' must be {form}, as serial:/dev/ttyACM0:115200")
    return device, int(baud)


def connect_tcp(endpoint: str) -> socket.socket:
    """Connect to the server that an endpoint names, without gathering small messages.

    Raises:
        UserError: The endpoint is malformed, or nobody listens there within `CONNECT_TIME`.
    """
    address = parse_host_and_port(endpoint)
    try:
        connection = socket.create_connection(address, timeout=CONNECT_TIME)
    except OSError as error:
        raise UserError(
            f"nobody answers at {endpoint} ({error}); start the flight controller, its simulator or"
            " its bridge, or give another endpoint:="
        ) from error
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def open_serial_port(device: str, baud: int, *, write_timeout: float) -> Any:
    """Open a serial port for us alone; return pyserial's object, whose reads do not wait.

    Args:
        device: Name of the device.
        baud: Baud rate.
        write_timeout: Patience of a write in s; with 0 it takes what goes out at once.

    Raises:
        UserError: pyserial is missing, or the port is not there, not ours or used.
    """
    try:
        import serial
    except ImportError as error:
        raise UserError(
            f"serial port {device} needs the package pyserial: pip install pyserial"
        ) from error
    try:
        return serial.Serial(device, baud, timeout=0.0, write_timeout=write_timeout, exclusive=True)
    except Exception as error:  # termios.error and OverflowError too come through pyserial
        raise UserError(_serial_trouble(device, error)) from error


def _serial_trouble(device: str, error: Exception) -> str:
    """Return the sentence for a serial port that cannot be opened."""
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return (
            f"serial port {device} does not exist; connect the flight controller and power it, or"
            " give another endpoint:="
        )
    if number in (errno.EACCES, errno.EPERM):
        return (
            f"no permission for serial port {device}; join the group that owns it (mostly"
            " 'sudo usermod -aG dialout $USER') and log in again"
        )
    if number in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return (
            f"serial port {device} is used by another program; close it (a ground station or"
            " configurator?)"
        )
    return f"serial port {device} cannot be opened ({error}); check its name and its baud rate"

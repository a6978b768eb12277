from __future__ import annotations

import errno
import os
import pty
import socket
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from snn_controller.errors import UserError
from snn_controller.flight_controllers.shared.endpoints import (
    connect_tcp,
    names_serial_port,
    names_tcp,
    open_serial_port,
    parse_host_and_port,
    parse_serial_port,
)


@pytest.mark.parametrize("endpoint", ["tcp:", "tcp:host", "tcp:host:", "tcp::5", "tcp:h:99999"])
def test_a_malformed_address_is_refused(endpoint: str) -> None:
    with pytest.raises(UserError, match=r"must be tcp:HOST:PORT, as tcp:127.0.0.1:5760"):
        parse_host_and_port(endpoint)


def test_an_address_is_taken_apart() -> None:
    assert parse_host_and_port("udpin:192.168.1.10:14550") == ("192.168.1.10", 14550)
    assert parse_host_and_port("tcp:::1:5760") == ("::1", 5760)


@pytest.mark.parametrize(
    ("endpoint", "device", "baud"),
    [
        ("/dev/ttyACM0:921600", "/dev/ttyACM0", 921600),
        ("serial:/dev/ttyACM0:921600", "/dev/ttyACM0", 921600),
        ("COM3:9600", "COM3", 9600),
        ("serial:COM3", "COM3", 57600),
        ("/dev/ttyACM0", "/dev/ttyACM0", 57600),
        ("/dev/serial/by-path/pci-0:14.0:9600", "/dev/serial/by-path/pci-0:14.0", 9600),
    ],
)
def test_a_serial_port_is_taken_apart(endpoint: str, device: str, baud: int) -> None:
    assert names_serial_port(endpoint) and not names_tcp(endpoint)
    assert parse_serial_port(endpoint, 57600) == (device, baud)


@pytest.mark.parametrize("endpoint", ["/dev/ttyACM0:fast", "/dev/ttyACM0:0", "COM3:", "serial:"])
@pytest.mark.parametrize("default_baud", [None, 57600])
def test_a_malformed_baud_rate_is_refused(endpoint: str, default_baud: int | None) -> None:
    with pytest.raises(UserError, match="DEVICE:BAUD, as serial:/dev/ttyACM0:115200"):
        parse_serial_port(endpoint, default_baud)


def test_a_baud_rate_that_must_be_given_is_asked_for() -> None:
    with pytest.raises(UserError, match=r"'/dev/ttyACM0' must be DEVICE:BAUD"):
        parse_serial_port("/dev/ttyACM0")


def test_nobody_at_the_port_is_told() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        endpoint = f"tcp:127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(UserError, match=f"nobody answers at {endpoint} "):
            connect_tcp(endpoint)


def refusal(device: str) -> str:
    pytest.importorskip("serial")
    with pytest.raises(UserError) as caught:
        open_serial_port(device, 57600, write_timeout=0.0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_serial_port_that_is_not_there_is_told() -> None:
    assert "serial port /dev/ttyNOWHERE does not exist" in refusal("/dev/ttyNOWHERE")


def test_what_is_no_serial_port_is_told(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.touch()
    os.mkfifo(pipe)
    for place in (tmp_path, file, pipe, Path("/dev/null")):
        assert f"serial port {place} cannot be opened" in refusal(str(place))


def test_a_serial_port_in_use_is_told() -> None:
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    port = open_serial_port(os.ttyname(slave), 57600, write_timeout=0.0)
    assert "is used by another program" in refusal(os.ttyname(slave))
    port.close()
    os.close(master)
    os.close(slave)


def test_an_impossible_baud_rate_is_told() -> None:
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    with pytest.raises(UserError, match=r"cannot be opened .* check its name and its baud rate"):
        open_serial_port(os.ttyname(slave), 10**12, write_timeout=0.0)
    os.close(master)
    os.close(slave)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every port")
def test_a_serial_port_without_permission_names_the_mend(tmp_path: Path) -> None:
    device = tmp_path / "tty"
    device.touch(mode=0)
    assert "dialout" in refusal(str(device))


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.EACCES, "no permission for serial port /dev/ttyACM0; join the group"),
        (errno.EBUSY, "is used by another program"),
        (errno.EIO, "cannot be opened"),
    ],
)
def test_a_serial_port_that_does_not_open_is_explained(
    monkeypatch: pytest.MonkeyPatch, number: int, sentence: str
) -> None:
    serial = pytest.importorskip("serial")

    def fail(*_: object, **__: object) -> NoReturn:
        raise serial.SerialException(number, os.strerror(number))

    monkeypatch.setattr(serial, "Serial", fail)
    assert sentence in refusal("/dev/ttyACM0")


def test_without_pyserial_its_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "serial", None)
    with pytest.raises(UserError, match="pip install pyserial"):
        open_serial_port("/dev/ttyACM0", 57600, write_timeout=0.0)

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

import pytest

pytest.importorskip("pymavlink")

from mavlink_samples import free_port
from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink_endpoint import TcpWire, UdpWire, open_wire


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("", "not of the form"),
        ("udp:127.0.0.1:14540", "not of the form"),
        ("udpin:14540", "needs a host and a port"),
        ("udpin:127.0.0.1:99999", "needs a host and a port"),
        ("udpin:203.0.113.1:14540", "cannot be opened"),
        ("tcp:127.0.0.1:1", "listens there"),
        ("serial:/dev/ttyACM0", "needs a device and a baud rate"),
        ("serial:/dev/does_not_exist:57600", "does not exist"),
        ("/dev/null:57600", "cannot be opened"),
    ],
)
def test_a_wrong_endpoint_is_refused_in_a_sentence(endpoint: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        open_wire(endpoint)
    assert "\n" not in str(error.value)


def test_a_port_in_use_is_refused() -> None:
    port = free_port()
    first = open_wire(f"udpin:127.0.0.1:{port}")
    with pytest.raises(UserError, match="cannot be opened"):
        open_wire(f"udpin:127.0.0.1:{port}")
    first.close()
    first.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open every port")
def test_a_serial_port_without_permission_names_the_mend(tmp_path: Path) -> None:
    device = tmp_path / "tty"
    device.touch(mode=0)
    with pytest.raises(UserError, match="dialout"):
        open_wire(f"serial:{device}:57600")


def test_permission_is_named_for_root_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import serial

    def refuse(*_args, **_options):
        raise serial.SerialException(13, "could not open port: Permission denied")

    monkeypatch.setattr(serial, "Serial", refuse)
    with pytest.raises(UserError, match=r"no permission for serial port /dev/null.*dialout"):
        open_wire("serial:/dev/null:57600")


def test_udp_hears_one_peer_once_it_has_settled() -> None:
    port = free_port()
    wire = UdpWire("127.0.0.1", port, bind=True)
    wire.write(b"nobody is there yet")
    first, second = UdpWire("127.0.0.1", port, bind=False), UdpWire("127.0.0.1", port, bind=False)
    first.write(b"one")
    second.write(b"two")
    time.sleep(0.02)
    chunks = wire.read()
    assert [chunk.data for chunk in chunks] == [b"one", b"two"]
    wire.settle(chunks[0].sender)
    first.write(b"three")
    second.write(b"four")
    wire.write(b"answer")
    time.sleep(0.02)
    assert [chunk.data for chunk in wire.read()] == [b"three"]
    assert [chunk.data for chunk in first.read()] == [b"answer"]
    assert second.read() == []
    for each in (wire, first, second):
        each.close()


def test_a_flood_is_read_in_parts_and_a_dead_peer_does_not_raise() -> None:
    port = free_port()
    wire, sender = UdpWire("127.0.0.1", port, bind=True), UdpWire("127.0.0.1", port, bind=False)
    for _ in range(60):
        sender.write(bytes(1000))
    time.sleep(0.05)
    assert 10 < len(wire.read()) < 20
    wire.close()
    for _ in range(3):  # the kernel tells by an error that nobody listens
        sender.write(b"x")
        time.sleep(0.01)
        assert sender.read() == []
    sender.close()


def test_tcp_carries_both_ways_and_a_full_pipe_drops_new_messages() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        wire = TcpWire("127.0.0.1", server.getsockname()[1])
        peer, _ = server.accept()
        peer.sendall(b"hello")
        wire.write(b"world")
        time.sleep(0.02)
        assert [chunk.data for chunk in wire.read()] == [b"hello"]
        assert peer.recv(10) == b"world"
        assert wire.read() == []
        start = time.perf_counter()
        for _ in range(20000):
            wire.write(bytes(1000))  # nobody reads
        assert time.perf_counter() - start < 2.0
        peer.close()
        time.sleep(0.02)
        assert wire.read() == []
        wire.write(b"to nobody")
        wire.close()
        assert wire.read() == []

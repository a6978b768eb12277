from __future__ import annotations

import os
import pty
import socket
import time

import pytest

pytest.importorskip("pymavlink")

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink.transport import BACKLOG_LIMIT, UdpWire, open_wire
from support.mavlink_samples import free_port


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("", "not of the form"),
        ("udp:127.0.0.1:14540", "not of the form"),
        ("udpin:14540", "must be udpin:HOST:PORT"),
        ("udpin:127.0.0.1:99999", "must be udpin:HOST:PORT"),
        ("udpin:203.0.113.1:14540", "cannot be opened"),
        ("tcp:127.0.0.1:1", "nobody answers at tcp:127.0.0.1:1 "),
        ("serial:/dev/ttyACM0", "must be DEVICE:BAUD"),
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
        wire = open_wire(f"tcp:127.0.0.1:{server.getsockname()[1]}")
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


@pytest.mark.parametrize("form", ["{}:921600", "serial:{}:921600"])
def test_a_serial_port_carries_both_ways(form: str) -> None:
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    wire = open_wire(form.format(os.ttyname(slave)))
    wire.write(b"question")
    assert os.read(master, 100) == b"question"
    assert wire.read() == []
    os.write(master, b"answer")
    time.sleep(0.02)
    assert [chunk.data for chunk in wire.read()] == [b"answer"]
    assert not wire.datagrams and wire.bandwidth == 92160.0
    os.close(slave)
    os.close(master)  # as if it were unplugged
    assert wire.read() == []
    wire.write(b"to nobody")
    wire.close()


def test_a_serial_port_that_takes_no_bytes_holds_nobody_up() -> None:
    """pyserial's own write would spin for ever in the control loop."""
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    wire = open_wire(f"{os.ttyname(slave)}:921600")
    start = time.perf_counter()
    for _ in range(2000):
        wire.write(bytes(64))
    assert time.perf_counter() - start < 2.0
    os.set_blocking(master, False)
    taken = 0
    while wire.read() == []:  # what waits goes out once somebody reads again
        before = taken
        try:
            while True:
                taken += len(os.read(master, 4096))
        except BlockingIOError:
            pass
        wire.write(b"")
        if taken == before:
            break
    assert BACKLOG_LIMIT < taken < 2000 * 64
    wire.close()
    os.close(slave)
    os.close(master)

from __future__ import annotations

import os
import pty
import socket
import threading

import pytest

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight.msp import open_stream


@pytest.mark.parametrize("endpoint", ["", "udp:1.2.3.4:5", "tcp", "5761"])
def test_an_endpoint_of_another_kind_is_refused(endpoint: str) -> None:
    with pytest.raises(UserError, match="neither tcp:HOST:PORT nor a serial port"):
        open_stream(endpoint)


def test_tcp_brings_bytes_both_ways_and_tells_the_end() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        stream = open_stream(f"tcp:127.0.0.1:{server.getsockname()[1]}")
        other, _ = server.accept()
        stream.write(b"question")
        assert other.recv(100) == b"question"
        assert stream.read(0.01) == b""
        other.sendall(b"answer")
        assert stream.read(1.0) == b"answer"
        other.close()
        with pytest.raises(ConnectionError, match="closed the connection"):
            stream.read(1.0)
        stream.close()
        stream.close()


def test_a_second_controller_of_one_vehicle_is_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = f"tcp:127.0.0.1:{server.getsockname()[1]}"
        first = open_stream(endpoint)
        with pytest.raises(UserError, match=f"another controller flies the vehicle at {endpoint}"):
            open_stream(endpoint)
        first.close()
        open_stream(endpoint).close()


def test_an_endpoint_that_does_not_open_stays_free_for_the_next_try() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))  # bound but not listening: refuses
        endpoint = f"tcp:127.0.0.1:{other.getsockname()[1]}"
        for _ in range(2):
            with pytest.raises(UserError, match=f"nobody answers at {endpoint} "):
                open_stream(endpoint)


def test_a_serial_port_brings_bytes_both_ways() -> None:
    pytest.importorskip("serial")
    master, slave = pty.openpty()
    try:
        stream = open_stream(f"serial:{os.ttyname(slave)}:115200")
        stream.write(b"question")
        assert os.read(master, 100) == b"question"
        assert stream.read(0.01) == b""
        threading.Timer(0.05, os.write, (master, b"answer")).start()
        got = b""
        while len(got) < 6:
            got += stream.read(1.0)
        assert got == b"answer"
        with pytest.raises(UserError, match="is used by another program"):
            open_stream(os.ttyname(slave))
        stream.close()
    finally:
        os.close(master)
        os.close(slave)

"""What keeps the Crazyflie link from connecting, each told in one sentence: about 20 s."""

from __future__ import annotations

import socket
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.flight_controllers.registry import LinkOptions, open_link
from snn_sim.doubles.crazyflie.firmware import ground_firmware
from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble

pytest.importorskip("cflib")
from snn_controller.flight_controllers.crazyflie import connection as crazyflie_connection


def refused(endpoint: str) -> str:
    with pytest.raises(UserError) as caught:
        open_link("crazyflie", LinkOptions(endpoint=endpoint))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_closed_port_says_so() -> None:
    assert "nobody listens there" in refused("udp://127.0.0.1:9")


def test_a_silent_port_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crazyflie_connection, "ANSWER_TIME", 0.3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        assert "nobody answers" in refused("udp://{}:{}".format(*silent.getsockname()))


def test_one_who_talks_nonsense_is_no_crazyflie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crazyflie_connection, "CONNECTION_TIME", 0.5)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 0))

    def talk() -> None:
        rng = np.random.default_rng(2)
        try:
            while True:
                client = server.recvfrom(100)[1]
                for _ in range(20):
                    server.sendto(rng.bytes(int(rng.integers(1, 32))), client)
        except OSError:
            return

    Thread(target=talk, daemon=True).start()
    assert "is a Crazyflie" in refused("udp://{}:{}".format(*server.getsockname()))
    server.close()


def test_without_a_radio_or_cable_it_says_so() -> None:
    if any(Path("/sys/bus/usb/devices").glob("*/idVendor")):
        pytest.skip("there may be a Crazyradio")
    assert "Crazy" in refused("radio://0/80/2M/E7E7E7E7E7")
    assert "Crazyflie" in refused("usb://0")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"protocol": 6}, "too old"),
        ({"without": ["supervisor.info"]}, "no log variable supervisor.info"),
        ({"without": ["gyro.x", "gyro.y"]}, "no log variable gyro.x"),
    ],
)
def test_firmware_that_lacks_something_is_refused(options: dict[str, Any], words: str) -> None:
    double = CrazyflieDouble(ground_firmware(**options))
    double.start()
    sentence = refused(double.endpoint)
    double.stop()
    assert words in sentence
    assert "update its firmware" in sentence


def test_another_rate_is_refused() -> None:
    with pytest.raises(UserError, match="odometry_rate to 100"):
        open_link("crazyflie", LinkOptions(odometry_rate=200.0))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("Exception: Cannot find a Crazyradio Dongle", "plug it in"),
        ("USBError: [Errno 13] Access denied (insufficient permissions)", "udev"),
        ("The device has no langid (permission issue, ...)", "udev"),
        ("[Errno 16] Resource busy", "another program"),
        ("Too many packets lost", "nobody answers"),
        ("gaierror: [Errno -2] Name or service not known", "host is unknown"),
        ("something new\n\nTraceback ...", "something new"),
        ("", "no reason given"),
    ],
)
def test_errors_of_cflib_become_sentences(message: str, words: str) -> None:
    sentence = crazyflie_connection.failure_in_words("radio://0/80/2M", message)
    assert words in sentence
    assert "\n" not in sentence


def test_a_second_controller_is_refused_and_the_next_one_waits_for_the_first_to_leave() -> None:
    double = CrazyflieDouble(ground_firmware())
    double.start()
    options = LinkOptions(endpoint=double.endpoint)
    first = open_link("crazyflie", options)
    assert "another controller flies the vehicle" in refused(double.endpoint)
    first.release()
    second = open_link("crazyflie", options)
    assert second.poll(0).age < 1.0
    second.release()
    double.stop()

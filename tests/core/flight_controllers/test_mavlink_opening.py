from __future__ import annotations

import socket
import sys
import threading

import pytest

pytest.importorskip("pymavlink")

from pymavlink.dialects.v20 import common

from snn_controller.errors import UserError
from snn_controller.flight_controllers.mavlink import link as mavlink_link
from snn_controller.flight_controllers.mavlink.codec import Codec
from snn_controller.flight_controllers.mavlink.link import MavlinkLink, open_mavlink
from snn_controller.flight_controllers.registry import LinkOptions, open_link
from snn_sim.doubles.px4.lockstep import MemoryWire
from support.mavlink_samples import SECOND, free_port, heartbeat


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mavlink_link, "ANSWER_TIME", 0.3)


def test_nobody_there_is_told_in_a_sentence(short: None) -> None:
    with pytest.raises(UserError, match=r"nobody answers at udpin:127\.0\.0\.1.*nothing comes"):
        open_mavlink(LinkOptions(endpoint=f"udpin:127.0.0.1:{free_port()}"))


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([b"AT+GMR\r\n" * 3], "not MAVLink of this link's kind"),
        ([Codec().pack(heartbeat(common.MAV_AUTOPILOT_INVALID, 6))], "no autopilot's heartbeat"),
        ([Codec(component=1).pack(heartbeat(common.MAV_AUTOPILOT_GENERIC))], "runs GENERIC"),
        ([Codec(component=1).pack(heartbeat())], "does not tell its version"),
    ],
)
def test_what_does_not_fit_is_told_in_a_sentence(
    short: None, frames: list[bytes], reason: str
) -> None:
    port = free_port()
    end = threading.Event()

    def speak() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not end.wait(0.02):
                for frame in frames:
                    sender.sendto(frame, ("127.0.0.1", port))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        with pytest.raises(UserError, match=reason):
            open_mavlink(LinkOptions(endpoint=f"udpin:127.0.0.1:{port}"))
    finally:
        end.set()
        speaker.join()


def test_links_are_opened_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="unknown link 'mavlnk'"):
        open_link("mavlnk", LinkOptions())
    module = "snn_controller.flight_controllers.mavlink.link"
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match="pip install pymavlink"):
        open_link("mavlink", LinkOptions())


def test_a_link_that_has_heard_nobody_is_harmless() -> None:
    link = MavlinkLink(MemoryWire(), LinkOptions())
    link.arm()
    status = link.poll(5)
    assert not status.armed and not status.in_control and "nothing comes" in status.refusal
    link.kill()
    assert link.poll(2 * SECOND).age == pytest.approx(2.0)
    link.close()
    link.release()

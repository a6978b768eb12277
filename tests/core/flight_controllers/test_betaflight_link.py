"""The betaflight link against the double, which behaves as Betaflight 4.6.0 was seen to."""

from __future__ import annotations

import os
import pty
import select
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from time import monotonic, sleep

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.link import Betaflight, MspWorker, open_betaflight
from snn_controller.flight_controllers.betaflight.msp import MspClient
from snn_controller.flight_controllers.betaflight.vehicle import read_vehicle
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.vehicle.action import Command, stop_command
from snn_controller.vehicle.flight_controller import LinkStatus
from support.betaflight_double import AUX1, THROTTLE, BetaflightDouble
from support.real_time import in_real_time

OPTIONS = LinkOptions(hover_thrust=0.4)
STOP = stop_command("thrust_rates")
CLIMB = Command("thrust_rates", np.array([12.0, 1.0, -1.0, 0.5]))
THROTTLE_FLAG = 1 << 7


@dataclass
class Rig:
    """A link and the vehicle at its other end."""

    vehicle: BetaflightDouble
    link: Betaflight

    def run_until(
        self,
        done: Callable[[LinkStatus], bool],
        command: Command | None = STOP,
        seconds: float = 4.0,
    ) -> LinkStatus:
        """Poll and send at 100 Hz as a node does; fail when it takes too long."""
        deadline = monotonic() + seconds
        while monotonic() < deadline:
            status = self.link.poll(0)
            if done(status):
                return status
            if command is not None:
                self.link.send(command, 0)
            sleep(0.01)
        raise AssertionError(f"not reached: {self.link.poll(0)}, flags {self.vehicle.flags:#x}")

    def fly(self) -> None:
        """Arm and send commands."""
        self.link.arm()
        self.run_until(lambda status: status.armed)
        frames = len(self.vehicle.frames)
        self.run_until(lambda _: len(self.vehicle.frames) > frames + 3, CLIMB)


@pytest.fixture
def rig() -> Iterator[Rig]:
    vehicle = BetaflightDouble()
    client = MspClient(vehicle, "tcp:double")
    link = Betaflight(read_vehicle(client, OPTIONS), MspWorker(client))
    yield Rig(vehicle, link)
    link.release()


def test_it_arms_once_nothing_objects_and_says_why_not(rig: Rig) -> None:
    rig.vehicle.objections = THROTTLE_FLAG
    rig.link.arm()
    status = rig.run_until(lambda status: "RXLOSS" not in status.refusal and status.refusal != "")
    assert status.refusal == "THROTTLE (the throttle is not low)"
    assert not status.armed
    assert max(frame[AUX1] for frame in rig.vehicle.frames) < 1700  # never forced
    rig.vehicle.objections = 0
    status = rig.run_until(lambda status: status.armed)
    assert status.refusal == "" and status.in_control and status.mode == "acro"


def test_it_does_not_arm_unasked(rig: Rig) -> None:
    frames = len(rig.vehicle.frames)
    rig.run_until(lambda _: len(rig.vehicle.frames) > frames + 50)
    assert not rig.link.poll(0).armed
    assert all(frame[AUX1] < 1700 for frame in rig.vehicle.frames)


def test_a_latched_switch_is_lowered_for_another_try(rig: Rig) -> None:
    rig.run_until(lambda _: rig.vehicle.flags == 0)
    rig.link.arm()
    rig.run_until(lambda _: rig.link._switch)
    rig.vehicle.objections = THROTTLE_FLAG  # between our look and its
    rig.vehicle.armed, rig.vehicle.latched = False, True
    rig.link._was_armed = False
    rig.run_until(lambda _: not rig.link._switch)
    rig.run_until(lambda _: not rig.vehicle.latched)
    rig.vehicle.objections = 0
    assert rig.run_until(lambda status: status.armed).armed


def test_commands_arrive_as_sticks_in_the_vehicles_order(rig: Rig) -> None:
    rig.fly()
    roll, pitch, throttle, yaw, aux = rig.vehicle.frames[-1][:5]
    assert roll > 1500 > pitch and yaw < 1500
    assert throttle == round(1050 + 950 * 0.4 * 12.0 / 9.81)
    assert aux >= 1700
    assert rig.vehicle.frames[-1][5:] == [1000] * 11


def test_when_no_commands_come_none_are_sent(rig: Rig) -> None:
    """The firmware's failsafe works only if the link does not go on by itself."""
    rig.fly()
    sleep(0.15)
    frames = len(rig.vehicle.frames)
    rig.run_until(lambda _: rig.vehicle.flags & msp.RX_LOSS != 0, command=None)
    assert len(rig.vehicle.frames) == frames
    status = rig.run_until(lambda status: not status.armed, command=None)
    assert not status.armed and len(rig.vehicle.frames) == frames
    assert status.age < 0.3  # it is still heard: only our commands stopped


def test_a_vehicle_that_disarmed_itself_is_not_armed_again(rig: Rig) -> None:
    rig.fly()
    rig.vehicle.armed = False
    rig.run_until(lambda status: not status.armed, CLIMB)
    frames = len(rig.vehicle.frames)
    rig.run_until(lambda _: len(rig.vehicle.frames) > frames + 30)
    assert all(frame[AUX1] < 1700 for frame in rig.vehicle.frames[frames + 2 :])
    assert not rig.vehicle.armed
    rig.link.arm()
    assert rig.run_until(lambda status: status.armed).armed


@pytest.mark.parametrize("end", ["disarm", "kill", "close", "hand_back"])
def test_every_end_disarms(rig: Rig, end: str) -> None:
    rig.fly()
    getattr(rig.link, end)()
    if end == "close":  # it has waited
        assert not rig.vehicle.armed
    rig.run_until(lambda status: not status.armed, command=None)
    assert rig.vehicle.frames[-1][THROTTLE] == 1000 and rig.vehicle.frames[-1][AUX1] < 1700


def test_a_kill_is_repeated_until_it_was_heard(rig: Rig) -> None:
    rig.fly()
    rig.vehicle.mute = True
    rig.link.kill()
    sleep(0.3)
    assert rig.vehicle.armed
    rig.vehicle.mute = False
    rig.run_until(lambda status: not status.armed, command=None, seconds=1.0)
    assert not rig.vehicle.armed


def test_after_handing_back_nothing_is_sent_until_it_is_to_arm(rig: Rig) -> None:
    rig.fly()
    rig.link.hand_back()
    rig.run_until(lambda status: not status.armed, command=None)
    sleep(0.05)
    frames = len(rig.vehicle.frames)
    for _ in range(20):
        rig.link.send(CLIMB, 0)
        rig.link.poll(0)
        sleep(0.01)
    assert len(rig.vehicle.frames) == frames
    rig.link.arm()
    assert rig.run_until(lambda status: status.armed).armed


def test_a_mode_that_gives_the_sticks_another_meaning_is_no_control(rig: Rig) -> None:
    rig.fly()
    rig.vehicle.modes = 1 << 1
    assert rig.run_until(lambda status: not status.in_control, CLIMB).mode == "angle"
    rig.vehicle.modes = 1 << 4
    assert rig.run_until(lambda status: status.mode == "failsafe", CLIMB).armed


@in_real_time
def test_a_lost_connection_is_told_and_grows_old(rig: Rig) -> None:
    rig.fly()
    rig.vehicle.lost = ConnectionError("the cable is out")
    status = rig.run_until(lambda status: status.refusal != "", CLIMB)
    assert status.refusal == "the cable is out"
    assert status.in_control  # nobody else has taken the vehicle: its silence is what counts
    begin = rig.link.poll(0).age
    sleep(0.1)
    assert rig.link.poll(0).age > begin + 0.09
    begin = monotonic()
    rig.link.kill()
    rig.link.close()
    assert monotonic() - begin < 0.3


def test_the_battery_is_told_where_it_is_measured(rig: Rig) -> None:
    assert rig.link.poll(0).battery is None
    rig.vehicle.voltage = 1148
    assert rig.run_until(lambda status: status.battery is not None).battery == 11.48


def test_closing_and_releasing_twice_does_no_harm(rig: Rig) -> None:
    for _ in range(2):
        rig.link.close()
    for _ in range(2):
        rig.link.release()
    assert rig.vehicle.closed


@contextmanager
def on_a_serial_port(vehicle: BetaflightDouble) -> Iterator[str]:
    """Serve a vehicle on a pseudo-terminal and give its name."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    running = True

    def serve() -> None:
        while running:
            if select.select([master], [], [], 0.005)[0]:
                vehicle.write(os.read(master, 4096))
            answer = vehicle.read(0.0)
            if answer:
                os.write(master, answer)

    thread = Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        running = False
        thread.join()
        os.close(master)
        os.close(slave)


def test_it_arms_and_flies_by_a_serial_port() -> None:
    pytest.importorskip("serial")
    vehicle = BetaflightDouble()
    with on_a_serial_port(vehicle) as port:
        options = LinkOptions(endpoint=f"{port}:115200", hover_thrust=0.4)
        link = open_betaflight(options)
        rig = Rig(vehicle, link)
        try:
            assert link.description == f"Betaflight 4.6.0 at {port}:115200"
            rig.fly()
            assert vehicle.frames[-1][THROTTLE] > 1300
            with pytest.raises(UserError, match="is used by another program"):
                open_betaflight(options)
        finally:
            link.close()
            link.release()
        assert not vehicle.armed

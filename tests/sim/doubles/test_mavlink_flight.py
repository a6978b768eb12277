"""Whole flights by MAVLink over a real TCP connection and a pseudo-terminal, in lockstep.

State machine, guards, policy, link, the kernel's sockets and the PX4 double. About 5 s.
"""

from __future__ import annotations

import os
import pty
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.paths import policy_path
from snn_controller.policy.runtime import Policy
from snn_controller.safety.state_machine import Mode
from snn_controller.vehicle.airframe import load_quadrotor

pytest.importorskip("pymavlink")
pytest.importorskip("serial")

from snn_controller.flight_controllers.mavlink.link import MavlinkLink
from snn_controller.flight_controllers.mavlink.transport import open_wire
from snn_sim.doubles.px4.mavlink_vehicle import Px4Double
from snn_sim.faults.catalogue.px4 import LOSS, Px4Linked
from snn_sim.faults.catalogue.shared import LANDED, LIMITS
from snn_sim.faults.edits import do_nothing, never, once
from snn_sim.faults.link_scene import HOLDS, LinkScene, fly_link_fault
from snn_sim.faults.scene import Demand, Fault, FaultyPolicy

AIRFRAME = "crazyflie21"


class StreamVehicle(Px4Linked):
    """The double at the far end of a stream of bytes."""

    def __init__(
        self, endpoint: str, read: Callable[[], bytes], write: Callable[[bytes], object]
    ) -> None:
        quadrotor = load_quadrotor(AIRFRAME)
        self._double = Px4Double(quadrotor, datagrams=False)
        self._read, self._write = read, write
        self.connected = True
        options = LinkOptions(hover_thrust=quadrotor.hover_throttle, thrust_curve=1.0)
        link = MavlinkLink(open_wire(endpoint), options, sleep=self.advance)
        super().__init__(link, self._double.body, self._double.firmware)

    def advance(self, seconds: float) -> None:
        for _ in range(max(1, round(seconds / self.body.period))):
            data = self._read() if self.connected else b""
            self._double.receive(data)
            self._double.step()
            sent = b"".join(self._double.transmit())
            if sent and self.connected:
                with suppress(OSError):  # the link has let go
                    self._write(sent)


def read_available(read: Callable[[int], bytes]) -> bytes:
    with suppress(OSError):
        return read(65536)
    return b""


@pytest.fixture
def by_tcp() -> Iterator[tuple[StreamVehicle, Callable[[], None]]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        ends: list[socket.socket] = []

        def accepted() -> socket.socket:
            if not ends:
                ends.append(server.accept()[0])
                ends[0].setblocking(False)
                ends[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return ends[0]

        vehicle = StreamVehicle(
            f"tcp:127.0.0.1:{server.getsockname()[1]}",
            lambda: read_available(accepted().recv),
            lambda data: accepted().sendall(data),
        )
        yield vehicle, lambda: ends[0].close()
        vehicle.close()
        ends[0].close()


@pytest.fixture
def by_serial_port() -> Iterator[StreamVehicle]:
    master, slave = pty.openpty()
    os.set_blocking(master, False)
    vehicle = StreamVehicle(
        f"serial:{os.ttyname(slave)}:921600",
        lambda: read_available(lambda size: os.read(master, size)),
        lambda data: os.write(master, data),
    )
    yield vehicle
    vehicle.close()
    os.close(slave)
    os.close(master)


@pytest.fixture
def rates() -> FaultyPolicy:
    return FaultyPolicy(Policy.load(policy_path("hover_rates")))


NONE = Fault("none", do_nothing, None, LANDED, exceeded=never, seconds=20.0)


def test_it_flies_and_lands_over_tcp(by_tcp, rates: FaultyPolicy) -> None:
    vehicle, _ = by_tcp
    outcome = fly_link_fault(NONE, rates, load_quadrotor(AIRFRAME), vehicle, 1)
    assert outcome.right, outcome
    assert outcome.uncommanded == 0
    assert outcome.deviation < 0.1


def test_it_flies_and_lands_over_a_serial_port(
    by_serial_port: StreamVehicle, rates: FaultyPolicy
) -> None:
    outcome = fly_link_fault(NONE, rates, load_quadrotor(AIRFRAME), by_serial_port, 1)
    assert outcome.right, outcome
    assert outcome.uncommanded == 0


def test_a_connection_that_hangs_up_leaves_the_vehicle_to_its_firmware(
    by_tcp, rates: FaultyPolicy
) -> None:
    vehicle, hang_up = by_tcp

    def cut(scene: LinkScene) -> None:
        vehicle.connected = False
        hang_up()

    demand = Demand(Mode.DESCENT, Mode.PILOT, vehicle=HOLDS, own_within=LOSS)
    fault = Fault("hang up", once(cut), "silence", demand, window=LIMITS.odometry_timeout)
    outcome = fly_link_fault(fault, rates, load_quadrotor(AIRFRAME), vehicle, 1)
    assert outcome.right, outcome
    assert outcome.ticks is not None and outcome.ticks <= 3

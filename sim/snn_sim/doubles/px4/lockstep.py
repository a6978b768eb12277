"""The `mavlink` link and the PX4 double in one process and one time, as fast as it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from snn_controller.control import GuideGains, geometric_thrust_rates
from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.mavlink import Chunk, MavlinkLink
from snn_controller.vehicle import (
    Array,
    Command,
    LinkStatus,
    Odometry,
    Reference,
    limit_thrust_rates,
    load_quadrotor,
    stop_command,
)
from snn_sim.doubles.px4.mavlink_vehicle import Px4Double

Edit = Callable[[list[bytes]], list[bytes]]  # of the datagrams that come now, in order
START = 1_700_000_000_000_000_000  # ns, of a clock that has nothing to do with the vehicle's
TICK = 0.01  # s


@dataclass
class MemoryWire:
    """A `Wire` within the process; it can be cut, and what comes to the link can be damaged."""

    datagrams: bool = True
    bandwidth: float | None = None
    to_link: list[bytes] = field(default_factory=list)
    to_vehicle: list[bytes] = field(default_factory=list)
    cut: bool = False
    damage: Callable[[bytes], bytes] = lambda data: data
    edit_down: Edit = lambda data: data  # on the way to the link
    edit_up: Edit = lambda data: data  # on the way to the vehicle
    closed: bool = False

    def read(self) -> list[Chunk]:
        """Return what the vehicle has sent."""
        came = self.edit_down(self.to_link)
        chunks = [Chunk(self.damage(data), "vehicle") for data in came]
        self.to_link = []
        return [] if self.cut else chunks

    def take_for_vehicle(self) -> list[bytes]:
        """Return what has come at the vehicle's end."""
        came, self.to_vehicle = self.to_vehicle, []
        return self.edit_up(came)

    def write(self, data: bytes) -> None:
        """Keep a datagram for the vehicle."""
        if not self.cut:
            self.to_vehicle.append(data)

    def settle(self, sender: Any) -> None:
        """Nothing to do: there is one vehicle."""

    def close(self) -> None:
        """Carry nothing more."""
        self.cut = self.closed = True


class Lockstep:
    """Both ends, and the time that they share."""

    def __init__(
        self,
        airframe: str = "crazyflie21",
        *,
        link_key: bytes | None = None,
        vehicle_key: bytes | None = None,
        thrust_error: float = 1.0,
        options: LinkOptions | None = None,
    ) -> None:
        """Put a vehicle on the ground, and a link at the other end of a wire.

        Args:
            airframe: Its name in airframes.yaml.
            link_key: Signing key of the link.
            vehicle_key: Signing key of the vehicle.
            thrust_error: Factor between the link's `hover_thrust` and the truth.
            options: What else the link is told.
        """
        self.quadrotor = load_quadrotor(airframe)
        self.double = Px4Double(self.quadrotor, key=vehicle_key)
        self.wire = MemoryWire()
        self.ticks = 0
        hover_thrust = self.quadrotor.hover_throttle * thrust_error
        told = replace(options or LinkOptions(), hover_thrust=hover_thrust, thrust_curve=1.0)
        self.link = MavlinkLink(self.wire, told, key=link_key, sleep=self.advance)
        self.status = LinkStatus(armed=False, in_control=False)
        self.odometry: Odometry | None = None

    @property
    def now(self) -> int:
        """Time in ns on the link's clock."""
        return START + round(self.double.body.time * 1e9)

    def advance(self, seconds: float) -> None:
        """Let the vehicle live for some time."""
        for _ in range(max(1, round(seconds / self.double.body.period))):
            for data in self.wire.take_for_vehicle():
                self.double.receive(data)
            self.double.step()
            self.wire.to_link += self.double.transmit()

    def tick(self, command: Command | None = None) -> LinkStatus:
        """Advance one control period, poll, and send a command that answers."""
        self.advance(TICK)
        self.ticks += 1
        self.status = self.link.poll(self.now)
        self.odometry = self.status.odometry or self.odometry
        if command is not None:
            self.link.send(command, self.now)
        return self.status

    def run(self, seconds: float, command: Command | None = None) -> LinkStatus:
        """Tick for some time with one command."""
        for _ in range(round(seconds / TICK)):
            self.tick(command)
        return self.status

    def arm(self, patience: float = 5.0) -> LinkStatus:
        """Ask for control and arming as the node does, and return the status."""
        self.link.arm()
        for _ in range(round(patience / TICK)):
            self.tick(stop_command("thrust_rates"))
            if self.status.armed and self.status.in_control:
                break
        return self.status

    def fly(self, seconds: float, target: Array) -> Array:
        """Fly the guide on what the link tells, and return the true positions (n, 3)."""
        path = []
        for _ in range(round(seconds / TICK)):
            self.tick(self.guide(target))
            path.append(self.double.body.state.position)
        return np.array(path)

    def guide(self, target: Array) -> Command:
        """Return the guide's command towards a point (3,), a stop before the first odometry."""
        if self.odometry is None:
            return stop_command("thrust_rates")
        values = geometric_thrust_rates(
            self.odometry.state,
            Reference(target),
            gravity=self.quadrotor.gravity,
            gains=GuideGains(),
        )
        return Command("thrust_rates", limit_thrust_rates(values))

    def close(self) -> None:
        """Close the world."""
        self.double.close()

"""The PX4 double as a vehicle behind the links `mavlink` and `px4`, for fault campaigns."""

from __future__ import annotations

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.px4 import Px4Link
from snn_controller.vehicle import ActionKind, FlightController, State
from snn_sim.doubles.px4 import START, Lockstep, Mode, Px4Body, Px4Firmware, Px4Stub
from snn_sim.faults.harness.link_scene import DOWN, FALLS, FLIES, HOLDS, LANDS, OBEYS

STILL = 0.2  # m/s, of a vehicle that holds its place
_MESSAGES = {  # MAVLink's and px4_msgs' names for what a vehicle may not send
    "heartbeat": (common.MAVLINK_MSG_ID_HEARTBEAT, "VehicleStatus"),
    "odometry": (common.MAVLINK_MSG_ID_ODOMETRY, "VehicleOdometry"),
    "position": (common.MAVLINK_MSG_ID_LOCAL_POSITION_NED, ""),
    "attitude": (common.MAVLINK_MSG_ID_ATTITUDE_QUATERNION, ""),
}


class Px4Linked:
    """What campaign and faults need of a PX4, whatever carries its messages."""

    def __init__(self, link: FlightController, body: Px4Body, firmware: Px4Firmware) -> None:
        """Look at a vehicle behind a link."""
        self.link, self.body, self.firmware = link, body, firmware

    @property
    def now(self) -> int:
        """Time in ns on the controller's clock."""
        return START + round(self.body.time * 1e9)

    @property
    def state(self) -> State:
        """Where it really is."""
        return self.body.state

    @property
    def driven(self) -> bool:
        """Whether its motors turn."""
        return self.body.driven

    @property
    def doing(self) -> str:
        """What it does, one of the words of `link_scene`."""
        firmware, body = self.firmware, self.body
        if not firmware.armed:
            return DOWN if body.on_ground else FALLS
        if firmware.mode is Mode.OFFBOARD:
            return OBEYS
        if firmware.mode is Mode.LAND:
            return LANDS
        return HOLDS if float(np.linalg.norm(body.state.velocity)) < STILL else FLIES

    def close(self) -> None:
        """Close its world."""
        self.body.close()


class MavlinkVehicle(Px4Linked):
    """The double behind a wire of datagrams."""

    def __init__(self, key: bytes | None = None) -> None:
        """Stand on the ground; with a key (32,), both ends sign."""
        self.pair = Lockstep(link_key=key, vehicle_key=key)
        super().__init__(self.pair.link, self.pair.double.body, self.pair.double.firmware)

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        self.pair.advance(seconds)

    def cut(self, *, up: bool, down: bool) -> None:
        """Let nothing through to the vehicle (up), or from it (down)."""
        self.pair.wire.edit_up = _nothing if up else _everything
        self.pair.wire.edit_down = _nothing if down else _everything

    def mute(self, *messages: str) -> None:
        """Let the vehicle send some of its messages no more."""
        self.pair.double.muted = frozenset(_MESSAGES[name][0] for name in messages)


class BusVehicle(Px4Linked):
    """The same firmware behind px4_msgs, without DDS."""

    def __init__(self, kind: ActionKind = "thrust_rates") -> None:
        """Stand on the ground, to be commanded by one kind."""
        self.bus = Px4Stub()
        hover_thrust = self.bus.body.quadrotor.hover_throttle
        options = LinkOptions(hover_thrust=hover_thrust, thrust_curve=1.0)
        link = Px4Link(self.bus, options, kind, sleep=self.advance)
        super().__init__(link, self.bus.body, self.bus.firmware)

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        for _ in range(max(1, round(seconds / self.bus.body.period))):
            self.bus.step()

    def cut(self, *, up: bool, down: bool) -> None:
        """Let nothing through to the vehicle (up), or from it (down)."""
        self.bus.deaf, self.bus.silent = up, down

    def mute(self, *messages: str) -> None:
        """Let the vehicle send some of its messages no more."""
        self.bus.muted = frozenset(_MESSAGES[name][1] for name in messages)


def _nothing(_: list[bytes]) -> list[bytes]:
    return []


def _everything(data: list[bytes]) -> list[bytes]:
    return data

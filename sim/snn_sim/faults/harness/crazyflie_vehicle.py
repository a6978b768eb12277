"""The Crazyflie's double as a vehicle behind the link `crazyflie`, for fault campaigns."""

from __future__ import annotations

from snn_controller.vehicle import FlightController, State
from snn_sim.doubles.crazyflie import START, Phase, advance, connect_lockstep, crtp
from snn_sim.faults.harness.link_scene import DOWN, FALLS, LEVELS, OBEYS

_BLOCKS = {"odometry": 1, "heartbeat": 2}


class CrazyflieVehicle:
    """A Crazyflie without a pilot: its firmware levels when it hears nothing, then stops."""

    def __init__(self) -> None:
        """Stand on the ground."""
        link, self.radio = connect_lockstep()
        self.link: FlightController = link
        self.firmware = self.body = self.radio.firmware

    @property
    def now(self) -> int:
        """Time in ns on the controller's clock."""
        return START + self.radio.nanoseconds

    @property
    def state(self) -> State:
        """Where it really is."""
        return self.firmware.drone.state

    @property
    def driven(self) -> bool:
        """Whether its motors turn."""
        return self.firmware.motors_turn

    @property
    def doing(self) -> str:
        """What it does, one of the words of `link_scene`."""
        if not self.driven:
            return DOWN if self.firmware.drone.touching_ground else FALLS
        return LEVELS if self.firmware.supervisor.phase is Phase.LEVEL else OBEYS

    def advance(self, seconds: float) -> None:
        """Let it live for some time."""
        advance(self.radio, seconds)

    def cut(self, *, up: bool, down: bool) -> None:
        """Let nothing through to the vehicle (up), or from it (down)."""
        self.radio.edit_up = _nothing if up else _everything
        self.radio.edit_down = _nothing if down else _everything

    def mute(self, *messages: str) -> None:
        """Let the vehicle send some of its log blocks no more."""
        muted = {_BLOCKS[name] for name in messages}
        self.radio.edit_down = lambda frames: [f for f in frames if _log_block(f) not in muted]

    def close(self) -> None:
        """Close its world."""
        self.firmware.drone.close()


def _log_block(data: bytes) -> int | None:
    is_log = data[0] >> 4 == crtp.LOG and data[0] & 3 == 2
    return data[1] if is_log else None


def _nothing(_: list[bytes]) -> list[bytes]:
    return []


def _everything(data: list[bytes]) -> list[bytes]:
    return data

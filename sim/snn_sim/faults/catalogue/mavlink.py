"""Faults behind `mavlink`: damaged, lost, doubled and foreign datagrams, beside an autopilot's."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from pymavlink.dialects.v20 import common

from snn_controller.flight_controllers.mavlink import Codec
from snn_controller.safety import Mode
from snn_sim.doubles.px4 import SYSTEM, Px4Mode
from snn_sim.faults.catalogue.px4 import AUTOPILOT_FAULTS, MavlinkVehicle
from snn_sim.faults.catalogue.shared import BACK, LANDED, arming_denied, clock_back
from snn_sim.faults.edits import Edit, mute, never, once, shift_clock
from snn_sim.faults.link_scene import HOLDS, LinkScene
from snn_sim.faults.scene import Demand, Fault

__all__ = ["MAVLINK_FAULTS", "MavlinkVehicle"]

DAMAGE = 0.1  # share of datagrams of which a byte is changed
LOSS = 0.1  # share of datagrams that are lost
BURST = 12  # datagrams of garbage a tick, each way
INTRUSION, INTRUDED = 5, 100  # ticks between two setpoints of somebody else, and until the last
KEY = bytes(range(32))
OTHER_SYSTEM, GROUND_STATION = 7, 255
_FORCE = 21196.0

Datagrams = list[bytes]


def _edit(scene: LinkScene, edit: Callable[[LinkScene, Datagrams], Datagrams]) -> None:
    """Do something to all datagrams from now on, both ways."""
    wire = scene.vehicle.pair.wire
    wire.edit_up = wire.edit_down = lambda data: edit(scene, data)


def _damage(scene: LinkScene, data: Datagrams) -> Datagrams:
    return [_flip(scene.rng, d) if scene.rng.random() < DAMAGE else d for d in data]


def _flip(rng: np.random.Generator, data: bytes) -> bytes:
    damaged = bytearray(data)
    damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
    return bytes(damaged)


def _lose(scene: LinkScene, data: Datagrams) -> Datagrams:
    return [d for d in data if scene.rng.random() >= LOSS]


def _confuse(scene: LinkScene, data: Datagrams) -> Datagrams:
    """Send datagrams twice, in another order."""
    twice = [d for d in data for _ in range(1 + int(scene.rng.random() < 0.3))]
    return [twice[at] for at in scene.rng.permutation(len(twice))]


def _rubbish(scene: LinkScene) -> None:
    """Send whatever may come to a port, some of it like MAVLink."""
    wire, rng = scene.vehicle.pair.wire, scene.rng
    for _ in range(BURST):
        junk = rng.bytes(int(rng.integers(1, 280)))
        start = rng.choice(np.array([b"", b"\xfd", b"\xfe"], dtype=object))
        wire.to_link.append(start + junk)
        wire.to_vehicle.append(start + junk[::-1])


def _send(scene: LinkScene, *messages: object, system: int, component: int = 1) -> Datagrams:
    """Return datagrams of somebody who has no key."""
    codec = scene.memory.setdefault("codec", Codec(system=system, component=component))
    return [codec.pack(message) for message in messages]


def _second_companion(scene: LinkScene) -> None:
    """Let another computer command a hover in between, for a second."""
    if scene.since % INTRUSION or scene.since > INTRUDED:
        return
    hover = scene.vehicle.body.quadrotor.hover_throttle
    mask = common.ATTITUDE_TARGET_TYPEMASK_ATTITUDE_IGNORE
    target = common.MAVLink_set_attitude_target_message(
        0, SYSTEM, 1, mask, [1.0, 0.0, 0.0, 0.0], 0.0, 0.0, 0.0, hover
    )
    scene.vehicle.pair.wire.to_vehicle += _send(scene, target, system=SYSTEM, component=191)


def _takeover(scene: LinkScene) -> None:
    """Let a ground station stop, disarm and change the mode, all the time."""
    mask = common.ATTITUDE_TARGET_TYPEMASK_ATTITUDE_IGNORE
    commands = (
        common.MAVLink_set_attitude_target_message(
            0, SYSTEM, 1, mask, [1.0, 0.0, 0.0, 0.0], 0.0, 0.0, 0.0, 0.0
        ),
        _command(common.MAV_CMD_COMPONENT_ARM_DISARM, 0.0, _FORCE),
        _command(common.MAV_CMD_DO_SET_MODE, 1.0, 4.0, 6.0),
    )
    scene.vehicle.pair.wire.to_vehicle += _send(scene, *commands, system=GROUND_STATION)


def _polite_station(scene: LinkScene) -> None:
    """Let a ground station ask for disarming in the air, which firmware denies."""
    disarm = _command(common.MAV_CMD_COMPONENT_ARM_DISARM, 0.0)
    scene.vehicle.pair.wire.to_vehicle += _send(scene, disarm, system=GROUND_STATION)


def _ground_station(scene: LinkScene) -> None:
    """Let a ground station change the mode, as its operator asked."""
    hold = _command(common.MAV_CMD_DO_SET_MODE, 1.0, 4.0, 3.0)
    scene.vehicle.pair.wire.to_vehicle += _send(scene, hold, system=GROUND_STATION)


def _command(number: int, *parameters: float) -> object:
    seven = (*parameters, *(0.0,) * (7 - len(parameters)))
    return common.MAVLink_command_long_message(SYSTEM, 1, number, 0, *seven)


def _lies(system: int) -> Edit:
    """Tell the link, as one system, that the vehicle is disarmed and in another mode."""

    def apply(scene: LinkScene) -> None:
        lie = common.MAVLink_heartbeat_message(2, 12, 1, int(Px4Mode.MANUAL), 3, 3)
        scene.vehicle.pair.wire.to_link += _send(scene, lie, system=system)

    return apply


def _on(edit: Callable[[LinkScene, Datagrams], Datagrams]) -> Edit:
    return once(lambda scene: _edit(scene, edit))


SIGNED = {"key": KEY}
MAVLINK_FAULTS = (
    *AUTOPILOT_FAULTS,
    Fault(
        "heartbeat lost, odometry lives",
        once(mute("heartbeat")),
        "link",
        LANDED,
        window=2.5,
        plan={"duration": 10.0},
    ),
    arming_denied("Preflight Fail: Compass", words="Preflight Fail: Compass"),
    clock_back(shift_clock(-0.5), BACK),
    Fault("a tenth of the datagrams damaged", _on(_damage), None, LANDED, exceeded=never),
    Fault("a tenth of the datagrams lost", _on(_lose), None, LANDED, exceeded=never),
    Fault("datagrams twice and in disorder", _on(_confuse), None, LANDED, exceeded=never),
    Fault("bursts of garbage", _rubbish, None, LANDED, exceeded=never),
    Fault("garbage from the start", _rubbish, None, LANDED, exceeded=never, from_start=True),
    Fault("another vehicle's heartbeat", _lies(OTHER_SYSTEM), None, LANDED, exceeded=never),
    Fault(
        "forged heartbeat, link signed", _lies(SYSTEM), None, LANDED, exceeded=never, behind=SIGNED
    ),
    Fault("second companion commands for 1 s", _second_companion, None, LANDED, exceeded=never),
    Fault("ground station asks to disarm", _polite_station, None, LANDED, exceeded=never),
    Fault(
        "ground station changes the mode",
        once(_ground_station),
        "mode",
        Demand(Mode.PILOT, Mode.PILOT, vehicle=HOLDS, own_within=0.03),
        window=0.1,
    ),
    Fault(
        "stranger stops and disarms, link signed",
        _takeover,
        None,
        LANDED,
        exceeded=never,
        behind=SIGNED,
    ),
)

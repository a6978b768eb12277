"""Our drone as the body of a Betaflight SITL: physics in real time, in a process of its own.

The firmware needs a state packet every millisecond, so the physics must not share an interpreter
with the controller.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from time import monotonic, sleep
from typing import Any

import numpy as np

from snn_controller.vehicle import GRAVITY, Array, State, load_quadrotor
from snn_sim.bullet import Drone

STATE_PORT, MOTOR_PORT, MSP_PORT = 9003, 9002, 5761
TIMESTAMP = 1.0  # s
SEA_LEVEL, PRESSURE_PER_METRE = 101325.0, -12.0  # Pa
MAX_FORCE = 16.0 * GRAVITY  # m/s^2, the range of an accelerometer
_STATE = struct.Struct("<d3d3d4d3d3dd")
_MOTORS = struct.Struct("<4f")
# Place of M1..M4 in the firmware's front right, back left, front left, back right.
MOTOR_ORDER = [0, 3, 1, 2]
PHYSICS_RATE = 1000.0  # Hz
NAP = 2e-4  # s
MAX_LAG = 0.05  # s of time to catch up at once; what is more is lost, and counted
SILENCE = 0.1  # s without the firmware's packets after which motors stop, as speed controllers do
HOST = "127.0.0.1"
_SIZE = 24


def pack_state(state: State, specific_force: Array) -> bytes:
    """Return the packet for a true state.

    Args:
        state: The drone's state.
        specific_force: What an accelerometer feels, (3,) m/s^2 in the body.
    """
    x, y, z, w = state.quaternion.tolist()
    roll, pitch, yaw = state.body_rates.tolist()
    force = np.clip(specific_force, -MAX_FORCE, MAX_FORCE)
    height = float(state.position[2])
    return _STATE.pack(
        TIMESTAMP,
        *(roll, -pitch, -yaw),  # FRD
        *(-force).tolist(),
        *(w, x, -y, -z),
        *state.velocity.tolist(),
        *state.position.tolist(),
        SEA_LEVEL + PRESSURE_PER_METRE * height,
    )


def unpack_motors(packet: bytes) -> Array | None:
    """Return the throttle (4,) of M1..M4 in [0, 1], or None for a packet of another kind."""
    if len(packet) != _MOTORS.size:
        return None
    throttle = np.array(_MOTORS.unpack(packet), dtype=np.float64)[MOTOR_ORDER]
    return np.clip(throttle, 0.0, 1.0) if np.isfinite(throttle).all() else None


@dataclass(frozen=True)
class Snapshot:
    """The drone at one instant."""

    time: float  # s of physics since the start
    state: State
    rotors: Array  # (4,) throttle that the motors have reached
    throttle: Array  # (4,) throttle from the firmware
    packets: int  # motor packets that have come
    lost: float  # s by which the physics has fallen behind the clock


class Plant:
    """A drone in a child process, which flies on the firmware's motor packets."""

    def __init__(self, airframe: str, start: State, firmware: int) -> None:
        """Start the process with the drone at a state, motors off.

        When this process is killed, the child ends with it and kills the process `firmware` too.
        """
        context = get_context("spawn")
        self._shared = context.Array("d", _SIZE)
        self._pipe, child = context.Pipe()
        self._process = context.Process(
            target=_run, args=(airframe, start, firmware, self._shared, child), daemon=True
        )
        self._process.start()
        child.close()

    @property
    def shared(self) -> Any:
        """What `read_snapshot` reads, also in another process that this one starts."""
        return self._shared

    def snapshot(self) -> Snapshot:
        """Return the drone as it is now."""
        return read_snapshot(self._shared)

    def kick(self, body_rates: Array) -> None:
        """Add body rates (3,) in rad/s at once."""
        self._pipe.send(body_rates)

    def await_first(self, timeout: float) -> bool:
        """Wait until physics runs; say whether it does."""
        deadline = monotonic() + timeout
        while self.snapshot().time == 0.0 and self._process.is_alive() and monotonic() < deadline:
            sleep(0.02)
        return self.snapshot().time > 0.0

    def close(self) -> None:
        """End the process; closing twice does no harm."""
        if self._process.is_alive():
            self._pipe.send(None)
            self._process.join(timeout=3.0)
            if self._process.is_alive():
                self._process.kill()
        self._pipe.close()


def read_snapshot(shared: Any) -> Snapshot:
    """Return the drone as it is now."""
    with shared.get_lock():
        values = np.array(shared[:])
    state = State(values[0:3], values[3:7], values[7:10], values[10:13])
    time, packets, lost = values[21:24].tolist()
    return Snapshot(time, state, values[13:17], values[17:21], int(packets), lost)


def _run(airframe: str, start: State, firmware: int, shared: Any, pipe: Connection) -> None:
    """Step the drone by the clock until the pipe says None or the parent is gone."""
    parent = os.getppid()
    with (
        Drone(
            load_quadrotor(airframe), control_rate=PHYSICS_RATE, physics_rate=PHYSICS_RATE
        ) as drone,
        _Sockets() as sockets,
    ):
        drone.reset(start, np.zeros(4))
        body = _Body(drone, shared)
        while os.getppid() == parent:
            if pipe.poll():
                try:
                    kick = pipe.recv()
                except EOFError:  # the parent was killed
                    break
                if kick is None:
                    return
                body.kick(kick)
            body.listen(sockets.receive())
            if body.catch_up():
                sockets.send(pack_state(drone.state, body.force))
            sleep(NAP)
    with suppress(ProcessLookupError):
        os.kill(firmware, signal.SIGKILL)


class _Body:
    """The drone, its clock and what it tells."""

    def __init__(self, drone: Drone, shared: Any) -> None:
        self._drone = drone
        self._shared = shared
        self._begin = monotonic()
        self._steps = 0
        self._packets = 0
        self._lost = 0.0
        self._throttle = np.zeros(4)
        self._heard = self._begin
        self.force = np.array([0.0, 0.0, GRAVITY])

    def kick(self, body_rates: Array) -> None:
        drone, state = self._drone, self._drone.state
        turned = State(
            state.position, state.quaternion, state.velocity, state.body_rates + body_rates
        )
        drone.reset(turned, drone.rotors)

    def listen(self, packets: list[Array]) -> None:
        self._packets += len(packets)
        if packets:
            self._throttle, self._heard = packets[-1], monotonic()
        elif monotonic() - self._heard > SILENCE:
            self._throttle = np.zeros(4)

    def catch_up(self) -> bool:
        """Step until physics has reached the clock; say whether it moved."""
        period = self._drone.control_period
        behind = monotonic() - self._begin - self._lost - self._steps * period
        if behind > MAX_LAG:
            self._lost += behind - MAX_LAG
            behind = MAX_LAG
        due = int(behind / period)
        for _ in range(due):
            before = self._drone.state.velocity
            stopped = not self._throttle.any()
            after = self._drone.step(None if stopped else self._throttle)
            felt = (after.velocity - before) / period + np.array([0.0, 0.0, GRAVITY])
            self.force = felt @ after.rotation
            self._steps += 1
        if due:
            self._tell()
        return due > 0

    def _tell(self) -> None:
        state = self._drone.state
        time = self._steps * self._drone.control_period
        values = np.concatenate(
            [
                state.position,
                state.quaternion,
                state.velocity,
                state.body_rates,
                self._drone.rotors,
                self._throttle,
                [time, self._packets, self._lost],
            ]
        )
        with self._shared.get_lock():
            self._shared[:] = values.tolist()


class _Sockets:
    """UDP to and from the firmware."""

    def __enter__(self) -> _Sockets:
        self._motors = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._motors.bind((HOST, MOTOR_PORT))
        self._motors.setblocking(False)
        self._states = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        return self

    def __exit__(self, *_: object) -> None:
        self._motors.close()
        self._states.close()

    def receive(self) -> list[Array]:
        """Return the throttles (4,) that have come, oldest first."""
        found = []
        while True:
            try:
                throttle = unpack_motors(self._motors.recv(256))
            except BlockingIOError:
                return found
            if throttle is not None:
                found.append(throttle)

    def send(self, packet: bytes) -> None:
        self._states.sendto(packet, (HOST, STATE_PORT))

"""One quadrotor as a rigid body in PyBullet. SI units, world ENU, body FLU.

Bullet integrates the rigid body and the ground contact; thrust curve, mixer and motor lag come
from the airframe.
"""

from __future__ import annotations

import math
from types import TracebackType
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, State
from snn_sim.bullet.camera import create_shape
from snn_sim.bullet.client import connect, import_pybullet
from snn_sim.task import CONTROL_RATE

PHYSICS_RATE = 500.0  # Hz
CONTACT_DISTANCE = 2e-3  # m between body and ground that still counts as touching
_CENTRE = (0.0, 0.0, 0.0)


class Drone:
    """One drone in a physics world of its own; several live side by side in one process.

    The state at the end of a control period is kept, so reading it costs nothing.
    """

    def __init__(
        self,
        quadrotor: Quadrotor,
        *,
        control_rate: float = CONTROL_RATE,
        physics_rate: float = PHYSICS_RATE,
        damping: float = 0.0,
        gui: bool = False,
        ground: bool = True,
    ) -> None:
        """Create the world.

        Args:
            quadrotor: Airframe.
            control_rate: Control periods per second.
            physics_rate: Integration steps per second, a whole multiple of the control rate.
            damping: Bullet's damping d (its default is 0.04): acceleration -d (1 + |v|) v, and
                the same of the body rates.
            gui: Open PyBullet's window.
            ground: Put a solid plane at z = 0.

        Raises:
            UserError: PyBullet or the display is missing, or the rates do not divide.
        """
        self.quadrotor = quadrotor
        self._substeps = _whole_ratio(physics_rate, control_rate)
        self.control_period = 1.0 / control_rate
        self._time_step = self.control_period / self._substeps
        # in a control period: the middle of each physics step, then the end
        middles = (np.arange(self._substeps) + 0.5) * self._time_step
        self._rotor_times = np.append(middles, self.control_period)[:, None]
        self._bullet: Any = import_pybullet()
        self.client = connect(gui=gui)
        self._ground = self._create_ground() if ground else None
        self._body = self._create_body(damping)
        # Restoring this snapshot also empties Bullet's contact caches, which makes a reset exact.
        self._snapshot = self._bullet.saveState(physicsClientId=self.client)
        self._periods = 0
        self._rotors = np.zeros(4)
        self._state = self._read_state()

    @property
    def state(self) -> State:
        """True state at the end of the last control period."""
        return self._state

    @property
    def rotors(self) -> Array:
        """Rotor state (4,) in [0, 1], the throttle that the motors have reached."""
        return self._rotors

    @property
    def time(self) -> float:
        """Seconds of simulated time since the reset."""
        return self._periods * self.control_period

    @property
    def touching_ground(self) -> bool:
        """Whether the body rests on or hits the ground."""
        if self._ground is None:
            return False
        near = self._bullet.getClosestPoints(
            self._body, self._ground, CONTACT_DISTANCE, physicsClientId=self.client
        )
        return bool(near)

    def reset(self, state: State, rotors: Array) -> State:
        """Put the drone into a state with rotors (4,) in [0, 1] and return what it now is.

        The same commands after the same reset give the same trajectory, bit by bit.
        """
        rates = state.rotation @ state.body_rates
        self._place(state.position, state.quaternion, state.velocity, rates)
        self._periods = 0
        self._rotors = np.array(rotors, dtype=np.float64)
        self._state = self._read_state()
        return self._state

    def snapshot(self) -> Array:
        """Return pose, velocity and rates in the world, rotors and count of periods (18,)."""
        position, quaternion = self._bullet.getBasePositionAndOrientation(self._body, self.client)
        velocity, rates = self._bullet.getBaseVelocity(self._body, self.client)
        return np.array(
            [*position, *quaternion, *velocity, *rates, *self._rotors, float(self._periods)]
        )

    def restore(self, snapshot: Array) -> None:
        """Fly on from a snapshot (18,) of this airframe; what touches the ground is approximate."""
        position, quaternion, velocity, rates, self._rotors, periods = np.split(
            snapshot, [3, 7, 10, 13, 17]
        )
        self._place(position, quaternion, velocity, rates)
        self._periods = int(periods[0])
        self._state = self._read_state()

    def become(self, quadrotor: Quadrotor) -> None:
        """Change into another airframe; shape and gravity stay as they are."""
        self.quadrotor = quadrotor
        self._bullet.changeDynamics(
            self._body,
            -1,
            mass=quadrotor.mass,
            localInertiaDiagonal=quadrotor.inertia.tolist(),
            physicsClientId=self.client,
        )

    def step(
        self, throttle: Array | None, *, force: Array | None = None, torque: Array | None = None
    ) -> State:
        """Advance one control period with throttle (4,) in [0, 1] and return the new state.

        None stops the motors: no thrust, and the rotors run down. A force (3,) in N in the world
        and a torque (3,) in N m in the body may act from outside.
        """
        bullet, client, body = self._bullet, self.client, self._body
        frame, extra = bullet.LINK_FRAME, _CENTRE if torque is None else tuple(torque)
        for lift, roll, pitch, yaw in self._advance_rotors(throttle):
            turning = (roll + extra[0], pitch + extra[1], yaw + extra[2])
            bullet.applyExternalForce(body, -1, (0.0, 0.0, lift), _CENTRE, frame, client)
            bullet.applyExternalTorque(body, -1, turning, frame, client)
            if force is not None:
                self._push(force)
            bullet.stepSimulation(client)
        self._periods += 1
        self._state = self._read_state()
        return self._state

    def close(self) -> None:
        """Close the physics world; closing twice does no harm."""
        if self.client >= 0:
            self._bullet.disconnect(self.client)
            self.client = -1

    def __enter__(self) -> Drone:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _advance_rotors(self, throttle: Array | None) -> list[list[float]]:
        """Move the rotors over one control period.

        Returns:
            Force in N and body torque in N m of each physics step, taken at its middle.
        """
        command = np.zeros(4) if throttle is None else _checked(throttle)
        rotors = self.quadrotor.step_rotors(self._rotors, command, self._rotor_times)
        middles, self._rotors = rotors[:-1], rotors[-1]  # (substeps, 4), (4,)
        if throttle is None:
            return [[0.0] * 4] * self._substeps
        thrust = self.quadrotor.thrust(middles)  # (substeps, 4)
        return (thrust @ self.quadrotor.mixer.T).tolist()

    def _place(self, position: Array, quaternion: Array, velocity: Array, rates: Array) -> None:
        """Put the body somewhere in the empty world; all is in the world, rates as well."""
        bullet, client, body = self._bullet, self.client, self._body
        bullet.restoreState(self._snapshot, physicsClientId=client)
        bullet.resetBasePositionAndOrientation(
            body, position.tolist(), quaternion.tolist(), physicsClientId=client
        )
        bullet.resetBaseVelocity(body, velocity.tolist(), rates.tolist(), physicsClientId=client)

    def _push(self, force: Array) -> None:
        """Let a force (3,) in N in the world act on the centre of mass in the next step."""
        bullet, client = self._bullet, self.client
        centre, _ = bullet.getBasePositionAndOrientation(self._body, client)
        frame = bullet.WORLD_FRAME
        bullet.applyExternalForce(self._body, -1, force.tolist(), centre, frame, client)

    def _read_state(self) -> State:
        bullet, client = self._bullet, self.client
        position, quaternion = bullet.getBasePositionAndOrientation(self._body, client)
        velocity, (x, y, z) = bullet.getBaseVelocity(self._body, client)
        m = bullet.getMatrixFromQuaternion(quaternion)  # row-major, body to world
        body_rates = (
            m[0] * x + m[3] * y + m[6] * z,
            m[1] * x + m[4] * y + m[7] * z,
            m[2] * x + m[5] * y + m[8] * z,
        )
        return State(
            np.array(position), np.array(quaternion), np.array(velocity), np.array(body_rates)
        )

    def _create_ground(self) -> int:
        bullet, client = self._bullet, self.client
        plane = bullet.createCollisionShape(bullet.GEOM_PLANE, physicsClientId=client)
        return bullet.createMultiBody(0.0, plane, physicsClientId=client)

    def _create_body(self, damping: float) -> int:
        bullet, client, quadrotor = self._bullet, self.client, self.quadrotor
        bullet.setGravity(0.0, 0.0, -quadrotor.gravity, physicsClientId=client)
        bullet.setTimeStep(self._time_step, physicsClientId=client)
        cylinder = bullet.createCollisionShape(
            bullet.GEOM_CYLINDER,
            radius=quadrotor.collision_radius,
            height=quadrotor.collision_height,
            physicsClientId=client,
        )
        body = bullet.createMultiBody(
            quadrotor.mass,
            cylinder,
            create_shape(client, quadrotor),
            basePosition=(0.0, 0.0, 1.0),
            physicsClientId=client,
        )
        bullet.changeDynamics(
            body,
            -1,
            localInertiaDiagonal=quadrotor.inertia.tolist(),
            linearDamping=damping,
            angularDamping=damping,
            physicsClientId=client,
        )
        return body


def _whole_ratio(physics_rate: float, control_rate: float) -> int:
    ratio = physics_rate / control_rate if control_rate > 0.0 else 0.0
    if ratio < 1.0 or not math.isclose(ratio, round(ratio), rel_tol=1e-9):
        raise UserError(
            f"physics_rate {physics_rate:g} Hz must be a whole multiple of control_rate "
            f"{control_rate:g} Hz; choose such a pair, for example 500 and 100"
        )
    return round(ratio)


def _checked(throttle: Array) -> Array:
    command = np.asarray(throttle, dtype=np.float64)
    if command.shape != (4,) or not math.isfinite(command.sum()):
        raise UserError(f"throttle must be four finite numbers in [0, 1], not {throttle}")
    return np.minimum(np.maximum(command, 0.0), 1.0)  # np.clip takes three times as long

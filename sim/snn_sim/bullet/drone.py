"""One quadrotor as a rigid body in PyBullet, how it looks, what disturbs it. SI units, ENU, FLU.

Bullet integrates the rigid body and the ground contact; thrust curve, mixer and motor lag come
from the airframe.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, State
from snn_sim.task import CONTROL_RATE, Disturbance, delay_shares

WIDTH, HEIGHT = 320, 240  # pixels
DISTANCE = 0.9  # m from the camera to what it looks at
YAW, PITCH = 40.0, -20.0  # deg
FIELD_OF_VIEW = 60.0  # deg
NEAR, FAR = 0.05, 20.0  # m
FRONT_COLOUR, REAR_COLOUR, FRAME_COLOUR = (
    (0.85, 0.2, 0.1, 1),
    (0.2, 0.2, 0.25, 1),
    (0.1, 0.1, 0.1, 1),
)
ROTOR_HALF_SIZE = (0.018, 0.018, 0.002)  # m
FRAME_HALF_SIZE = (0.016, 0.012, 0.008)  # m
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


class DisturbedDrone:
    """One drone and what disturbs it; a step is `Drone.step` with all of it applied."""

    def __init__(self, world: Drone) -> None:
        """Take a world; it is nominal until `begin` says otherwise."""
        self.world, self.nominal = world, world.quadrotor
        self.disturbance: Disturbance | None = None
        self.steps = 0  # flown since the episode began, which pushes are timed by
        self.commands = [np.zeros(4)] * 3  # throttles of this, the last and the step before
        self._shares = delay_shares(0.0, world.control_period)

    def disturb(self, disturbance: Disturbance | None) -> None:
        """Fly under another disturbance from the next step on; None is the nominal drone."""
        self.disturbance = disturbance
        wanted: Quadrotor = self.nominal if disturbance is None else disturbance.quadrotor
        if self.world.quadrotor is not wanted:
            self.world.become(wanted)
        delay = 0.0 if disturbance is None else disturbance.delay
        self._shares = delay_shares(delay, self.world.control_period)

    def reset(self, state: State, rotors: Array) -> State:
        """Begin at step 0 in a state; commands before count as what the rotors (4,) show."""
        self.steps, self.commands = 0, [np.asarray(rotors)] * 3
        return self.world.reset(state, rotors)

    def step(self, throttle: Array | None) -> State:
        """Advance one control period with throttle (4,); None stops the motors at once."""
        step, self.steps = self.steps, self.steps + 1
        if throttle is None:
            return self.world.step(None)
        self.commands = [throttle, *self.commands[:-1]]
        if self.disturbance is None:
            return self.world.step(throttle)
        return self.world.step(
            self._shares @ np.array(self.commands),
            force=self.disturbance.force_at(step),
            torque=self.disturbance.torque,
        )


def import_pybullet() -> ModuleType:
    """Return the PyBullet module.

    Raises:
        UserError: It is not installed.
    """
    if "pybullet" in sys.modules:
        return sys.modules["pybullet"]
    try:
        with _quiet_stderr():
            import pybullet
    except ImportError as error:
        raise UserError(
            f"the simulator needs PyBullet ({error}): pip install -e '.[flight]'; "
            "Python 3.12 has no wheel, there pip builds it from source and needs a C++ compiler"
        ) from error
    return pybullet


def connect(*, gui: bool = False) -> int:
    """Open a physics world of its own and return its client id.

    Raises:
        UserError: A window is asked for where there is no display, or the connection fails.
    """
    pybullet = import_pybullet()
    if gui and sys.platform.startswith("linux") and not os.environ.get("DISPLAY"):
        raise UserError("the simulator window needs a display: set DISPLAY or switch the GUI off")
    client = pybullet.connect(pybullet.GUI if gui else pybullet.DIRECT)
    if client < 0:
        raise UserError("PyBullet refused to open a physics world: close other simulators first")
    if gui:
        _arrange_window(pybullet, client)
    return client


def create_shape(client: int, quadrotor: Quadrotor) -> int:
    """Create the visual shape of a quadrotor, front rotors red, and return its id."""
    bullet = import_pybullet()
    rotors = [(x, y, FRAME_HALF_SIZE[2]) for x, y in quadrotor.rotor_positions.tolist()]
    colours = [FRONT_COLOUR if x > 0.0 else REAR_COLOUR for x, _, _ in rotors]
    return bullet.createVisualShapeArray(
        shapeTypes=[bullet.GEOM_BOX] * 5,
        halfExtents=[ROTOR_HALF_SIZE] * 4 + [FRAME_HALF_SIZE],
        visualFramePositions=[*rotors, (0.0, 0.0, 0.0)],
        rgbaColors=[*colours, FRAME_COLOUR],
        physicsClientId=client,
    )


def camera_image(client: int, target: Array) -> NDArray[np.uint8]:
    """Return an RGB image (height, width, 3) of a physics world around a target (3,) in m."""
    bullet = import_pybullet()
    view = bullet.computeViewMatrixFromYawPitchRoll(
        target.tolist(), DISTANCE, YAW, PITCH, 0.0, upAxisIndex=2
    )
    projection = bullet.computeProjectionMatrixFOV(FIELD_OF_VIEW, WIDTH / HEIGHT, NEAR, FAR)
    *_, pixels, _, _ = bullet.getCameraImage(
        WIDTH,
        HEIGHT,
        view,
        projection,
        renderer=bullet.ER_TINY_RENDERER,
        physicsClientId=client,
    )
    return np.array(pixels, dtype=np.uint8).reshape(HEIGHT, WIDTH, 4)[..., :3]


def _arrange_window(pybullet: ModuleType, client: int) -> None:
    """Hide the debugging panels and look at where a drone hovers."""
    pybullet.configureDebugVisualizer(pybullet.COV_ENABLE_GUI, 0, physicsClientId=client)
    pybullet.resetDebugVisualizerCamera(
        cameraDistance=2.0,
        cameraYaw=50.0,
        cameraPitch=-20.0,
        cameraTargetPosition=(0.0, 0.0, 0.8),
        physicsClientId=client,
    )


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Drop what C code writes to stderr, because PyBullet greets there on import."""
    try:
        saved = os.dup(2)
    except OSError:  # no stderr at all, nothing to keep quiet
        yield
        return
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(sink)


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

"""gym-pybullet-drones as the world: its CtrlAviary behind the interface of `Drone`.

Its CF2X has constants of its own, so this world only flies the airframe `cf2x`. It knows no motor
lag and keeps Bullet's default damping of 0.04. Its rotor forces point where the drone pointed one
physics step before, which `Drone` does not copy.
"""

from __future__ import annotations

import math
from contextlib import redirect_stdout
from io import StringIO
from types import TracebackType
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Quadrotor, State
from snn_sim.bullet.drone import import_pybullet
from snn_sim.task import CONTROL_RATE

AIRFRAME = "cf2x"
LOWEST_PHYSICS_RATE = 240  # Hz, the package's default


class Aviary:
    """One CF2X in gym-pybullet-drones' PYB physics."""

    def __init__(
        self,
        quadrotor: Quadrotor,
        *,
        control_rate: float = CONTROL_RATE,
        physics_rate: float | None = None,
    ) -> None:
        """Create the world.

        Args:
            quadrotor: The airframe `cf2x`.
            control_rate: Control periods per second, a whole number.
            physics_rate: Integration steps per second, a multiple of the control rate; by default
                the smallest one that is not below the package's own 240 Hz.

        Raises:
            UserError: The package is missing, the airframe another or the rates do not divide.
        """
        if quadrotor.name != AIRFRAME:
            raise UserError(
                f"the world gym_pybullet_drones flies the airframe {AIRFRAME} only, not "
                f"{quadrotor.name}; choose that airframe or the world pybullet"
            )
        rates = _whole_rates(control_rate, physics_rate)
        self.quadrotor = quadrotor
        self.control_period = 1.0 / control_rate
        self._bullet: Any = import_pybullet()
        self._aviary: Any = _create_aviary(*rates)
        self._rotors = np.zeros(4)

    @property
    def state(self) -> State:
        """True state at the end of the last control period."""
        position, quaternion, _, velocity, world_rates, _ = np.split(
            self._aviary._getDroneStateVector(0), [3, 7, 10, 13, 16]
        )
        still = State(position, quaternion, velocity, np.zeros(3))
        return State(position, quaternion, velocity, still.rotation.T @ world_rates)

    @property
    def rotors(self) -> Array:
        """Throttle (4,) of the last command: rotors follow at once."""
        return self._rotors

    def reset(self, state: State, rotors: Array) -> State:
        """Put the drone into a state and return what it now is."""
        bullet, client = self._bullet, self._client
        self._aviary.reset()
        bullet.resetBasePositionAndOrientation(
            self._body, state.position.tolist(), state.quaternion.tolist(), physicsClientId=client
        )
        bullet.resetBaseVelocity(
            self._body,
            state.velocity.tolist(),
            (state.rotation @ state.body_rates).tolist(),
            physicsClientId=client,
        )
        self._aviary._updateAndStoreKinematicInformation()
        self._rotors = np.array(rotors, dtype=np.float64)
        return self.state

    def step(self, throttle: Array | None) -> State:
        """Advance one control period with throttle (4,) in [0, 1]; None stops the motors."""
        self._rotors = np.zeros(4) if throttle is None else np.clip(throttle, 0.0, 1.0)
        self._aviary.step(self._rotors[None] * self._aviary.MAX_RPM)
        return self.state

    def close(self) -> None:
        """Close the physics world; closing twice does no harm."""
        if self._aviary is not None:
            self._aviary.close()
            self._aviary = None

    def __enter__(self) -> Aviary:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _client(self) -> int:
        return self._aviary.CLIENT

    @property
    def _body(self) -> int:
        return int(self._aviary.DRONE_IDS[0])


def _create_aviary(control_rate: int, physics_rate: int) -> Any:
    try:
        from gym_pybullet_drones.envs.CtrlAviary import CtrlAviary
    except ImportError as error:
        raise UserError(
            f"the world gym_pybullet_drones is not installed ({error}): pip install scipy "
            "transforms3d 'setuptools<80' && pip install --no-deps swarm-drone-gym==2.0.0.3, or "
            "choose the world pybullet"
        ) from error
    with redirect_stdout(StringIO()):  # it reports its constants there
        return CtrlAviary(
            pyb_freq=physics_rate, ctrl_freq=control_rate, gui=False, user_debug_gui=False
        )


def _whole_rates(control_rate: float, physics_rate: float | None) -> tuple[int, int]:
    if physics_rate is None:
        physics_rate = control_rate * math.ceil(LOWEST_PHYSICS_RATE / max(control_rate, 1.0))
    whole = float(control_rate).is_integer() and float(physics_rate).is_integer()
    if control_rate < 1.0 or not whole or physics_rate % control_rate or physics_rate <= 0.0:
        raise UserError(
            f"gym_pybullet_drones needs whole rates, the physics rate ({physics_rate:g} Hz) a "
            f"multiple of the control rate ({control_rate:g} Hz); choose such a pair"
        )
    return int(control_rate), int(physics_rate)

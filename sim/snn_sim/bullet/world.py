"""A simulated flight controller and its drone: commands in, true state out. SI units, ENU/FLU."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from snn_controller.control import autopilot_gains, control_rates
from snn_controller.errors import UserError
from snn_controller.flight import SimulatorSettings
from snn_controller.vehicle import Array, Command, Quadrotor, State, load_quadrotor
from snn_sim.bullet.drone import Drone
from snn_sim.task import sample_start


class World(Protocol):
    """A simulated drone. `Drone` is ours; the adapter to gym-pybullet-drones is another."""

    @property
    def state(self) -> State:
        """True state."""
        ...

    @property
    def rotors(self) -> Array:
        """Rotor state (4,) in [0, 1]."""
        ...

    def reset(self, state: State, rotors: Array) -> State:
        """Put the drone into a state with rotors (4,)."""
        ...

    def step(self, throttle: Array | None) -> State:
        """Advance one control period with throttle (4,); None stops the motors."""
        ...

    def close(self) -> None:
        """Close the world."""
        ...


class Simulation:
    """One world at a seeded start, with the rate loop that `thrust_rates` commands need."""

    def __init__(self, settings: SimulatorSettings) -> None:
        """Create the world and put the drone at its start.

        Raises:
            UserError: A setting is impossible or a part is missing.
        """
        self._quadrotor = load_quadrotor(settings.airframe)
        self._world = _create_world(settings, self._quadrotor)
        start = sample_start(
            settings.start,
            np.random.default_rng(settings.seed),
            target=np.array([0.0, 0.0, settings.hover_height]),
            quadrotor=self._quadrotor,
        )
        self._world.reset(*start)

    @property
    def state(self) -> State:
        """True state of the drone."""
        return self._world.state

    def step(self, command: Command | None) -> State:
        """Advance one control period; None or a stop command gives no thrust."""
        return self._world.step(self._throttle(command))

    def close(self) -> None:
        """Close the world."""
        self._world.close()

    def _throttle(self, command: Command | None) -> Array | None:
        if command is None or command.stop:
            return None
        if command.kind == "motors":
            return command.values
        return control_rates(
            command.values,
            self._world.state.body_rates,
            self._world.rotors,
            quadrotor=self._quadrotor,
            gains=autopilot_gains(self._quadrotor),
        )


def _create_world(settings: SimulatorSettings, quadrotor: Quadrotor) -> World:
    if settings.world == "gym_pybullet_drones":
        if settings.gui:
            raise UserError("gui:=true shows the world 'pybullet' only; choose world pybullet")
        from snn_sim.bullet.aviary import Aviary

        return Aviary(quadrotor, control_rate=settings.odometry_rate)
    return Drone(
        quadrotor,
        control_rate=settings.odometry_rate,
        physics_rate=settings.physics_rate,
        gui=settings.gui,
    )

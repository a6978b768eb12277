"""Where a drone is likely to be from its last valid state and our own commands. SI units, ENU/FLU.

Rigid body, thrust curve, mixer and motor lag of the airframe; no drag, no wind. Good for the second
or two that a descent without odometry takes, and for nothing else.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snn_controller.vehicle.action import Command
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.frames import Array, axis_angle_to_quaternion, multiply_quaternions
from snn_controller.vehicle.state import State

STEP = 2e-3  # s, at most
MAX_GAP = 0.5  # s, beyond which nothing is carried on


class Sighting:
    """The last state that was seen; one that repeats itself is carried on by our own commands."""

    def __init__(self, rotors: Array) -> None:
        """Begin with nothing seen, and rotors (4,) in [0, 1]."""
        self.state: State | None = None
        self.rotors = rotors  # (4,) at that instant
        self.told: State | None = None  # as odometry had it

    def see(
        self,
        told: State,
        rotors: Array,
        command: Command | None,
        seconds: float,
        quadrotor: Quadrotor,
    ) -> None:
        """Take in a state, valid by itself.

        Args:
            told: As odometry has it.
            rotors: Model of the rotors (4,) now.
            command: What has been in force since the state before.
            seconds: Time since then.
            quadrotor: The airframe.
        """
        before, self.told = self.told, told
        repeats = before is not None and told.same_place(before)
        if not repeats or self.state is None or command is None or command.stop:
            self.state, self.rotors = told, rotors
            return
        state, self.rotors = coast(self.state, self.rotors, command, seconds, quadrotor=quadrotor)
        if before is not None and not told.same_attitude(before):  # that part lives
            turned = told.quaternion.tolist() != before.quaternion.tolist()
            quaternion = told.quaternion if turned else state.quaternion
            state = replace(state, quaternion=quaternion, body_rates=told.body_rates)
        self.state = state


def coast(
    state: State, rotors: Array, command: Command, seconds: float, *, quadrotor: Quadrotor
) -> tuple[State, Array]:
    """Return the state and the rotors (4,) after a command has been in force for some time.

    Body rates of a `thrust_rates` command count as reached at once.
    """
    steps = math.ceil(min(seconds, MAX_GAP) / STEP)
    for _ in range(steps):
        state, rotors = _step(state, rotors, command, min(seconds, MAX_GAP) / steps, quadrotor)
    return state, rotors


def _step(
    state: State, rotors: Array, command: Command, seconds: float, quadrotor: Quadrotor
) -> tuple[State, Array]:
    if command.kind == "motors":
        middle = quadrotor.step_rotors(rotors, command.values, 0.5 * seconds)
        rotors = quadrotor.step_rotors(rotors, command.values, seconds)
        force, *torque = quadrotor.mixer @ quadrotor.thrust(middle)
        lift, rates = force / quadrotor.mass, state.body_rates
        inertia = quadrotor.inertia
        turned = (np.array(torque) - np.cross(rates, inertia * rates)) / inertia
        rates = rates + turned * seconds
    else:
        lift, rates = command.values[0], command.values[1:]
    acceleration = lift * state.rotation[:, 2] - np.array([0.0, 0.0, quadrotor.gravity])
    velocity = state.velocity + acceleration * seconds
    angle = float(np.linalg.norm(rates))
    axis = rates / angle if angle > 0.0 else np.array([0.0, 0.0, 1.0])
    turn = axis_angle_to_quaternion(axis, angle * seconds)
    after = State(
        state.position + 0.5 * (state.velocity + velocity) * seconds,
        multiply_quaternions(state.quaternion, turn),
        velocity,
        rates,
    )
    return after, rotors

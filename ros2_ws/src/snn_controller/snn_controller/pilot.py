"""The guide in flight: takes off, lands, and sinks level when the state is lost."""

from __future__ import annotations

import numpy as np

from snn_controller.action import (
    ActionKind,
    Command,
    limit_thrust_rates,
    throttle_from_action,
)
from snn_controller.dead_reckoning import coast
from snn_controller.frames import Array
from snn_controller.guide import GuideGains, geometric_control, geometric_thrust_rates
from snn_controller.quadrotor import Quadrotor
from snn_controller.rate_control import RateGains
from snn_controller.state import Reference, State

CLIMB_SPEED = 0.5  # m/s, of take-off
SINK_SPEED = 0.4  # m/s, of landing
PATIENCE = 15.0  # s that a take-off or a landing may take longer than its reference
BELOW_GROUND = 0.3  # m, how far the landing reference goes on, so that the drone settles
DESCENT_SPEED = 0.8  # m/s, of a descent without odometry
DESCENT_WEIGHT_SHARE = 0.9  # thrust of the blind descent as a share of the weight
# Calmer than the calibration's lead of 5: rotor speeds are modelled in flight, not measured.
PILOT_GAINS = GuideGains(rate=RateGains(lead=2.0))


class GuidePilot:
    """Flies the guide from odometry alone: rotor states come from a lag model of our commands."""

    def __init__(self, quadrotor: Quadrotor, kind: ActionKind, period: float) -> None:
        """Fly one airframe with commands of one kind every `period` seconds."""
        self._quadrotor = quadrotor
        self._kind: ActionKind = kind
        self._period = period
        self.rotors = np.full(4, quadrotor.hover_throttle)  # (4,) in [0, 1], by the model
        self._commanded = 0.0  # m/s^2

    def reset(self, *, rotors_turning: bool) -> None:
        """Begin a flight with rotors at hover throttle or at rest."""
        self.rotors = np.full(4, self._quadrotor.hover_throttle if rotors_turning else 0.0)

    def fly(self, state: State, reference: Reference) -> Command:
        """Return the guide's command towards a reference."""
        if self._kind == "thrust_rates":
            gravity = self._quadrotor.gravity
            values = geometric_thrust_rates(state, reference, gravity=gravity, gains=PILOT_GAINS)
            return Command(self._kind, limit_thrust_rates(values))
        action = geometric_control(
            state, reference, self.rotors, quadrotor=self._quadrotor, gains=PILOT_GAINS
        )
        return Command(self._kind, throttle_from_action(action))

    def coast(self, state: State, command: Command, seconds: float) -> State:
        """Return the state after some time of a command, nobody looking; the rotors go with it."""
        state, self.rotors = coast(state, self.rotors, command, seconds, quadrotor=self._quadrotor)
        return state

    def thrust(self) -> float:
        """Return what the rotors give now, in m/s^2 per mass, by the model and the last command."""
        if self._kind == "thrust_rates":
            return self._commanded
        quadrotor = self._quadrotor
        return float(quadrotor.thrust(self.rotors).sum()) / quadrotor.mass

    def follow(self, command: Command) -> None:
        """Advance the rotor model over one period of a command, whoever gave it."""
        if command.kind == "motors":
            self.rotors = self._quadrotor.step_rotors(self.rotors, command.values, self._period)
        else:
            self._commanded = float(command.values[0])


def takeoff_reference(start: Array, hover_point: Array, time: float) -> Reference:
    """Return the climb from `start` (3,) to the hover point, `time` s after it began."""
    way = hover_point - start
    length = float(np.linalg.norm(way))
    flown = min(CLIMB_SPEED * time, length)
    direction = way / length if length > 0.0 else way
    moving = flown < length
    return Reference(start + flown * direction, CLIMB_SPEED * direction * moving)


def takeoff_deadline(start: Array, hover_point: Array) -> float:
    """Return the s after which a climb from `start` (3,) to the hover point has failed."""
    return float(np.linalg.norm(hover_point - start)) / CLIMB_SPEED + PATIENCE


def landing_deadline(start: Array, ground_height: float) -> float:
    """Return the s after which the way down from `start` (3,) has failed to reach the ground."""
    return max(float(start[2]) - ground_height, 0.0) / SINK_SPEED + PATIENCE


def landing_reference(start: Array, ground_height: float, time: float) -> Reference:
    """Return the straight way down from `start` (3,), `time` s after it began."""
    height = max(start[2] - SINK_SPEED * time, ground_height - BELOW_GROUND)
    sinking = height > ground_height - BELOW_GROUND
    return Reference(
        np.array([start[0], start[1], height]), np.array([0.0, 0.0, -SINK_SPEED * sinking])
    )


def descent_reference(position: Array) -> Reference:
    """Return the reference of a descent by dead reckoning: level, down, wherever it is."""
    return Reference(position, np.array([0.0, 0.0, -DESCENT_SPEED]))


def descent_command(quadrotor: Quadrotor, kind: ActionKind) -> Command:
    """Return the command that sinks without any state: equal rotors, a little under the weight."""
    if kind == "thrust_rates":
        thrust = DESCENT_WEIGHT_SHARE * quadrotor.gravity
        return Command(kind, np.array([thrust, 0.0, 0.0, 0.0]))
    thrust = DESCENT_WEIGHT_SHARE * quadrotor.mass * quadrotor.gravity / 4.0
    return Command(kind, np.full(4, float(quadrotor.throttle(thrust))))

"""The backup controller: takes off, lands, and sinks level when the state is lost.

While no odometry can be trusted it flies by dead reckoning: from the last valid state and our own
commands, by rigid body, thrust curve, mixer and motor lag of the airframe; no drag, no wind. Good
for the second or two that such a descent takes, and for nothing else. SI units, ENU/FLU.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from snn_controller.control import GuideGains, RateGains, geometric_control, geometric_thrust_rates
from snn_controller.flight.plan import FlightPlan
from snn_controller.safety import Event, Mode, Verdict
from snn_controller.vehicle import (
    ActionKind,
    Array,
    Command,
    Quadrotor,
    Reference,
    State,
    axis_angle_to_quaternion,
    limit_thrust_rates,
    multiply_quaternions,
    throttle_from_action,
)

CLIMB_SPEED = 0.5  # m/s, of take-off
SINK_SPEED = 0.4  # m/s, of landing
PATIENCE = 15.0  # s that a take-off or a landing may take longer than its reference
BELOW_GROUND = 0.3  # m, how far the landing reference goes on, so that the drone settles
DESCENT_SPEED = 0.8  # m/s, of a descent without odometry
DESCENT_WEIGHT_SHARE = 0.9  # thrust of the blind descent as a share of the weight
# Calmer than the calibration's lead of 5: rotor speeds are modelled in flight, not measured.
BACKUP_GAINS = GuideGains(rate=RateGains(lead=2.0))

RECKONING_STEP = 2e-3  # s, at most
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
    steps = math.ceil(min(seconds, MAX_GAP) / RECKONING_STEP)
    for _ in range(steps):
        state, rotors = _advance(state, rotors, command, min(seconds, MAX_GAP) / steps, quadrotor)
    return state, rotors


def _advance(
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


class BackupController:
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
            values = geometric_thrust_rates(state, reference, gravity=gravity, gains=BACKUP_GAINS)
            return Command(self._kind, limit_thrust_rates(values))
        action = geometric_control(
            state, reference, self.rotors, quadrotor=self._quadrotor, gains=BACKUP_GAINS
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


ARRIVAL_DISTANCE = 0.1  # m from the hover point at which take-off has ended
ARRIVAL_SPEED = 0.2  # m/s
TOUCHDOWN_HEIGHT = 0.05  # m above the plan's ground, of the centre of mass
STANDING_HEIGHT = 0.0125  # m, where that expects the centre of a drone that stands

Step = tuple[Event, Verdict | None]  # what follows, and why


def guided_reference(mode: Mode, plan: FlightPlan, start: Array, seconds: float) -> Reference:
    """Return where the guide flies, some seconds after it began at `start` (3,) in m."""
    if mode is Mode.TAKEOFF:
        return takeoff_reference(start, plan.hover_point, seconds)
    return landing_reference(start, plan.ground_height, seconds)


def watch_flight(
    mode: Mode,
    state: State,
    plan: FlightPlan,
    start: Array,
    seconds: float,
    *,
    recovered: bool,
    overturned: bool,
) -> Step | None:
    """Return what ends a state in the air, or None while it goes on.

    Args:
        mode: The state.
        state: Where the drone is, valid.
        plan: The flight's plan.
        start: Where the state was entered (3,) in m.
        seconds: Time since then.
        recovered: Whether odometry has been valid for long enough to end a descent.
        overturned: Whether the drone has been tilted beyond its limit for too long.
    """
    if mode is Mode.TAKEOFF:
        return _watch_takeoff(state, plan, start, seconds)
    height = float(state.position[2]) - plan.ground_height
    if mode is Mode.POLICY:
        return _watch_policy(height, plan, seconds)
    if mode in (Mode.LAND, Mode.FALLBACK):
        return _watch_landing(height, plan, start, seconds, overturned=overturned)
    return (Event.RECOVER, None) if mode is Mode.DESCENT and recovered else None


def _watch_takeoff(state: State, plan: FlightPlan, start: Array, seconds: float) -> Step | None:
    distance = float(np.linalg.norm(state.position - plan.hover_point))
    speed = float(np.linalg.norm(state.velocity))
    if distance < ARRIVAL_DISTANCE and speed < ARRIVAL_SPEED:
        return Event.ENGAGE, None
    if seconds > takeoff_deadline(start, plan.hover_point):
        return Event.FALL_BACK, Verdict("takeoff", "take-off did not reach the hover point")
    return None


def _watch_policy(height: float, plan: FlightPlan, seconds: float) -> Step | None:
    if height < TOUCHDOWN_HEIGHT:
        return Event.KILL, Verdict("ground", "touched the ground")
    return (Event.LAND, None) if plan.lands and seconds >= plan.duration else None


def _watch_landing(
    height: float, plan: FlightPlan, start: Array, seconds: float, *, overturned: bool
) -> Step | None:
    if height < TOUCHDOWN_HEIGHT:
        return Event.TOUCH_DOWN, None
    if overturned:
        return Event.KILL, Verdict("overturned", "the guide could not turn the drone upright")
    if seconds > landing_deadline(start, plan.ground_height):
        # it lies on something, or its height is wrong
        return Event.KILL, Verdict("landing", "the landing did not reach the ground")
    return None

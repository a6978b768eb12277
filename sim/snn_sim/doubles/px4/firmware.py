"""What PX4 does with modes, arming and lost setpoints. Pure behaviour, seconds; no MAVLink.

Reproduced as observed with PX4 SITL v1.12.0-1923 over MAVLink:

- OFFBOARD is temporarily rejected without a stream of setpoints, and accepted after 1.5 s of it;
- arming is denied while a pre-arm check fails, with its text;
- when the stream stops, it leaves OFFBOARD for POSCTL by itself (COM_OF_LOSS_T, 0.5 s);
- disarming in flight is refused with "Disarming denied! Not landed".

From PX4's documentation, not observed: it wants one second of stream (COM_OF_LOSS_T between
setpoints at most), sees a landing after a second without thrust and motion (LNDMC_TRIG_TIME),
disarms 2 s after it (COM_DISARM_LAND) and 10 s after arming without a
take-off (COM_DISARM_PRFLT), and disarms by force (21196) in the air. POSCTL without sticks holds
the position; AUTO.LAND sinks straight down.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np

from snn_controller.control import GuideGains, geometric_thrust_rates
from snn_controller.vehicle import Array, Quadrotor, Reference, State
from snn_sim.bullet import Drone

ACCEPTED, TEMPORARILY_REJECTED, DENIED, UNSUPPORTED = 0, 1, 2, 3
CRITICAL = 2  # severity of a text
NOT_LANDED = "Disarming denied! Not landed"
STREAM_TIME = 1.0  # s
LANDING_TIME = 1.0  # s


class Px4Mode(IntEnum):
    """Main and sub mode as `custom_mode` has them."""

    MANUAL = 1 << 16
    POSCTL = 3 << 16
    OFFBOARD = 6 << 16
    HOLD = (4 << 16) | (3 << 24)
    LAND = (4 << 16) | (6 << 24)


@dataclass
class Px4Firmware:
    """State of the commander. Every call takes the time in s."""

    mode: Px4Mode = Px4Mode.MANUAL
    armed: bool = False
    failsafe: bool = False
    prearm_failure: str = ""  # why it does not arm
    refuses_offboard: bool = False  # as without a pilot's radio, unless a parameter excepts it
    parameters: dict[str, float] = field(
        default_factory=lambda: {
            "COM_OF_LOSS_T": 0.5,
            "COM_DISARM_LAND": 2.0,
            "COM_DISARM_PRFLT": 10.0,
            "MPC_THR_HOVER": 0.5,
        }
    )
    texts: list[str] = field(default_factory=list)  # to be sent, severity critical
    _first_setpoint: float | None = None
    _last_setpoint: float | None = None
    _armed_at: float = 0.0
    landed: bool = True  # as its landing detector sees it
    _standing_since: float | None = None  # without thrust, None in the air
    _took_off: bool = False

    def take_setpoint(self, now: float) -> None:
        """Note that a setpoint came: its stream proves that somebody is there."""
        if not self.streams(now):
            self._first_setpoint = now
        self._last_setpoint = now

    def streams(self, now: float) -> bool:
        """Whether setpoints come."""
        last = self._last_setpoint
        return last is not None and now - last <= self.parameters["COM_OF_LOSS_T"]

    def request_mode(self, custom_mode: int, now: float) -> int:
        """Change the mode, and return the answer."""
        if custom_mode not in list(Px4Mode):
            return UNSUPPORTED
        if custom_mode == Px4Mode.OFFBOARD and (
            self.refuses_offboard or not self._has_streamed(now)
        ):
            return TEMPORARILY_REJECTED
        self.mode, self.failsafe = Px4Mode(custom_mode), False
        return ACCEPTED

    def request_arming(self, now: float) -> int:
        """Arm, and return the answer."""
        if self.prearm_failure:
            self.texts.append(self.prearm_failure)
            self.texts.append("Arming denied! Resolve system health failures first")
            return TEMPORARILY_REJECTED
        if self.mode is Px4Mode.OFFBOARD and not self._has_streamed(now):
            self.texts.append("Arming denied! Offboard control signal lost")
            return TEMPORARILY_REJECTED
        if not self.armed:
            self.armed, self._armed_at, self._took_off = True, now, False
        return ACCEPTED

    def request_disarming(self, *, force: bool) -> int:
        """Disarm, and return the answer."""
        if self.armed and not force and not self.landed:
            self.texts.append(NOT_LANDED)
            return DENIED
        self.armed = self.failsafe = False
        return ACCEPTED

    def watch(self, now: float, *, on_ground: bool, thrust: bool) -> None:
        """Notice what only time brings: lost setpoints, landings, forgotten arming."""
        if self.mode is Px4Mode.OFFBOARD and not self.streams(now):
            self.mode, self.failsafe = Px4Mode.POSCTL, self.armed
        if on_ground and not (self.armed and thrust):
            since = self._standing_since
            self._standing_since = now if since is None else since
        else:
            self._standing_since = None
            self._took_off |= self.armed and not on_ground
        standing = 0.0 if self._standing_since is None else now - self._standing_since
        # what never left the ground need not be seen to come back
        self.landed = standing > LANDING_TIME or (not self._took_off and standing > 0.0)
        if self.armed and self.landed:
            self._disarm_in_time(now, standing)

    def _disarm_in_time(self, now: float, standing: float) -> None:
        name = "COM_DISARM_LAND" if self._took_off else "COM_DISARM_PRFLT"
        waited = standing if self._took_off else now - self._armed_at
        if waited > self.parameters[name]:
            self.request_disarming(force=True)

    def _has_streamed(self, now: float) -> bool:
        first = self._first_setpoint
        return self.streams(now) and first is not None and now - first > STREAM_TIME


BODY_RATE = 500.0  # Hz, of physics and rate loop
_BANDWIDTH = np.array([25.0, 25.0, 8.0])  # 1/s
# Damping of the angular acceleration makes the motors' lag as short as this, in s.
_SHORT_LAG = 0.018
_INTEGRAL = np.array([20.0, 20.0, 5.0])  # 1/s^2
_INTEGRAL_LIMIT = 20.0  # rad/s^2
_LANDED_SPEED = 0.1  # m/s


class Px4Body:
    """A drone on the ground that takes throttle and body rates, as a rate controller does.

    Its loops are not the ones that policies are trained with: gains, integral and damping differ,
    and collective thrust is a throttle, not an acceleration.
    """

    def __init__(self, quadrotor: Quadrotor) -> None:
        """Stand on the ground at the origin."""
        self.quadrotor = quadrotor
        self._drone = Drone(quadrotor, control_rate=BODY_RATE, physics_rate=BODY_RATE)
        self._half_height = quadrotor.collision_height / 2.0
        self._drone.reset(State.at_rest(np.array([0.0, 0.0, self._half_height])), np.zeros(4))
        self._damping = max(quadrotor.motor_time_constant_up / _SHORT_LAG - 1.0, 0.0)
        self._gain = _BANDWIDTH * (1.0 + self._damping)
        self._integral = np.zeros(3)
        self._rates = np.zeros(3)
        self._velocity = np.zeros(3)
        self.driven = False  # its motors turned in the last period
        # What it tells of itself, which faults may change; its own control knows the truth.
        self.estimator: Callable[[State], State] = _tell_the_truth
        self.resets = 0  # of the estimator, as it counts them
        self.clock_shift = 0.0  # s, of its clock
        self.battery = 3.9  # V

    @property
    def state(self) -> State:
        """True state."""
        return self._drone.state

    @property
    def estimate(self) -> State:
        """State as its estimator has it."""
        return self.estimator(self.state)

    @property
    def told_time(self) -> float:
        """Seconds by its own clock."""
        return max(self.time + self.clock_shift, 0.0)

    @property
    def specific_force(self) -> Array:
        """What an accelerometer measures (3,) in m/s^2, body: at rest gravity, upwards."""
        gain = (self._drone.state.velocity - self._velocity) / self.period
        gain[2] += self.quadrotor.gravity
        return self._drone.state.rotation.T @ gain

    @property
    def time(self) -> float:
        """Seconds since the start."""
        return self._drone.time

    @property
    def period(self) -> float:
        """Seconds that a step takes."""
        return self._drone.control_period

    @property
    def on_ground(self) -> bool:
        """Whether it stands, or as good as: a landing that bounces a little has ended too."""
        state = self._drone.state
        speed = float(np.linalg.norm(state.velocity))
        return float(state.position[2]) < self._half_height + 0.02 and speed < _LANDED_SPEED

    def place(self, state: State) -> None:
        """Put the drone elsewhere, rotors at hover throttle."""
        self._drone.reset(state, np.full(4, self.quadrotor.hover_throttle))

    def stop(self) -> None:
        """Advance with motors that stand still."""
        self._integral = np.zeros(3)
        self._advance(None)

    def step(self, throttle: float, rates: Array, *, push: Array | None = None) -> None:
        """Advance with a collective throttle in [0, 1], towards body rates (3,) in rad/s.

        A torque `push` (3,) in N m may act from outside.
        """
        state = self._drone.state
        error = rates - state.body_rates
        turning = (state.body_rates - self._rates) / self.period  # rad/s^2
        if self.on_ground:
            self._integral = np.zeros(3)
        else:
            wound = self._integral + _INTEGRAL * error * self.period
            self._integral = np.clip(wound, -_INTEGRAL_LIMIT, _INTEGRAL_LIMIT)
        acceleration = self._gain * error - self._damping * turning + self._integral
        self._advance(self._mix(throttle, acceleration), push)

    def drive(self, throttle: Array) -> None:
        """Advance with the throttle of each rotor (4,), past all loops."""
        self._advance(throttle)

    def hold(self, target: Array, velocity: Array) -> None:
        """Advance under the firmware's own position control."""
        reference = Reference(target, velocity)
        values = geometric_thrust_rates(
            self.state, reference, gravity=self.quadrotor.gravity, gains=GuideGains()
        )
        thrust = float(values[0]) * self.quadrotor.mass / 4.0
        self.step(float(self.quadrotor.throttle(thrust)), values[1:])

    def close(self) -> None:
        """Close the world."""
        self._drone.close()

    def _advance(self, throttle: Array | None, push: Array | None = None) -> None:
        """Step, and remember how it moved before."""
        state = self._drone.state
        self._velocity, self._rates = state.velocity, state.body_rates
        self.driven = throttle is not None and bool((throttle > 0.0).any())
        self._drone.step(throttle, torque=push)

    def _mix(self, throttle: float, acceleration: Array) -> Array:
        """Return the throttle of each rotor (4,); rotors idle at zero collective, as PX4's do."""
        quadrotor = self.quadrotor
        if throttle <= 0.0:
            return np.zeros(4)
        collective = 4.0 * float(quadrotor.thrust(throttle))
        torque = quadrotor.inertia * acceleration
        return np.asarray(quadrotor.throttle(quadrotor.inverse_mixer @ [collective, *torque]))


def _tell_the_truth(state: State) -> State:
    return state


SINK_SPEED = 0.5  # m/s


class OwnFlight:
    """The half of the firmware that nobody has to command."""

    def __init__(self, body: Px4Body, firmware: Px4Firmware) -> None:
        """Watch the modes of a firmware, and fly its body."""
        self._body, self._firmware = body, firmware
        self._mode = firmware.mode
        self._target = np.zeros(3)  # m, where the firmware holds its position

    @property
    def is_down(self) -> bool:
        """Whether the firmware itself lands and has reached the ground."""
        return self._firmware.mode is Px4Mode.LAND and self._body.on_ground

    def step(self) -> bool:
        """Advance the body if no setpoint flies it, and say so."""
        firmware, body = self._firmware, self._body
        if firmware.mode is not self._mode:
            self._mode = firmware.mode
            self._target = np.array(body.state.position)
        if not firmware.armed or self.is_down:
            body.stop()
        elif firmware.mode is Px4Mode.OFFBOARD:
            return False
        elif firmware.landed or firmware.mode is Px4Mode.MANUAL:
            body.step(0.0, np.zeros(3))
        else:
            sinking = SINK_SPEED if firmware.mode is Px4Mode.LAND else 0.0
            self._target = self._target - [0.0, 0.0, sinking * body.period]
            body.hold(self._target, np.array([0.0, 0.0, -sinking]))
        return True

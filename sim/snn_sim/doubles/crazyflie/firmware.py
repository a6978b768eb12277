"""A test double of a Crazyflie's firmware: CRTP frames in and out, flying a drone of our physics.

Checked against: stock cflib 0.1.34 as a client that is not ours (it connects, loads the tables,
logs, sets parameters, arms), and against what was observed with the Crazyflie firmware SITL of 2024
and the same cflib: protocol 7, the signs of rates and of stateEstimate.pitch, the zero-thrust
setpoint that unlocks, 36562 of 65535 to hover, setpoints older than 500 ms level and older than
2000 ms stop and lock (supervisor.info 30 before, 68 after). Conditions of the supervisor and the
yaw loop (a rate moves the angle to hold) follow the firmware's source of August 2026.
Not modelled: its estimator and PID gains (the state is the true one, the rate loop is ours), the
radio, the high-level commander, memories, the receive queue of 5 frames.
Never compared with a Crazyflie in the air.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable
from enum import Enum

import numpy as np

from snn_controller.control import RateGains, control_rates
from snn_controller.vehicle import GRAVITY, Array, State, load_quadrotor, roll_pitch_yaw
from snn_sim.bullet import Drone
from snn_sim.doubles.crazyflie import crtp

LEVEL_AGE = 500  # ms, age of the setpoint above which the vehicle levels
STOP_AGE = 2000  # ms, above which the motors stop and the vehicle locks
FLYING_TIME = 2000  # ms after the last thrust in which it still counts as flying
TILT_TIME = 1000  # ms of less than half a g along body z that count as tumbled
UPSIDE_DOWN_TIME = 100  # ms


class Phase(Enum):
    """States of the supervisor that matter here; the spin-up of brushless motors is left out."""

    NOT_READY = "not ready"
    READY_TO_ARM = "ready to arm"
    READY = "ready to fly"
    FLYING = "flying"
    LEVEL = "levelling"
    LANDED = "landed"
    CRASHED = "crashed"
    LOCKED = "locked"


MOTORS_ALLOWED = frozenset({Phase.READY, Phase.FLYING, Phase.LEVEL, Phase.LANDED})


class SupervisorDouble:
    """Advances once a millisecond or less often; times in ms since the start."""

    def __init__(self, *, auto_arming: bool) -> None:
        """Begin disarmed. With `auto_arming` (Crazyflie 2.x) nobody has to ask for arming."""
        self.phase = Phase.NOT_READY
        self.armed = False
        self.tumbled = False
        self._auto_arming = auto_arming
        self._emergency = False
        self._last_thrust: int | None = None
        self._tilted_since: int | None = None

    @property
    def may_fly(self) -> bool:
        """Whether the motors may turn."""
        return self.phase in MOTORS_ALLOWED

    def arm(self, wanted: bool) -> bool:
        """Take a request to arm or disarm and say whether it was granted."""
        if wanted and not self.armed and self.phase is not Phase.READY_TO_ARM:
            return False
        self.armed = wanted
        return True

    def stop(self) -> None:
        """Take an emergency stop."""
        self._emergency = True

    def info(self) -> int:
        """Return the bits of the log variable `supervisor.info`."""
        flying = self.phase in (Phase.FLYING, Phase.LEVEL)
        bits = (
            self.phase is Phase.READY_TO_ARM,
            self.armed,
            self._auto_arming,
            self.may_fly,
            flying,
            self.tumbled,
            self.phase is Phase.LOCKED,
            self.phase is Phase.CRASHED,
        )
        return sum(1 << i for i, bit in enumerate(bits) if bit)

    def update(self, now: int, *, age: int, thrust: bool, upward: float) -> None:
        """Advance to `now`.

        Args:
            now: Time in ms.
            age: Age of the setpoint in ms.
            thrust: Whether the motors turn.
            upward: Acceleration along body z in g, as the accelerometer has it.
        """
        if thrust:
            self._last_thrust = now
        recent = self._last_thrust is not None and now - self._last_thrust < FLYING_TIME
        self._watch_tilt(now, upward)
        self.phase = self._next(age, recent)
        if self.phase not in MOTORS_ALLOWED:
            self.armed = self.phase is Phase.READY_TO_ARM and self._auto_arming

    def _watch_tilt(self, now: int, upward: float) -> None:
        if upward >= 0.5 or abs(upward) < 0.1:  # upright, or falling freely
            self._tilted_since, self.tumbled = None, False
            return
        if self._tilted_since is None:
            self._tilted_since = now
        patience = UPSIDE_DOWN_TIME if upward < -0.2 else TILT_TIME
        self.tumbled = now - self._tilted_since > patience

    def _next(self, age: int, recent: bool) -> Phase:
        phase = self.phase
        if phase is Phase.LOCKED or self._emergency:
            return Phase.LOCKED
        if phase in (Phase.NOT_READY, Phase.READY_TO_ARM):
            return self._on_ground()
        if phase is Phase.CRASHED:
            return phase
        if not self.armed or (self.tumbled and phase is Phase.READY):
            return Phase.NOT_READY
        if phase is Phase.READY:
            return Phase.FLYING if recent else phase
        if phase is Phase.LANDED:
            return Phase.FLYING if recent else phase
        if age > STOP_AGE:
            return Phase.LOCKED
        if self.tumbled:
            return Phase.LOCKED if phase is Phase.LEVEL else Phase.CRASHED
        if age > LEVEL_AGE:
            return Phase.LEVEL
        return Phase.FLYING if recent else Phase.LANDED

    def _on_ground(self) -> Phase:
        if self.tumbled:
            return Phase.NOT_READY
        if self.phase is Phase.NOT_READY:
            return Phase.READY_TO_ARM
        return Phase.READY if self.armed else Phase.READY_TO_ARM


STEP = 2  # ms, of the rate loop and of the physics
HOVER_THRUST = 36562  # setpoint that carries the weight
LOWEST_THRUST, HIGHEST_THRUST = 1000, 60000
ATTITUDE_GAIN = 6.0  # 1/s, angle error to rate
GAINS = RateGains(lead=2.0)
FASTEST = 2000.0  # deg/s
_SETPOINT = struct.Struct("<fffH")
_PARAMETERS = {
    "flightmode.stabModeRoll": ("B", 1),
    "flightmode.stabModePitch": ("B", 1),
    "flightmode.stabModeYaw": ("B", 0),
    "stabilizer.estimator": ("B", 2),
    "stabilizer.stop": ("B", 0),
    "kalman.resetEstimation": ("B", 0),
    "supervisor.landedTimeout": ("H", 3000),
    "pm.lowVoltage": ("f", 3.2),
}
_LOG_VARIABLES = {
    **{f"stateEstimate.{name}": 7 for name in ("x", "y", "z", "vx", "vy", "vz")},
    **{f"stateEstimate.{name}": 7 for name in ("roll", "pitch", "yaw", "qx", "qy", "qz", "qw")},
    **{f"{group}.{name}": 7 for group in ("gyro", "acc") for name in ("x", "y", "z")},
    "pm.vbat": 7,
    "supervisor.info": 2,
    "stabilizer.thrust": 7,
}


class CrazyflieFirmware:
    """One simulated vehicle. Time advances by `step` only, so it can run in lockstep."""

    def __init__(
        self,
        drone: Drone,
        *,
        protocol: int = 7,
        auto_arming: bool = True,
        without: Iterable[str] = (),
    ) -> None:
        """Switch on a vehicle whose drone steps in periods of 2 ms.

        Args:
            drone: Physics at a control rate of 500 Hz.
            protocol: Version of CRTP to report.
            auto_arming: Whether the build arms itself, as on the Crazyflie 2.x.
            without: Log variables that this firmware lacks.
        """
        self.drone = drone
        self.time = 0  # ms
        self.battery = 3.9  # V
        self.supervisor = SupervisorDouble(auto_arming=auto_arming)
        self.external_pose: tuple[float, ...] | None = None  # last one received
        self.force = np.zeros(3)  # N, of the world on the drone
        # What it tells of itself, which faults may change; its own control knows the truth.
        self.estimator: Callable[[State], State] = lambda state: state
        self.clock_shift = 0  # ms, of its clock
        self.parameters = crtp.Parameters(_PARAMETERS)
        variables = {k: v for k, v in _LOG_VARIABLES.items() if k not in set(without)}
        self._logs = crtp.LogBlocks(variables, self._read)
        self._protocol = protocol
        self._thrust = 0  # setpoint as taken, 0 to 60000
        self._setpoint = np.zeros(3)  # roll, pitch, yaw in body FLU, rad/s or rad by the modes
        self._setpoint_time: int | None = None  # ms; None while the planner's null setpoint rules
        self._unlocked = False
        self._heading = 0.0  # rad, to hold
        self._velocity = np.zeros(3)  # m/s, one step ago
        self._force = np.zeros(3)  # what the accelerometer has in g, body

    @property
    def motors_turn(self) -> bool:
        """Whether the motors are driven now."""
        return self._thrust > 0 and self.supervisor.may_fly

    def receive(self, data: bytes) -> list[bytes]:
        """Take one frame and return the answers; what is no frame is ignored."""
        if not 1 <= len(data) <= 31:
            return []
        port, channel, payload = data[0] >> 4, data[0] & 3, data[1:]
        if port == crtp.LOG:
            return self._logs.receive(channel, payload)
        if port == crtp.PARAM:
            return self.parameters.receive(channel, payload)
        if port == crtp.MEMORY and channel == 0 and payload[:1] == b"\x01":
            return [crtp.frame(crtp.MEMORY, 0, b"\x01\x00")]  # there are none
        if port == crtp.LINK:
            return self._answer_link(channel, payload)
        if port == crtp.PLATFORM:
            return self._answer_platform(channel, payload)
        if port == crtp.SUPERVISOR and self._protocol >= 12:
            return self._answer_supervisor(channel, payload)
        self._take_setpoint(port, channel, payload)
        return []

    def step(self) -> list[bytes]:
        """Advance by 2 ms and return the log frames that are due."""
        self.time += STEP
        state = self.drone.state
        age = 0 if self._setpoint_time is None else self.time - self._setpoint_time
        self._force = self._specific_force(state)
        upward = float(self._force[2])
        self.supervisor.update(self.time, age=age, thrust=self.motors_turn, upward=upward)
        if self.parameters.values["stabilizer.stop"]:
            self.supervisor.stop()
        if not self.supervisor.may_fly:
            self._thrust = 0
        self._velocity = state.velocity
        throttle = self._throttle(state) if self.motors_turn else None
        self.drone.step(throttle, force=self.force)
        return self._logs.due(self.time + self.clock_shift)

    def _specific_force(self, state: State) -> Array:
        """Return what the accelerometer has (3,) in g, in the body."""
        specific = (state.velocity - self._velocity) / (STEP * 1e-3)
        specific = specific + np.array([0.0, 0.0, GRAVITY])
        return specific @ state.rotation / GRAVITY

    def _throttle(self, state: State) -> Array:
        roll, pitch, yaw = roll_pitch_yaw(state.rotation).tolist()
        modes, rates = self.parameters.values, self._setpoint.copy()
        levels = self.supervisor.phase is Phase.LEVEL
        if levels:
            rates[:] = 0.0
        if levels or modes["flightmode.stabModeRoll"]:
            rates[0] = ATTITUDE_GAIN * (rates[0] - roll)
        if levels or modes["flightmode.stabModePitch"]:
            rates[1] = ATTITUDE_GAIN * (rates[1] - pitch)
        self._heading += rates[2] * STEP * 1e-3
        rates[2] = ATTITUDE_GAIN * math.remainder(self._heading - yaw, 2.0 * math.pi)
        thrust = self.drone.quadrotor.gravity * self._thrust / HOVER_THRUST
        return control_rates(
            np.array([thrust, *rates]),
            state.body_rates,
            self.drone.rotors,
            quadrotor=self.drone.quadrotor,
            gains=GAINS,
        )

    def _take_setpoint(self, port: int, channel: int, payload: bytes) -> None:
        """Take what moves the vehicle or stops it."""
        if port == crtp.LOCATION and channel == 1:
            self._take_location(payload)
        elif not self.supervisor.may_fly:
            return
        elif port == crtp.COMMANDER and channel == 0 and len(payload) >= _SETPOINT.size:
            self._take_angles(*_SETPOINT.unpack_from(payload))
        elif port == crtp.GENERIC and payload[:1] == b"\0" and channel in (0, 1):
            self._thrust = 0
            self._setpoint_time = self.time if channel == 0 else None

    def _take_angles(self, roll: float, pitch: float, yaw: float, thrust: int) -> None:
        if not math.isfinite(roll + pitch + yaw):
            return  # firmware does not look; what it makes of it is not known
        self._setpoint_time = self.time
        self._unlocked |= thrust == 0
        if not self._unlocked or thrust < LOWEST_THRUST:
            thrust = 0
        if self._thrust == 0:
            self._heading = float(roll_pitch_yaw(self.drone.state.rotation)[2])
        self._thrust = min(thrust, HIGHEST_THRUST)
        # both the pitch of the wire and the yaw rate turn against body FLU
        self._setpoint = np.radians(np.clip([roll, -pitch, -yaw], -FASTEST, FASTEST))

    def _take_location(self, payload: bytes) -> None:
        if payload[:1] == b"\x03":
            self.supervisor.stop()
        elif payload[:1] == b"\x08" and len(payload) >= 29:
            self.external_pose = struct.unpack_from("<7f", payload, 1)

    def _answer_link(self, channel: int, payload: bytes) -> list[bytes]:
        if channel == 0:
            return [crtp.frame(crtp.LINK, 0, payload)]
        if channel == 1:
            return [crtp.frame(crtp.LINK, 1, b"Bitcraze Crazyflie\0")]
        return [crtp.frame(crtp.LINK, 3, b"")] if channel == 3 else []

    def _answer_platform(self, channel: int, payload: bytes) -> list[bytes]:
        if channel == 1 and payload[:1] == b"\0":
            return [crtp.frame(crtp.PLATFORM, 1, struct.pack("<Bi", 0, self._protocol))]
        if channel == 0 and payload[:1] == b"\x01" and len(payload) >= 2:
            granted = self.supervisor.arm(bool(payload[1]))
            answer = bytes([1, granted, self.supervisor.armed])
            return [crtp.frame(crtp.PLATFORM, 0, answer)]
        return []

    def _answer_supervisor(self, channel: int, payload: bytes) -> list[bytes]:
        command = payload[:1]
        if channel == 0 and command == b"\x0c":
            answer = struct.pack("<BH", 0x8C, self.supervisor.info())
            return [crtp.frame(crtp.SUPERVISOR, 0, answer)]
        if channel == 1 and command == b"\x01" and len(payload) >= 2:
            granted = self.supervisor.arm(bool(payload[1]))
            answer = bytes([0x81, granted, self.supervisor.armed])
            return [crtp.frame(crtp.SUPERVISOR, 1, answer)]
        if channel == 1 and command == b"\x03":
            self.supervisor.stop()
        return []

    def _read(self, name: str) -> float:
        """Return the value of a log variable, in the firmware's units and signs."""
        group, _, variable = name.partition(".")
        state = self.estimator(self.drone.state)
        if group == "gyro":
            return math.degrees(state.body_rates["xyz".index(variable)])
        if group == "acc":
            return float(self._force["xyz".index(variable)])
        if group == "supervisor":
            return self.supervisor.info()
        if group == "pm":
            return self.battery
        if group == "stabilizer":
            return self._thrust
        if variable in ("roll", "pitch", "yaw"):
            roll, pitch, yaw = np.degrees(roll_pitch_yaw(state.rotation)).tolist()
            return {"roll": roll, "pitch": -pitch, "yaw": yaw}[variable]
        axis = "xyzw".index(variable[-1])
        vectors = {"v": state.velocity, "q": state.quaternion}
        return float(vectors.get(variable[:-1], state.position)[axis])


def ground_firmware(airframe: str = "crazyflie21", **options: object) -> CrazyflieFirmware:
    """Return the firmware of a vehicle that stands on the ground with its motors off."""
    quadrotor, rate = load_quadrotor(airframe), 1000.0 / STEP  # Hz
    drone = Drone(quadrotor, control_rate=rate, physics_rate=rate)
    height = quadrotor.collision_height / 2.0
    drone.reset(State.at_rest(np.array([0.0, 0.0, height])), np.zeros(4))
    return CrazyflieFirmware(drone, **options)  # type: ignore[arg-type]

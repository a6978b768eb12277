"""The `crazyflie` link: thrust and body rates to a Crazyflie by cflib, 100 times a second.

Stock firmware takes no setpoint for single motors by radio, so `motors` policies cannot fly here:
writing the parameters motorPowerSet takes an acknowledged packet per motor (some 60 ms for four)
and goes round the firmware's own stabilisation and watchdogs.

The firmware's watchdog levels the vehicle 0.5 s after the last setpoint, and 2 s after it the
motors stop and the vehicle locks itself until a restart. The controller's own limits act before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from time import perf_counter_ns

from cflib.crazyflie import Crazyflie

from snn_controller.errors import UserError
from snn_controller.flight_controllers.crazyflie.messages import (
    RATE_MODES,
    STOP,
    Supervisor,
    arming_obstacle,
    mode_in_words,
    setpoint_from_command,
    specific_force_from_log,
    state_from_log,
)
from snn_controller.flight_controllers.crazyflie.radio import CrazyflieClock, CrazyflieRadio
from snn_controller.flight_controllers.registry import RATES_ONLY, LinkOptions
from snn_controller.flight_controllers.shared.estimate import OwnEstimate
from snn_controller.vehicle import Command, LinkStatus, Odometry, State

DEFAULT_ENDPOINT = "radio://0/80/2M/E7E7E7E7E7"
LINK_RATE = 100.0  # Hz, of setpoints and of the state's log block
UNLOCKING_SETPOINTS = 5  # stop setpoints before thrust: the firmware wants one, and one may be lost
ASKING_PERIOD = 0.5  # s between two requests for modes or for arming
ESTIMATOR, KALMAN = "stabilizer.estimator", "2"  # the only one that takes poses
KALMAN_RESET = "kalman.resetEstimation"
STATUS_PATIENCE = 1.0  # s without the status block after which nobody knows what it does
CLOSING_TIME = 0.15  # s for the vehicle to acknowledge the last setpoint


class CrazyflieLink:
    """A `FlightController` for one Crazyflie; nobody is at a transmitter, so there is no pilot."""

    name = "crazyflie"
    action_kinds = RATES_ONLY
    has_pilot = False

    def __init__(
        self,
        options: LinkOptions,
        *,
        radio: Callable[[str, Iterable[str]], CrazyflieRadio] = CrazyflieRadio,
        clock: Callable[[], int] = perf_counter_ns,
    ) -> None:
        """Connect to the vehicle; blocks for some seconds.

        Args:
            options: Endpoint, throttle at hover, frames.
            radio: Connects to an endpoint, knowing the parameters that will be needed.
            clock: Time in ns by which the radio stamps what has come.

        Raises:
            UserError: The rate, the endpoint, the radio, the vehicle or its firmware is not fit.
        """
        if options.odometry_rate != LINK_RATE:
            raise UserError(
                f"link 'crazyflie' works at {LINK_RATE:g} Hz, not at {options.odometry_rate:g} Hz;"
                " set the parameter odometry_rate to 100"
            )
        self._options = options
        # Poses from outside have a frame of their own, which is not that of the start.
        at_start = options.start_frame and not options.external_pose
        self._estimate = OwnEstimate(replace(options, start_frame=at_start))
        self._wanted = {name: "0" for name in RATE_MODES}
        if options.external_pose:
            self._wanted[ESTIMATOR] = KALMAN
        needed = [*self._wanted, KALMAN_RESET] if options.external_pose else self._wanted
        self._radio = radio(options.endpoint or DEFAULT_ENDPOINT, needed)
        self._nanoseconds = clock
        self._before = {name: self._radio.parameter(name) or "0" for name in self._wanted}
        if options.external_pose:
            self._radio.set_parameters({ESTIMATOR: KALMAN})
        self._poses = 0
        self._clock = CrazyflieClock()
        self._taken: int | None = None  # vehicle's time of the state last told
        self._asked = 0.0  # s, when modes and arming were last asked for
        self._can_fly = False  # armed, says the vehicle
        self._stops = 0  # stop setpoints since it can fly
        self._obeys = False  # it has taken our modes, and thrust is unlocked
        self._active = False  # asked to be armed
        self._killed = False
        self._resting = True  # nothing but stop setpoints has been sent last

    def poll(self, now: int) -> LinkStatus:
        """Ask again for what the vehicle has not done yet, and tell what it says."""
        status = self._radio.status
        info = None if status is None else int(status.values[0])
        modes_set = all(self._radio.parameter(n) == v for n, v in self._wanted.items())
        if self._active and self._seconds - self._asked > ASKING_PERIOD:
            self._ask(info or 0, modes_set)
        flight_bits = Supervisor.ARMED | Supervisor.CAN_FLY
        self._can_fly = ((info or 0) & flight_bits) == flight_bits
        if not self._radio.lost:  # what a lost vehicle does is not known; its age tells the rest
            self._obeys = modes_set and self._stops >= UNLOCKING_SETPOINTS
        ready = self._active and not self._killed
        return LinkStatus(
            age=self._age,
            armed=ready and self._can_fly,
            in_control=ready and self._obeys,
            mode=f"link lost: {self._radio.lost}" if self._radio.lost else mode_in_words(info),
            refusal=self._refusal(info, modes_set),
            battery=None if status is None else status.values[1],
            odometry=self._odometry(now),
        )

    def arm(self) -> None:
        """Ask for rate mode and for arming; `send` brings the stop setpoints that unlock thrust."""
        self._active, self._killed = True, False
        self._stops, self._obeys = 0, False
        self._radio.set_parameters(self._wanted)  # whatever they are thought to be
        self._asked = self._seconds - 0.8 * ASKING_PERIOD  # a first answer takes a moment
        self._estimate.start()

    def send(self, command: Command, stamp: int) -> None:
        """Send a command; thrust only once `arm` was called, and none after `kill`."""
        allowed = self._active and not self._killed
        setpoint = STOP
        if allowed and not command.stop:
            mapped = setpoint_from_command(command, self._estimate.throttle)
            if mapped is None:
                return  # not finite: the firmware's watchdog is the better answer
            setpoint = mapped
        self._resting = setpoint is STOP
        self._stops += setpoint is STOP and self._can_fly  # firmware that cannot fly is deaf
        self._radio.send(setpoint)

    def disarm(self) -> None:
        """Stop the motors and take back the arming, where the build arms at all."""
        self._active = False
        self._radio.send(STOP)
        self._radio.do(lambda cf: cf.supervisor.send_arming_request(False))

    def kill(self) -> None:
        """Stop the motors by setpoint and by the emergency stop, which locks the vehicle.

        One that has stood with its motors off for 2 s needs no more than its stop setpoints, and
        would only have to be restarted.
        """
        resting = self._resting and not self._radio.flying
        self._killed = True
        self._radio.send(STOP)
        for _ in range(0 if resting else 3):  # there is no answer to tell a lost packet by
            self._radio.do(lambda cf: cf.supervisor.send_emergency_stop())

    def hand_back(self) -> None:
        """Stop the motors: there is no pilot to fly on."""
        self.disarm()

    def send_pose(self, state: State) -> None:
        """Give the vehicle's estimator a measured position and attitude (ENU, FLU).

        The first one makes it forget where it has thought to be.
        """
        if self._poses == 0:
            self._radio.set_parameters({KALMAN_RESET: "1"})
        self._poses += 1
        self._radio.send_pose(state.position, state.quaternion)

    def close(self) -> None:
        """Stop the motors, and wait for 0.15 s at most until the vehicle has heard it."""
        self._active = False
        self._radio.rest()
        self._radio.echo(CLOSING_TIME)

    def release(self) -> None:
        """Begin to give the stabilisation modes back and to close the link."""
        self._active = False
        self._radio.release(self._before)

    def wait_released(self) -> bool:
        """After `release`: wait until the link is closed, and say whether it is. Blocks."""
        return self._radio.join()

    @property
    def description(self) -> str:
        """What was connected to, in words."""
        return f"{self._radio.endpoint}, protocol {self.client.platform.get_protocol_version()}"

    @property
    def client(self) -> Crazyflie:
        """The object of cflib, for tests and tools; the link itself uses its own thread."""
        return self._radio.client

    @property
    def _seconds(self) -> float:
        return self._nanoseconds() * 1e-9

    @property
    def _age(self) -> float:
        """Time in s since the vehicle was last known to live."""
        status = self._radio.status
        unknown = 0.0 if status is None else (self._nanoseconds() - status.arrival) * 1e-9
        return unknown if unknown > STATUS_PATIENCE else self._seconds - self._radio.heard

    def _ask(self, info: int, modes_set: bool) -> None:
        self._asked = self._seconds
        if not modes_set:
            self._radio.set_parameters(self._wanted)
        if info & Supervisor.CAN_BE_ARMED and not info & Supervisor.ARMED:
            self._radio.do(lambda cf: cf.supervisor.send_arming_request(True))

    def _refusal(self, info: int | None, modes_set: bool) -> str:
        if self._radio.lost:
            return f"the link is lost: {self._radio.lost}"
        if self._radio.silent:
            return "nothing has been heard of it for more than 1 s: bring it nearer or restart it"
        obstacle = arming_obstacle(info)
        if obstacle or not self._active:
            return obstacle
        return "" if modes_set else "it has not taken the rate modes yet"

    def _odometry(self, now: int) -> Odometry | None:
        sample = self._radio.state
        if sample is None or sample.time == self._taken:
            return None
        self._taken = sample.time
        stamp = self._clock.stamp(sample.time, sample.arrival)
        if stamp is None:
            return None
        status = self._radio.status
        odometry = Odometry(
            now - (self._nanoseconds() - stamp),
            self._options.world_frame,
            self._options.body_frame,
            state_from_log(sample.values),
            specific_force=None if status is None else specific_force_from_log(status.values),
        )
        flying = self._active and not self._resting
        return self._estimate.tell(odometry, flying=flying, armed=self._active)

"""One flight of a policy with the real Betaflight firmware: arm, hover, kick, lose the link.

The whole stack but ROS flies: state machine, guards, policy, link, firmware, drone, by the clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep, time_ns

import numpy as np
from snn_controller.flight import Flight
from snn_controller.flight_controllers.betaflight import Betaflight, open_betaflight
from snn_controller.flight_controllers.links import LinkOptions
from snn_controller.flight_plan import FlightPlan
from snn_controller.frames import Array, tilt_angle
from snn_controller.guards.limits import Limits
from snn_controller.link_driver import LinkDriver
from snn_controller.policy import Policy
from snn_controller.quadrotor import load_quadrotor
from snn_controller.state import Odometry
from snn_controller.state_machine import Mode
from snn_controller.tasks import find_task

from sim.betaflight_plant import Plant, Snapshot
from sim.betaflight_sitl import ENDPOINT, BetaflightSitl

TICK = 0.01  # s
START_TIME = 30.0  # s until the policy must be in control
SETTLING = 2.0  # s of the policy before hovering counts
RECOVERY_TIME = 5.0  # s that recovering from the kick may take
RECOVERED = 0.1  # m and rad within which the kick is over
HOVER_LIMIT = 0.2  # m
LOSS_TIME = 4.0  # s to watch the failsafe
IDLE_THROTTLE = 0.15  # below which the motors count as dropped
KICK = np.array([6.0, -5.0, 1.0])  # rad/s
FAILSAFE_STAGES = ("signal lost", "throttle dropped", "disarmed")
LIMITS = Limits()


@dataclass(frozen=True)
class Trial:
    """What flies, and how long it hovers. The throttle is that of the airframe past idle."""

    policy: Path
    airframe: str = "crazyflie21"
    hover_time: float = 20.0  # s
    hover_thrust: float = 0.64
    thrust_curve: float = 0.55


@dataclass
class FlightResult:
    """What was measured; times in s, distances in m, angles in rad. None: it never came."""

    starts: int = 1  # of the firmware until its control loop ran
    armed_after: float | None = None  # since it was asked
    in_control_after: float | None = None  # of the policy, after take-off by the guide
    hover_error: float | None = None  # root mean square
    hover_height_error: float | None = None  # mean, signed
    hover_tilt: float | None = None  # largest
    kick_error: float | None = None  # largest
    recovered_after: float | None = None
    final_error: float | None = None
    command_rate: float | None = None  # Hz of commands that the firmware confirmed
    motor_rate: float | None = None  # Hz of packets from the firmware
    failsafe: dict[str, float] = field(default_factory=dict)  # after the last command
    trouble: str = ""

    @property
    def passed(self) -> bool:
        """Whether it armed, hovered, recovered and was disarmed by the firmware."""
        return (
            not self.trouble
            and self.hover_error is not None
            and self.hover_error < HOVER_LIMIT
            and self.recovered_after is not None
            and all(stage in self.failsafe for stage in FAILSAFE_STAGES)
        )


def fly_betaflight(binary: Path, trial: Trial) -> FlightResult:
    """Start the firmware, fly once and return what was measured.

    Raises:
        UserError: The firmware does not come up, or the policy or the link is refused.
    """
    policy = Policy.load(trial.policy, airframe=trial.airframe, control_rate=1.0 / TICK)
    options = LinkOptions(
        endpoint=ENDPOINT, hover_thrust=trial.hover_thrust, thrust_curve=trial.thrust_curve
    )
    with BetaflightSitl(binary, trial.airframe) as sitl:
        link = open_betaflight(options)
        try:
            flight = _TrialFlight(link, sitl.plant, policy, trial)
            flight.run()
        finally:
            link.close()
            link.release()
    flight.result.starts = sitl.starts
    return flight.result


class _TrialFlight:
    """The stages of one flight, on the wall clock."""

    def __init__(self, link: Betaflight, plant: Plant, policy: Policy, trial: Trial) -> None:
        plan = FlightPlan(task=find_task("hover"), duration=1e6, from_ground=True)
        self._flight = Flight(policy, load_quadrotor(trial.airframe), plan, LIMITS)
        self._driver = LinkDriver(link)
        self._link = link
        self._plant = plant
        self._trial = trial
        self._target = plan.hover_point
        self._next = monotonic()
        self.result = FlightResult()

    def run(self) -> None:
        """Fly until the link is lost, or until something goes wrong."""
        begin = monotonic()
        self._fly(START_TIME, self._starting(begin))
        if self._flight.mode is not Mode.POLICY:
            self._give_up("the policy did not get control")
            return
        self.result.in_control_after = monotonic() - begin
        begin, answers = monotonic(), self._link.confirmed
        packets = self._plant.snapshot().packets
        self._fly(SETTLING)
        self._measure_hover(self._fly(self._trial.hover_time))
        self._plant.kick(KICK)
        self._measure_kick(self._fly(RECOVERY_TIME))
        seconds = monotonic() - begin
        self.result.command_rate = (self._link.confirmed - answers) / seconds
        self.result.motor_rate = (self._plant.snapshot().packets - packets) / seconds
        if self._flight.mode is Mode.POLICY:
            self._lose_link()
        else:
            self._give_up("the policy lost control")

    def _starting(self, begin: float) -> Callable[[], bool]:
        """Return what says whether the flight is still on its way to the policy."""

        def starting() -> bool:
            if self._flight.status.armed and self.result.armed_after is None:
                self.result.armed_after = monotonic() - begin
            return self._flight.mode is not Mode.POLICY and not self._flight.done

        return starting

    def _fly(self, seconds: float, while_: Callable[[], bool] = lambda: True) -> list[Snapshot]:
        begin, seen = monotonic(), []
        while monotonic() - begin < seconds and while_():
            seen.append(self._tick())
        return seen

    def _tick(self) -> Snapshot:
        """Do what the controller node does for one sample of odometry."""
        snapshot, now = self._plant.snapshot(), time_ns()
        odometry = Odometry(now, LIMITS.world_frame, LIMITS.body_frame, snapshot.state)
        self._driver.poll(self._flight, now)
        self._driver.answer(self._flight, self._flight.tick(odometry, now), now)
        self._next = max(self._next + TICK, monotonic())
        sleep(max(self._next - monotonic(), 0.0))
        return snapshot

    def _give_up(self, what: str) -> None:
        verdict = self._flight.verdict
        why = verdict.reason if verdict else self._flight.status.refusal or "no reason was given"
        self.result.trouble = f"{what}; state {self._flight.mode.value}: {why}"

    def _measure_hover(self, seen: list[Snapshot]) -> None:
        positions, tilts = _course(seen)
        errors = positions - self._target
        self.result.hover_error = float(np.sqrt(np.mean(np.sum(errors**2, axis=1))))
        self.result.hover_height_error = float(np.mean(errors[:, 2]))
        self.result.hover_tilt = float(tilts.max())

    def _measure_kick(self, seen: list[Snapshot]) -> None:
        positions, tilts = _course(seen)
        errors = np.linalg.norm(positions - self._target, axis=1)
        self.result.kick_error, self.result.final_error = float(errors.max()), float(errors[-1])
        outside = np.flatnonzero((errors > RECOVERED) | (tilts > RECOVERED))
        if len(outside) == 0:
            self.result.recovered_after = 0.0
        elif outside[-1] + 1 < len(seen):
            self.result.recovered_after = seen[outside[-1] + 1].time - seen[0].time

    def _lose_link(self) -> None:
        """Stop sending, and note what the firmware does when."""
        begin, failsafe = monotonic(), self.result.failsafe
        while (time := monotonic() - begin) < LOSS_TIME and len(failsafe) < len(FAILSAFE_STAGES):
            happened = (
                self._link.signal_lost,
                bool(self._plant.snapshot().throttle.max() < IDLE_THROTTLE),
                not self._link.poll(0).armed,
            )
            for stage, yes in zip(FAILSAFE_STAGES, happened, strict=True):
                if yes:
                    failsafe.setdefault(stage, time)
            sleep(TICK)


def _course(seen: list[Snapshot]) -> tuple[Array, Array]:
    """Return positions (n, 3) in m and tilts (n,) in rad."""
    positions = np.stack([snapshot.state.position for snapshot in seen])
    tilts = np.array([float(tilt_angle(snapshot.state.rotation)) for snapshot in seen])
    return positions, tilts

"""One flight of a policy with the real Betaflight firmware: arm, hover, kick, lose the link.

The whole stack but ROS flies by the clock: control loop, state machine, guards, policy, link,
firmware, drone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep, time_ns

import numpy as np

from snn_controller.control import find_task
from snn_controller.errors import UserError
from snn_controller.flight import ControlLoop, Flight, FlightPlan
from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.betaflight import Betaflight, open_betaflight
from snn_controller.policy import Policy
from snn_controller.safety import Limits, Mode
from snn_controller.vehicle import Array, Odometry, load_quadrotor, tilt_angle
from snn_sim.betaflight import ENDPOINT, BetaflightSitl, Plant, Snapshot

TICK = 0.01  # s
START_TIME = 30.0  # s until the policy must be in control
LIMITS = Limits()


@dataclass(frozen=True)
class Trial:
    """What flies, and how long it hovers. The throttle is that of the airframe past idle."""

    policy: Path
    airframe: str = "crazyflie21"
    hover_time: float = 20.0  # s
    hover_thrust: float = 0.64
    thrust_curve: float = 0.55

    @property
    def options(self) -> LinkOptions:
        """What the link is told."""
        return LinkOptions(
            endpoint=ENDPOINT, hover_thrust=self.hover_thrust, thrust_curve=self.thrust_curve
        )


class RealTimeFlight:
    """One flight that arms by itself, takes off, and lets the policy hover."""

    def __init__(self, link: Betaflight, look: Callable[[], Snapshot], trial: Trial) -> None:
        """Prepare a flight.

        Args:
            link: Link to the firmware.
            look: Returns the drone as it is now.
            trial: What flies.

        Raises:
            UserError: The policy is not fit.
        """
        policy = Policy.load(trial.policy, airframe=trial.airframe, control_rate=1.0 / TICK)
        kind = policy.metadata.action_kind
        if kind not in link.action_kinds:
            raise UserError(
                f"link '{link.name}' takes {', '.join(link.action_kinds)} commands, but policy"
                f" {trial.policy} gives {kind}; choose another policy"
            )
        plan = FlightPlan(task=find_task("hover"), duration=1e6, from_ground=True)
        self.flight = Flight(policy, load_quadrotor(trial.airframe), plan, LIMITS)
        self.loop = ControlLoop(self.flight, link)
        self.link = link
        self.look = look
        self.armed_after: float | None = None  # s since the first tick
        self._begin = self._next = monotonic()

    def start(self) -> str:
        """Fly until the policy is in control; return why it is not, or ""."""
        self._begin = monotonic()
        self.fly(START_TIME, lambda: self.flight.mode is not Mode.POLICY and not self.flight.done)
        if self.flight.mode is Mode.POLICY:
            return ""
        return self.explain("the policy did not get control")

    def fly(self, seconds: float, while_: Callable[[], bool] = lambda: True) -> list[Snapshot]:
        """Fly on for some seconds; return the drone at each tick."""
        begin, seen = monotonic(), []
        while monotonic() - begin < seconds and while_():
            seen.append(self.tick())
        return seen

    def tick(self) -> Snapshot:
        """Answer one sample of odometry, then wait for the next."""
        snapshot, now = self.look(), time_ns()
        self.poll()
        self.loop.answer(Odometry(now, LIMITS.world_frame, LIMITS.body_frame, snapshot.state))
        self.wait()
        return snapshot

    def watch(self) -> None:
        """Spend a tick without odometry."""
        self.loop.watch()
        self.wait()

    def poll(self) -> None:
        """Hear what the vehicle says."""
        self.loop.poll()
        if self.flight.status.armed and self.armed_after is None:
            self.armed_after = monotonic() - self._begin

    def wait(self) -> None:
        """Sleep until the next tick is due."""
        self._next = max(self._next + TICK, monotonic())
        sleep(max(self._next - monotonic(), 0.0))

    def explain(self, what: str) -> str:
        """Return a sentence about what went wrong and why."""
        verdict = self.flight.verdict
        why = verdict.reason if verdict else self.flight.status.refusal or "no reason was given"
        return f"{what}; state {self.flight.mode.value}: {why}"


SETTLING = 2.0  # s of the policy before hovering counts
RECOVERY_TIME = 5.0  # s that recovering from the kick may take
RECOVERED = 0.1  # m and rad within which the kick is over
HOVER_LIMIT = 0.2  # m
LOSS_TIME = 4.0  # s to watch the failsafe
IDLE_THROTTLE = 0.15  # below which the motors count as dropped
KICK = np.array([6.0, -5.0, 1.0])  # rad/s
FAILSAFE_STAGES = ("signal lost", "throttle dropped", "disarmed")


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
    with BetaflightSitl(binary, trial.airframe) as sitl:
        link = open_betaflight(trial.options)
        try:
            flight = _Measured(RealTimeFlight(link, sitl.plant.snapshot, trial), sitl.plant)
            flight.run(trial.hover_time)
        finally:
            link.close()
            link.release()
    flight.result.starts = sitl.starts
    return flight.result


class _Measured:
    """A flight whose stages are measured."""

    def __init__(self, loop: RealTimeFlight, plant: Plant) -> None:
        self._loop = loop
        self._plant = plant
        self._target = loop.flight.plan.hover_point
        self.result = FlightResult()

    def run(self, hover_time: float) -> None:
        """Fly until the link is lost, or until something goes wrong."""
        loop, begin = self._loop, monotonic()
        self.result.trouble = loop.start()
        self.result.armed_after = loop.armed_after
        if self.result.trouble:
            return
        self.result.in_control_after = monotonic() - begin
        begin, answers = monotonic(), loop.link.confirmed
        packets = self._plant.snapshot().packets
        loop.fly(SETTLING)
        self._measure_hover(loop.fly(hover_time))
        self._plant.kick(KICK)
        self._measure_kick(loop.fly(RECOVERY_TIME))
        seconds = monotonic() - begin
        self.result.command_rate = (loop.link.confirmed - answers) / seconds
        self.result.motor_rate = (self._plant.snapshot().packets - packets) / seconds
        if loop.flight.mode is Mode.POLICY:
            self._lose_link()
        else:
            self.result.trouble = loop.explain("the policy lost control")

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
        begin, failsafe, link = monotonic(), self.result.failsafe, self._loop.link
        while (time := monotonic() - begin) < LOSS_TIME and len(failsafe) < len(FAILSAFE_STAGES):
            happened = (
                link.signal_lost,
                bool(self._plant.snapshot().throttle.max() < IDLE_THROTTLE),
                not link.poll(0).armed,
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

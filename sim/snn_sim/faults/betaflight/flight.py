"""One flight of a policy with the real Betaflight firmware: arm, hover, kick, lose the link.

The whole stack but ROS flies: state machine, guards, policy, link, firmware, drone, by the clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from snn_controller.flight_controllers.betaflight import open_betaflight
from snn_controller.safety import Mode
from snn_controller.vehicle import Array, tilt_angle
from snn_sim.betaflight import BetaflightSitl, Plant, Snapshot
from snn_sim.faults.betaflight.loop import TICK, FlightLoop, Trial

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
            flight = _Measured(FlightLoop(link, sitl.plant.snapshot, trial), sitl.plant)
            flight.run(trial.hover_time)
        finally:
            link.close()
            link.release()
    flight.result.starts = sitl.starts
    return flight.result


class _Measured:
    """A flight whose stages are measured."""

    def __init__(self, loop: FlightLoop, plant: Plant) -> None:
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

"""One flight with the real Betaflight firmware: arm, climb, hover, kick, recover, lose the link."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Protocol

import numpy as np
from snn_controller.action import Command, stop_command
from snn_controller.flight_controllers.betaflight import Betaflight, open_betaflight
from snn_controller.flight_controllers.links import LinkOptions
from snn_controller.frames import Array, tilt_angle
from snn_controller.pilot import CLIMB_SPEED, takeoff_reference
from snn_controller.state import Reference, State

from sim.betaflight_plant import Plant, Snapshot
from sim.betaflight_sitl import ENDPOINT, BetaflightSitl

TICK = 0.01  # s
HEIGHT = 1.0  # m
ARM_TIME = 20.0  # s until it must be armed
SETTLING = 2.0  # s after the climb before hovering counts
RECOVERY_TIME = 4.0  # s that recovering from the kick may take
RECOVERED = 0.1  # m and rad within which the kick is over
LOSS_TIME = 4.0  # s to watch the failsafe
IDLE_THROTTLE = 0.15  # below which the motors count as dropped
KICK = np.array([6.0, -5.0, 1.0])  # rad/s


class Flier(Protocol):
    """What gives the commands of a flight."""

    def fly(self, state: State, reference: Reference) -> Command:
        """Return the command towards a reference."""
        ...


@dataclass
class FlightResult:
    """What was measured; times in s, distances in m, angles in rad."""

    armed_after: float | None = None
    hover_error: float = float("inf")  # root mean square
    hover_height_error: float = float("inf")  # mean, signed
    hover_tilt: float = float("inf")  # largest
    kick_error: float = float("inf")  # largest
    recovered_after: float | None = None
    final_error: float = float("inf")
    command_rate: float = 0.0  # Hz of commands that the firmware confirmed
    motor_rate: float = 0.0  # Hz of packets from the firmware
    failsafe: dict[str, float] = field(default_factory=dict)  # s after the last command
    lost_time: float = 0.0  # s by which the physics fell behind
    starts: int = 1
    trouble: str = ""

    @property
    def passed(self) -> bool:
        """Whether it armed, hovered, recovered and was disarmed by the firmware."""
        stages = {"signal lost", "throttle dropped", "disarmed"}
        return (
            not self.trouble
            and self.armed_after is not None
            and self.hover_error < 0.2
            and self.recovered_after is not None
            and self.final_error < 0.2
            and stages <= self.failsafe.keys()
        )


@dataclass(frozen=True)
class FlightPlan:
    """How one flight goes."""

    hover_time: float = 20.0  # s
    hover_thrust: float = 0.64  # the airframe's, past the firmware's idle
    thrust_curve: float = 0.55
    airframe: str = "crazyflie21"


def fly_betaflight(binary: Path, flier: Flier, plan: FlightPlan) -> FlightResult:
    """Start the firmware, fly once and return what was measured.

    Raises:
        UserError: The firmware does not come up or the link refuses it.
    """
    options = LinkOptions(
        endpoint=ENDPOINT, hover_thrust=plan.hover_thrust, thrust_curve=plan.thrust_curve
    )
    with BetaflightSitl(binary, plan.airframe) as sitl:
        link = open_betaflight(options)
        try:
            result = _Flight(link, sitl.plant, flier, plan).run()
        finally:
            link.close()
            link.release()
        result.starts = sitl.starts
        result.lost_time = sitl.plant.snapshot().lost
    return result


class _Flight:
    """The stages of one flight, on the wall clock."""

    def __init__(self, link: Betaflight, plant: Plant, flier: Flier, plan: FlightPlan) -> None:
        self._link = link
        self._plant = plant
        self._flier = flier
        self._plan = plan
        self._result = FlightResult()
        self._next = monotonic()

    def run(self) -> FlightResult:
        result = self._result
        self._link.arm()
        result.armed_after = self._arm()
        if result.armed_after is None:
            result.trouble = self._link.poll(0).refusal or "not armed in time"
            return result
        begin, answers = monotonic(), self._link.confirmed
        packets = self._plant.snapshot().packets
        self._climb()
        self._measure_hover(self._stay(self._plan.hover_time, self._hover_point))
        self._plant.kick(KICK)
        self._measure_kick(self._stay(RECOVERY_TIME, self._hover_point))
        seconds = monotonic() - begin
        result.command_rate = (self._link.confirmed - answers) / seconds
        result.motor_rate = (self._plant.snapshot().packets - packets) / seconds
        self._lose_link()
        return result

    @property
    def _hover_point(self) -> Reference:
        return Reference(np.array([0.0, 0.0, HEIGHT]))

    def _arm(self) -> float | None:
        """Send stop commands until the vehicle is armed; return how long that took."""
        begin = monotonic()
        while (now := monotonic()) - begin < ARM_TIME:
            if self._link.poll(0).armed:
                return now - begin
            self._link.send(stop_command("thrust_rates"), 0)
            self._wait()
        return None

    def _climb(self) -> None:
        begin, start = monotonic(), self._plant.snapshot().state.position
        while (time := monotonic() - begin) < HEIGHT / CLIMB_SPEED + SETTLING:
            self._tick(takeoff_reference(start, self._hover_point.position, time))

    def _stay(self, seconds: float, reference: Reference) -> list[Snapshot]:
        begin, seen = monotonic(), []
        while monotonic() - begin < seconds:
            seen.append(self._tick(reference))
        return seen

    def _tick(self, reference: Reference) -> Snapshot:
        snapshot = self._plant.snapshot()
        self._link.send(self._flier.fly(snapshot.state, reference), 0)
        status = self._link.poll(0)
        if not (status.armed and status.in_control) and not self._result.trouble:
            self._result.trouble = f"lost control in mode {status.mode}: {status.refusal}"
        self._wait()
        return snapshot

    def _wait(self) -> None:
        self._next = max(self._next + TICK, monotonic())
        sleep(max(self._next - monotonic(), 0.0))

    def _measure_hover(self, seen: list[Snapshot]) -> None:
        positions, tilts = _course(seen)
        errors = positions - self._hover_point.position
        self._result.hover_error = float(np.sqrt(np.mean(np.sum(errors**2, axis=1))))
        self._result.hover_height_error = float(np.mean(errors[:, 2]))
        self._result.hover_tilt = float(tilts.max())

    def _measure_kick(self, seen: list[Snapshot]) -> None:
        positions, tilts = _course(seen)
        errors = np.linalg.norm(positions - self._hover_point.position, axis=1)
        self._result.kick_error, self._result.final_error = float(errors.max()), float(errors[-1])
        outside = np.flatnonzero((errors > RECOVERED) | (tilts > RECOVERED))
        if len(outside) == 0:
            self._result.recovered_after = 0.0
        elif outside[-1] + 1 < len(seen):
            self._result.recovered_after = seen[outside[-1] + 1].time - seen[0].time

    def _lose_link(self) -> None:
        """Stop sending, and note what the firmware does when."""
        begin, failsafe = monotonic(), self._result.failsafe
        while (time := monotonic() - begin) < LOSS_TIME and len(failsafe) < 3:
            if self._link.signal_lost:
                failsafe.setdefault("signal lost", time)
            if self._plant.snapshot().throttle.max() < IDLE_THROTTLE:
                failsafe.setdefault("throttle dropped", time)
            if not self._link.poll(0).armed:
                failsafe.setdefault("disarmed", time)
            sleep(TICK)


def _course(seen: list[Snapshot]) -> tuple[Array, Array]:
    """Return positions (n, 3) in m and tilts (n,) in rad."""
    positions = np.stack([snapshot.state.position for snapshot in seen])
    tilts = np.array([float(tilt_angle(snapshot.state.rotation)) for snapshot in seen])
    return positions, tilts

"""Faults on the way to the real Betaflight firmware, and what must follow. Real time.

Each is begun while the policy hovers. Watched from outside: the firmware's motor outputs.
"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from time import monotonic, sleep, time_ns
from typing import Any

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import (
    Betaflight,
    MspClient,
    MspPump,
    open_betaflight,
    open_stream,
    read_vehicle,
)
from snn_controller.safety import Event, Mode
from snn_sim.betaflight import ENDPOINT, BetaflightSitl, read_snapshot
from snn_sim.faults.betaflight.loop import TICK, FlightLoop, Trial
from snn_sim.faults.betaflight.scene import DamagedStream, MotorWatch, Scene

HOVER_TIME = (1.0, 3.0)  # s of the policy before the fault, drawn from this range
WATCH_TIME = 5.0  # s after the fault
CLOSE = 0.3  # m that a flight which goes on may stray


@dataclass(frozen=True)
class Outcome:
    """How one flight with a fault went; times in s after the fault, None: it never came."""

    fault: str
    mode: str  # last state of the flight
    verdict: str  # limit that was named, "" for none
    reaction_ticks: int | None  # to the verdict, less the guard's own patience
    idle_after: float | None  # motors no longer lifted
    off_after: float | None  # motors stood still for good
    deviation: float  # m, furthest horizontal distance from the place of the fault
    uncommanded: int  # ticks of turning motors after the flight was killed or disarmed
    right: bool
    trouble: str = ""  # why the fault could not be tried


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong, and what must follow."""

    name: str
    act: Callable[[Scene], None]  # begins it, and flies until it has had its consequences
    mode: Mode  # last state of the flight
    verdicts: tuple[str, ...] = ()  # limits of which one must be named; none: none
    patience: float = 0.0  # s that the guard waits by its parameters
    idle_within: float | None = None  # s in which motors must no longer lift; None: they must
    off_within: float | None = None  # s in which they must stand still
    damaged: bool = False  # bytes of the link are damaged


def _stop_sending(scene: Scene) -> None:
    """Send nothing any more, as a controller that hangs."""
    end = monotonic() + WATCH_TIME
    while monotonic() < end:
        scene.loop.link.poll(0)
        scene.watch()
        sleep(TICK)


def _lose_odometry(scene: Scene) -> None:
    end = monotonic() + WATCH_TIME
    while monotonic() < end:
        scene.loop.silence(monotonic() - scene.begin)
        scene.watch()


def _kill_firmware(scene: Scene) -> None:
    scene.sitl.end_firmware()
    scene.fly(WATCH_TIME)


def _operator_kills(scene: Scene) -> None:
    _ask(scene, Event.KILL)
    scene.fly(1.0)


def _operator_lands(scene: Scene) -> None:
    _ask(scene, Event.LAND)
    scene.fly(WATCH_TIME)


def _ask(scene: Scene, event: Event) -> None:
    """Ask for what an operator may ask for."""
    loop, now = scene.loop, time_ns()
    loop.flight.request(event, now)
    loop.driver.answer(loop.flight, loop.flight.command, now)


def _second_controller(scene: Scene) -> None:
    """Let another controller ask for the vehicle: it must be refused."""
    try:
        open_betaflight(scene.options).release()
    except UserError:
        scene.fly(1.0)
        return
    scene.deviation = float("inf")


def _fly_on(scene: Scene) -> None:
    scene.fly(WATCH_TIME)


IDLE_LIMIT, OFF_LIMIT = 0.8, 2.5  # s after the last command, by the firmware's failsafe
FAULTS = (
    Fault(
        "commands stop", _stop_sending, Mode.POLICY, idle_within=IDLE_LIMIT, off_within=OFF_LIMIT
    ),
    Fault(
        "odometry stops",
        _lose_odometry,
        Mode.KILLED,
        ("descent",),
        patience=0.1,
        idle_within=2.5,
        off_within=2.5,
    ),
    Fault(
        "firmware killed",
        _kill_firmware,
        Mode.DISARMED,
        ("link", "gravity"),  # its silence, or the fall
        patience=0.3,
        idle_within=0.2,
        off_within=0.2,
    ),
    Fault(
        "operator kills",
        _operator_kills,
        Mode.KILLED,
        ("ended",),
        idle_within=0.2,
        off_within=0.2,
    ),
    Fault("operator lands", _operator_lands, Mode.DISARMED, idle_within=4.0, off_within=4.0),
    Fault("second controller", _second_controller, Mode.POLICY),
    Fault("damaged bytes and garbage", _fly_on, Mode.POLICY, damaged=True),
)
KILLED_CONTROLLER = "controller killed"
NAMES = (*(fault.name for fault in FAULTS), KILLED_CONTROLLER)


def fly_fault(name: str, seed: int, binary: Path, trial: Trial) -> Outcome:
    """Fly one flight with the fault of that name.

    Raises:
        UserError: The firmware does not come up, or the policy or the link is refused.
    """
    chance = random.Random(seed)
    hover = chance.uniform(*HOVER_TIME)
    with BetaflightSitl(binary, trial.airframe) as sitl:
        if name == KILLED_CONTROLLER:
            return _kill_controller(sitl, hover, trial)
        fault = next(fault for fault in FAULTS if fault.name == name)
        return _fly(fault, sitl, hover, chance, trial)


def _fly(
    fault: Fault, sitl: BetaflightSitl, hover: float, chance: random.Random, trial: Trial
) -> Outcome:
    link = _damaged_link(chance, trial) if fault.damaged else open_betaflight(trial.options)
    try:
        loop = FlightLoop(link, sitl.plant.snapshot, trial)
        trouble = loop.start()
        loop.fly(hover)
        scene = Scene(sitl, loop, trial.options)
        if not trouble:
            fault.act(scene)
        return _judge(fault, scene, trouble)
    finally:
        link.close()
        link.release()


def _judge(fault: Fault, scene: Scene, trouble: str) -> Outcome:
    flight = scene.loop.flight
    verdict = flight.verdict.limit if flight.verdict else ""
    ticks = None
    if scene.reaction is not None:
        ticks = max(0, round((scene.reaction - fault.patience) / TICK))
    motors = scene.motors
    right = flight.mode is fault.mode and not scene.uncommanded and not trouble
    right &= verdict in (fault.verdicts or ("",))
    right &= _within(motors.idle, fault.idle_within) and _within(motors.off, fault.off_within)
    right &= fault.idle_within is not None or scene.deviation < CLOSE
    return Outcome(
        fault=fault.name,
        mode=flight.mode.value,
        verdict=verdict,
        reaction_ticks=ticks,
        idle_after=motors.idle,
        off_after=motors.off,
        deviation=scene.deviation,
        uncommanded=scene.uncommanded,
        right=right,
        trouble=trouble,
    )


def _within(time: float | None, limit: float | None) -> bool:
    """Whether something came in time, or did not come where it must not."""
    return time is None if limit is None else time is not None and time <= limit


def _damaged_link(chance: random.Random, trial: Trial) -> Betaflight:
    """Return a link whose bytes get damaged both ways once it is set up."""
    stream = DamagedStream(open_stream(ENDPOINT), chance)
    client = MspClient(stream, ENDPOINT)
    vehicle = read_vehicle(client, trial.options)
    link = Betaflight(vehicle, MspPump(client))
    stream.damaging = True
    return link


def _kill_controller(sitl: BetaflightSitl, hover: float, trial: Trial) -> Outcome:
    """Let another process fly, and kill it."""
    context = get_context("spawn")
    ready, child = context.Pipe()
    pilot = context.Process(target=_pilot, args=(sitl.plant.shared, child, trial), daemon=True)
    pilot.start()
    trouble = ready.recv() if ready.poll(60.0) else "the controller did not start"
    sleep(0.0 if trouble else hover)
    if pilot.pid is not None:
        os.kill(pilot.pid, signal.SIGKILL)
    pilot.join()
    motors, begin = MotorWatch(), monotonic()
    while (since := monotonic() - begin) < WATCH_TIME:
        motors.look(sitl.plant.snapshot(), since)
        sleep(TICK)
    right = not trouble and _within(motors.idle, IDLE_LIMIT) and _within(motors.off, OFF_LIMIT)
    return Outcome(
        KILLED_CONTROLLER, "gone", "", None, motors.idle, motors.off, 0.0, 0, right, trouble
    )


def _pilot(shared: Any, ready: Any, trial: Trial) -> None:
    """Fly until killed."""
    loop = FlightLoop(open_betaflight(trial.options), lambda: read_snapshot(shared), trial)
    ready.send(loop.start())
    loop.fly(1e6)

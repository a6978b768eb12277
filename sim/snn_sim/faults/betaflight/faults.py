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
from time import monotonic, sleep
from typing import Any

from snn_controller.errors import UserError
from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.betaflight import (
    Betaflight,
    ByteStream,
    MspClient,
    MspWorker,
    open_betaflight,
    open_stream,
    read_vehicle,
)
from snn_controller.safety import Event, Mode
from snn_sim.betaflight import ENDPOINT, BetaflightSitl, Snapshot, read_snapshot
from snn_sim.faults.betaflight.flight import TICK, RealTimeFlight, Trial

DAMAGE = 0.005  # share of damaged bytes
BURST, BURST_EVERY = 64, 10  # bytes of garbage, before one in so many messages


class DamagedStream:
    """A `ByteStream` that changes bytes and sends bursts of garbage between messages."""

    def __init__(self, stream: ByteStream, chance: random.Random) -> None:
        """Pass everything on unchanged until `damaging` is set."""
        self._stream = stream
        self._chance = chance
        self.damaging = False

    def read(self, timeout: float) -> bytes:
        """Return what has come, damaged."""
        return self._damage(self._stream.read(timeout))

    def write(self, data: bytes) -> None:
        """Send bytes damaged, now and then behind garbage."""
        if self.damaging and self._chance.randrange(BURST_EVERY) == 0:
            # what opens the command line is left out: it works on a disarmed vehicle only
            garbage = self._chance.randbytes(BURST).translate(None, b"#\x02R$")
            self._stream.write(garbage)
        self._stream.write(self._damage(data))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def _damage(self, data: bytes) -> bytes:
        if not self.damaging:
            return data
        chance = self._chance
        return bytes(
            b ^ (1 << chance.randrange(8) if chance.random() < DAMAGE else 0) for b in data
        )


IDLE_THROTTLE = 0.15  # mean below which motors do not lift: armed ones idle and stabilise
IDLE_TIME = 0.2  # s below it that count; an impact makes the rate loop twitch later
OBEDIENCE_TIME = 0.1  # s that the firmware may take to do what it was told


class MotorWatch:
    """Says when motors stopped lifting, and when they stood still for good; times in s."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self.idle: float | None = None  # where they did not lift for `IDLE_TIME`
        self.off: float | None = None
        self._low: float | None = None  # since when they do not lift

    def look(self, snapshot: Snapshot, time: float) -> None:
        """Take in the drone at a time."""
        lifting = snapshot.throttle.mean() >= IDLE_THROTTLE
        self._low = None if lifting else time if self._low is None else self._low
        if self.idle is None and self._low is not None and time - self._low >= IDLE_TIME:
            self.idle = self._low
        if snapshot.throttle.any():
            self.off = None
        elif self.off is None:
            self.off = time


class HoveringScene:
    """A flight with the policy in control, and what a fault may touch."""

    def __init__(
        self, sitl: BetaflightSitl, controller: RealTimeFlight, options: LinkOptions
    ) -> None:
        """Begin to watch a drone that hovers."""
        self.sitl = sitl
        self.controller = controller
        self.options = options
        self.begin = monotonic()
        self.reaction: float | None = None  # s
        self.motors = MotorWatch()
        self.deviation = 0.0
        self.uncommanded = 0
        self._place = sitl.plant.snapshot().state.position
        self._commanded = monotonic()  # when motors were last to turn

    def watch(self) -> None:
        """Note what can be seen from outside."""
        snapshot, mode = self.sitl.plant.snapshot(), self.controller.flight.mode
        since = monotonic() - self.begin
        self.motors.look(snapshot, since)
        if self.reaction is None and self.controller.flight.verdict is not None:
            self.reaction = since
        offset = snapshot.state.position - self._place
        self.deviation = max(self.deviation, float((offset[:2] ** 2).sum() ** 0.5))
        if mode not in (Mode.KILLED, Mode.DISARMED):
            self._commanded = monotonic()
        turning = bool(snapshot.throttle.any())
        self.uncommanded += turning and monotonic() - self._commanded > OBEDIENCE_TIME

    def fly(self, seconds: float) -> None:
        """Fly on for some seconds, or until the flight is done."""
        end = monotonic() + seconds
        while monotonic() < end and not self.controller.flight.done:
            self.controller.tick()
            self.watch()
        while monotonic() < end:  # what is done keeps being watched
            self.controller.poll()
            self.watch()
            self.controller.wait()


HOVER_TIME = (1.0, 3.0)  # s of the policy before the fault, drawn from this range
WATCH_TIME = 5.0  # s after the fault
CLOSE = 0.3  # m that a flight which goes on may stray


@dataclass(frozen=True)
class FlightOutcome:
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
class FirmwareFault:
    """Something that goes wrong, and what must follow."""

    name: str
    act: Callable[[HoveringScene], None]  # begins it, and flies until it has had its consequences
    mode: Mode  # last state of the flight
    verdicts: tuple[str, ...] = ()  # limits of which one must be named; none: none
    patience: float = 0.0  # s that the guard waits by its parameters
    idle_within: float | None = None  # s in which motors must no longer lift; None: they must
    off_within: float | None = None  # s in which they must stand still
    damaged: bool = False  # bytes of the link are damaged


def _stop_sending(scene: HoveringScene) -> None:
    """Send nothing any more, as a controller that hangs."""
    end = monotonic() + WATCH_TIME
    while monotonic() < end:
        scene.controller.link.poll(0)
        scene.watch()
        sleep(TICK)


def _lose_odometry(scene: HoveringScene) -> None:
    end = monotonic() + WATCH_TIME
    while monotonic() < end:
        scene.controller.watch()
        scene.watch()


def _kill_firmware(scene: HoveringScene) -> None:
    scene.sitl.end_firmware()
    scene.fly(WATCH_TIME)


def _operator_kills(scene: HoveringScene) -> None:
    scene.controller.loop.ask(Event.KILL)
    scene.fly(1.0)


def _operator_lands(scene: HoveringScene) -> None:
    scene.controller.loop.ask(Event.LAND)
    scene.fly(WATCH_TIME)


def _second_controller(scene: HoveringScene) -> None:
    """Let another controller ask for the vehicle: it must be refused."""
    try:
        open_betaflight(scene.options).release()
    except UserError:
        scene.fly(1.0)
        return
    scene.deviation = float("inf")


def _fly_on(scene: HoveringScene) -> None:
    scene.fly(WATCH_TIME)


IDLE_LIMIT, OFF_LIMIT = 0.8, 2.5  # s after the last command, by the firmware's failsafe
FAULTS = (
    FirmwareFault(
        "commands stop", _stop_sending, Mode.POLICY, idle_within=IDLE_LIMIT, off_within=OFF_LIMIT
    ),
    FirmwareFault(
        "odometry stops",
        _lose_odometry,
        Mode.KILLED,
        ("descent",),
        patience=0.1,
        idle_within=2.5,
        off_within=2.5,
    ),
    FirmwareFault(
        "firmware killed",
        _kill_firmware,
        Mode.DISARMED,
        ("link", "gravity"),  # its silence, or the fall
        patience=0.3,
        idle_within=0.2,
        off_within=0.2,
    ),
    FirmwareFault(
        "operator kills",
        _operator_kills,
        Mode.KILLED,
        ("ended",),
        idle_within=0.2,
        off_within=0.2,
    ),
    FirmwareFault(
        "operator lands", _operator_lands, Mode.DISARMED, idle_within=4.0, off_within=4.0
    ),
    FirmwareFault("second controller", _second_controller, Mode.POLICY),
    FirmwareFault("damaged bytes and garbage", _fly_on, Mode.POLICY, damaged=True),
)
KILLED_CONTROLLER = "controller killed"
NAMES = (*(fault.name for fault in FAULTS), KILLED_CONTROLLER)


def fly_fault(name: str, seed: int, binary: Path, trial: Trial) -> FlightOutcome:
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
    fault: FirmwareFault, sitl: BetaflightSitl, hover: float, chance: random.Random, trial: Trial
) -> FlightOutcome:
    link = _damaged_link(chance, trial) if fault.damaged else open_betaflight(trial.options)
    try:
        loop = RealTimeFlight(link, sitl.plant.snapshot, trial)
        trouble = loop.start()
        loop.fly(hover)
        scene = HoveringScene(sitl, loop, trial.options)
        if not trouble:
            fault.act(scene)
        return _judge(fault, scene, trouble)
    finally:
        link.close()
        link.release()


def _judge(fault: FirmwareFault, scene: HoveringScene, trouble: str) -> FlightOutcome:
    flight = scene.controller.flight
    verdict = flight.verdict.limit if flight.verdict else ""
    ticks = None
    if scene.reaction is not None:
        ticks = max(0, round((scene.reaction - fault.patience) / TICK))
    motors = scene.motors
    right = flight.mode is fault.mode and not scene.uncommanded and not trouble
    right &= verdict in (fault.verdicts or ("",))
    right &= _within(motors.idle, fault.idle_within) and _within(motors.off, fault.off_within)
    right &= fault.idle_within is not None or scene.deviation < CLOSE
    return FlightOutcome(
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
    link = Betaflight(vehicle, MspWorker(client))
    stream.damaging = True
    return link


def _kill_controller(sitl: BetaflightSitl, hover: float, trial: Trial) -> FlightOutcome:
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
    return FlightOutcome(
        KILLED_CONTROLLER, "gone", "", None, motors.idle, motors.off, 0.0, 0, right, trouble
    )


def _pilot(shared: Any, ready: Any, trial: Trial) -> None:
    """Fly until killed."""
    loop = RealTimeFlight(open_betaflight(trial.options), lambda: read_snapshot(shared), trial)
    ready.send(loop.start())
    loop.fly(1e6)

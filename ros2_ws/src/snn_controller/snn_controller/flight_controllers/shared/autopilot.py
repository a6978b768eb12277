"""What links to PX4 and ArduPilot share, whatever carries them. Times are ns.

Such firmware gives control by a mode and by arming, and takes it back for its pilot. It wants the
same in the same order: a stream of setpoints, then the mode, then arming. Requests are repeated
until the vehicle shows their effect, never forced, and given up for good once the vehicle or its
pilot has taken control away.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Protocol, TypeVar

from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.flight_controllers.shared.estimate import OwnEstimate
from snn_controller.vehicle import ActionKind, Command, LinkStatus

STREAM_TIME = 1.2  # s of setpoints; firmware wants to see more than one before it gives control
STREAM_GAP = 300_000_000  # ns between setpoints that breaks a stream: PX4 wants more than 2 Hz
DO_SET_MODE = 176  # numbers of MAVLink's commands, which PX4 uses inside too
ARM_DISARM = 400
_CUSTOM_MODE = 1.0
_FORCE = 21196.0  # the number by which firmware disarms in the air: for `kill` only
# Answers to a command, by MAV_RESULT; 0 is yes and 5 is "in progress"
RESULTS = {
    1: "temporarily rejected",
    2: "denied",
    3: "not supported by this firmware",
    4: "failed",
    6: "cancelled",
}
ACCEPTED, IN_PROGRESS = 0, 5


class Wish(Enum):
    """What the node wants of the vehicle."""

    NOTHING = "nothing"  # it is its pilot's
    CONTROL = "control"
    DISARM = "disarm"
    KILL = "kill"
    LAND = "land"  # by the firmware's own mode


class Autopilot(Protocol):
    """What is asked of, as it tells of itself."""

    @property
    def armed(self) -> bool:
        """Whether its motors may turn."""
        ...

    @property
    def takes_setpoints(self) -> bool:
        """Whether its mode flies what is sent."""
        ...

    @property
    def airborne(self) -> bool:
        """Whether it says that it is not on the ground."""
        ...

    @property
    def mode(self) -> str:
        """Its mode in its own words."""
        ...

    @property
    def modes(self) -> Modes | None:
        """How to ask for its modes, None where it is not known."""
        ...

    @property
    def refusals(self) -> Mapping[int, str]:
        """Newest answer that was not yes, by command."""
        ...

    @property
    def words(self) -> Collection[str]:
        """What it said of late, for people."""
        ...

    def forget_answers(self) -> None:
        """Forget what it said to earlier wishes."""
        ...


@dataclass(frozen=True)
class Modes:
    """Parameters 2 and 3 of DO_SET_MODE."""

    control: tuple[float, float]
    control_name: str
    land: tuple[float, float]


PX4_MODES = Modes(control=(6.0, 0.0), control_name="OFFBOARD", land=(4.0, 6.0))


@dataclass(frozen=True)
class Request:
    """A command that is repeated every `period` s until the vehicle shows its effect."""

    command: int
    parameters: tuple[float, ...]
    period: float
    name: str  # as a refusal names it


_ARM = Request(ARM_DISARM, (1.0,), 1.5, "arming")
_DISARM = Request(ARM_DISARM, (0.0,), 0.5, "disarming")
_KILL = Request(ARM_DISARM, (0.0, _FORCE), 0.1, "stopping")


def next_request(wish: Wish, vehicle: Autopilot, *, streamed: float) -> Request | None:
    """Return what to ask for, or None when there is nothing to wait for.

    Args:
        wish: What the node wants.
        vehicle: What the vehicle says of itself.
        streamed: Seconds for which setpoints have gone out without a gap.
    """
    modes = vehicle.modes
    if modes is None:
        return None
    if wish is Wish.CONTROL and streamed >= STREAM_TIME:
        if not vehicle.takes_setpoints:
            return _mode(modes.control, modes.control_name)
        return None if vehicle.armed else _ARM
    if wish is Wish.LAND and vehicle.armed:
        return _mode(modes.land, "landing")
    if vehicle.armed and wish in (Wish.DISARM, Wish.KILL):
        return _DISARM if wish is Wish.DISARM else _KILL
    return None


def _mode(mode: tuple[float, float], name: str) -> Request:
    return Request(DO_SET_MODE, (_CUSTOM_MODE, *mode), 1.0, f"mode {name}")


class ModeRequests:
    """Follows one wish of the node until the vehicle does it, or has refused it for good."""

    def __init__(self) -> None:
        """Want nothing."""
        self.want(Wish.NOTHING)

    def want(self, wish: Wish) -> None:
        """Follow another wish from now on, or the same one anew."""
        self.wish = wish
        self._request: Request | None = None
        self._requested_at = self._repetitions = 0
        self._stream_start = 0
        self._sent: int | None = None
        self._had_mode = self._engaged = False
        self._lost = ""

    def note_setpoint(self, now: int) -> None:
        """Count a setpoint that has gone out."""
        if self._sent is None or not 0 <= now - self._sent <= STREAM_GAP:
            self._stream_start = now
        self._sent = now

    def advance(self, vehicle: Autopilot, now: int) -> tuple[Request, int] | None:
        """Notice what has changed, and return what to ask for now and how often it was."""
        streamed = self._streamed(now)
        self._watch(vehicle, streamed)
        request = next_request(self.wish, vehicle, streamed=streamed)
        waited = abs(now - self._requested_at) * 1e-9
        if request is None or (request == self._request and waited < request.period):
            return None
        self._repetitions = self._repetitions + 1 if request == self._request else 0
        self._request, self._requested_at = request, now
        return request, self._repetitions

    def refusal(self, vehicle: Autopilot) -> str:
        """Say why the wish has no effect yet, in the vehicle's own words; "" for no reason."""
        request = self._request
        if self._lost or request is None or self._engaged:
            return self._lost
        if request.command not in vehicle.refusals:
            return ""
        words = "; ".join(vehicle.words)
        answer = f"{request.name} {vehicle.refusals[request.command]}"
        return f"{answer}: {words}" if words else answer

    def is_over(self, vehicle: Autopilot) -> bool:
        """Whether the vehicle has done what ends a flight."""
        if self.wish is Wish.LAND and vehicle.armed:
            return not vehicle.takes_setpoints
        return not vehicle.armed

    def _streamed(self, now: int) -> float:
        if self._sent is None or not 0 <= now - self._sent <= STREAM_GAP:
            return 0.0
        return (now - self._stream_start) * 1e-9

    def _watch(self, vehicle: Autopilot, streamed: float) -> None:
        """Notice that control was given, and stop asking once it was taken away."""
        if self.wish is not Wish.CONTROL or streamed < STREAM_TIME:
            return
        had = self._engaged or self._had_mode
        self._had_mode |= vehicle.takes_setpoints
        self._engaged |= vehicle.takes_setpoints and vehicle.armed
        if had and (not vehicle.takes_setpoints or (self._engaged and not vehicle.armed)):
            what = "disarmed" if vehicle.takes_setpoints else f"went to {vehicle.mode}"
            self.want(Wish.NOTHING)
            self._lost = f"the vehicle {what}: it is its pilot's until it is armed again"


CLOSE_TIME = 0.2  # s
CLOSE_STEP = 0.005  # s

VehicleType = TypeVar("VehicleType", bound=Autopilot)


class AutopilotLink(ABC, Generic[VehicleType]):
    """The calls of a `FlightController` but `poll` and `release`, which the carrier makes."""

    has_pilot = True  # or the firmware's own failsafe, which acts when setpoints stop

    def __init__(
        self,
        vehicle: VehicleType,
        options: LinkOptions,
        kind: ActionKind,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Want nothing of the vehicle yet.

        Args:
            vehicle: What is known of it; `poll` takes in what comes.
            options: Throttle at hover, and what is made of the vehicle's estimate.
            kind: What is commanded.
            sleep: Lets time pass in `close`.
        """
        self.vehicle = vehicle
        self._estimate = OwnEstimate(options)
        self._kind: ActionKind = kind
        self._sleep = sleep
        self._requests = ModeRequests()
        self._now = 0  # ns, of the last poll

    @abstractmethod
    def poll(self, now: int) -> LinkStatus:
        """Take in what has come, ask for what is wished for, and tell."""

    @abstractmethod
    def _send_values(self, values: list[float] | None) -> None:
        """Send values (4,) of our kind, or a stop for None."""

    @abstractmethod
    def _ask(self, request: Request, repetition: int) -> None:
        """Send a request to the vehicle."""

    @abstractmethod
    def _objection(self) -> str:
        """Say why this vehicle is not flown, "" for no reason."""

    def arm(self) -> None:
        """Ask for control as soon as the stream has run for a while, then for arming."""
        self._estimate.start()
        self._want(Wish.CONTROL)

    def send(self, command: Command, stamp: int) -> None:
        """Send a command; what is not finite, or of another kind, is a stop."""
        if self._requests.wish in (Wish.NOTHING, Wish.LAND):
            return
        self._requests.note_setpoint(self._now)
        stop = command.stop or command.kind != self._kind or self._requests.wish is Wish.KILL
        values = command.values.tolist()
        self._send_values(None if stop or not math.isfinite(sum(values)) else values)

    def disarm(self) -> None:
        """Ask for disarming, which firmware refuses in the air."""
        self._want(Wish.DISARM)

    def kill(self) -> None:
        """Disarm by force, in the air too, and again until the vehicle says that it has."""
        self._want(Wish.KILL)
        self._request_on(self._now)

    def hand_back(self) -> None:
        """Send no setpoint and ask for nothing: the firmware leaves the mode by itself."""
        self._want(Wish.NOTHING)

    def close(self) -> None:
        """Disarm on the ground; in the air let the firmware land, which is never a drop."""
        wish = self._requests.wish
        if wish in (Wish.NOTHING, Wish.LAND):
            return
        if wish is not Wish.KILL:
            self._want(Wish.LAND if self.vehicle.airborne else Wish.DISARM)
        start = self._now
        for step in range(round(CLOSE_TIME / CLOSE_STEP)):
            if self._requests.is_over(self.vehicle):
                break
            self._close_step(start + round(step * CLOSE_STEP * 1e9))
            self._sleep(CLOSE_STEP)
        self._want(Wish.NOTHING)

    def _close_step(self, now: int) -> None:
        """Do what brings the end of a flight nearer."""
        self.poll(now)

    @property
    def _is_in_control(self) -> bool:
        """Whether the vehicle's mode flies our setpoints, and they come."""
        return self.vehicle.takes_setpoints and self._requests.wish is not Wish.NOTHING

    def _want(self, wish: Wish) -> None:
        self._requests.want(wish)
        self.vehicle.forget_answers()

    def _request_on(self, now: int) -> None:
        """Ask for what is wished for, and again while it has no effect."""
        if self._requests.wish is Wish.CONTROL and self._objection():
            return
        asked = self._requests.advance(self.vehicle, now)
        if asked is not None:
            self._ask(*asked)

    def _refusal(self) -> str:
        return self._objection() or self._requests.refusal(self.vehicle)

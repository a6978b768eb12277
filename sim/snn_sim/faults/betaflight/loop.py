"""State machine, policy and link on the wall clock, against a drone that real firmware flies.

What the controller node does for each sample of odometry, without ROS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep, time_ns

from snn_controller.control import find_task
from snn_controller.errors import UserError
from snn_controller.flight import Flight, FlightPlan, LinkDriver
from snn_controller.flight_controllers import LinkOptions
from snn_controller.flight_controllers.betaflight import Betaflight
from snn_controller.policy import Policy
from snn_controller.safety import Limits, Mode
from snn_controller.vehicle import Odometry, load_quadrotor
from snn_sim.betaflight import ENDPOINT, Snapshot

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


class FlightLoop:
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
        self.driver = LinkDriver(link)
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
        odometry = Odometry(now, LIMITS.world_frame, LIMITS.body_frame, snapshot.state)
        self.poll()
        self.driver.answer(self.flight, self.flight.tick(odometry, now), now)
        self.wait()
        return snapshot

    def silence(self, seconds: float) -> None:
        """Spend a tick without odometry, which has not come for some seconds."""
        now = time_ns()
        self.poll()
        if seconds > LIMITS.odometry_timeout:
            self.driver.answer(self.flight, self.flight.silence(seconds, now), now)
        self.wait()

    def poll(self) -> None:
        """Hear what the vehicle says."""
        if self.driver.poll(self.flight, time_ns()).armed and self.armed_after is None:
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

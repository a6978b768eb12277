"""A flight: odometry in, command out, one tick at a time, without ROS.

The state machine decides who flies. The policy flies while odometry is valid and its actions are
finite. The guide takes off and lands, and lands at once where the policy cannot go on (`fallback`).
Without valid odometry the drone sinks level for a stated time (`descent`), then the motors stop.

    idle -> takeoff -> policy -> land -> stopped
    idle, takeoff, policy -> fallback -> stopped        envelope, rate or policy at fault
    any in the air        -> descent  -> stopped        no valid odometry
    descent               -> fallback                   odometry valid again
"""

from __future__ import annotations

import math

import numpy as np

from snn_controller.action import ActionKind, Command, command_from_action, stop_command
from snn_controller.flight_log import FlightLog, Tick
from snn_controller.flight_plan import FlightPlan, Mode
from snn_controller.frames import Array
from snn_controller.observation import observe
from snn_controller.pilot import (
    GuidePilot,
    descent_command,
    landing_deadline,
    landing_reference,
    takeoff_deadline,
    takeoff_reference,
)
from snn_controller.policy import Policy
from snn_controller.quadrotor import Quadrotor
from snn_controller.safety import (
    Limits,
    Verdict,
    check_envelope,
    check_goal,
    check_odometry,
    silence_verdict,
)
from snn_controller.schedule import TickSchedule
from snn_controller.state import Odometry, Reference, State

ARRIVAL_DISTANCE = 0.1  # m from the hover point at which take-off has ended
ARRIVAL_SPEED = 0.2  # m/s
AIRBORNE_HEIGHT = 0.1  # m above the ground
TOUCHDOWN_HEIGHT = 0.05  # m above the ground, of the centre of mass
SHOWN_NEURONS = 8  # membranes kept per layer and tick: enough to look at, small enough to keep
_UNKNOWN = State(np.full(3, np.nan), np.full(4, np.nan), np.full(3, np.nan), np.full(3, np.nan))


class Flight:
    """One flight of one policy on one airframe. Times are ns on the odometry's clock."""

    def __init__(
        self, policy: Policy, quadrotor: Quadrotor, plan: FlightPlan, limits: Limits
    ) -> None:
        """Prepare a flight; nothing moves before `begin`."""
        self.policy = policy
        self.plan = plan
        self.limits = limits
        self._quadrotor = quadrotor
        self._kind: ActionKind = policy.metadata.action_kind
        self._rate = policy.metadata.control_rate
        self._pilot = GuidePilot(quadrotor, self._kind, 1.0 / self._rate)
        self.begin()

    def begin(self) -> None:
        """Start afresh: resting neurons, empty log, motors off until the first valid odometry."""
        self.mode = Mode.IDLE
        self.verdict: Verdict | None = None
        self.command = stop_command(self._kind)
        self._log = FlightLog()
        self._unsettled: tuple[Reference, int] | None = None
        self.time = 0.0  # s since the first tick
        self.state: State | None = None
        self._schedule = TickSchedule(self._rate, window=self.limits.missed_window)
        self._first_stamp: int | None = None
        self._entered = 0.0  # s, when the mode was entered
        self._entry_position = self.plan.hover_point
        self._goal: Array | None = None
        self._airborne = False
        self._descent_deadline = 0  # ns
        self.policy.reset()

    @property
    def log(self) -> FlightLog:
        """What happened so far."""
        self.settle()
        return self._log

    @property
    def done(self) -> bool:
        """Whether the flight has ended: motors stopped, or an airborne task flown to its end."""
        flown = self._policy_is_through and not self.plan.task.from_ground
        return self.mode is Mode.STOPPED or flown

    def set_goal(self, position: Array) -> Verdict | None:
        """Hover at a position (3,) in the world from now on, or say why not."""
        lowest = self.plan.ground_height + AIRBORNE_HEIGHT
        verdict = check_goal(position, self.limits, lowest=lowest)
        if verdict is None:
            self._goal = np.array(position, dtype=np.float64)
        return verdict

    def tick(self, odometry: Odometry, now: int) -> Command:
        """Take one odometry sample and return the command that answers it.

        Samples between two ticks of the policy are answered with the command in force. The tick's
        bookkeeping is left to `settle`, so that the command can go out first.
        """
        self.settle()
        verdict = check_odometry(odometry, now, self.limits)
        if verdict is not None:
            return self._without_state(verdict, now)
        missed = self._schedule.due(odometry.stamp)
        if missed is None:
            return self.command
        if self._first_stamp is None:
            self._first_stamp = odometry.stamp
        self.time = (odometry.stamp - self._first_stamp) * 1e-9
        self.state = odometry.state
        self._airborne |= self._height(odometry.state) > AIRBORNE_HEIGHT
        self._decide(odometry.state)
        return self._act(odometry.state, missed)

    def settle(self) -> None:
        """Do the bookkeeping of the last tick; the next tick does it if nobody has."""
        if self._unsettled is not None:
            reference, missed = self._unsettled
            self._unsettled = None
            self._pilot.follow(self.command)
            self._record(reference, missed)

    def silence(self, seconds: float, now: int) -> Command:
        """Return the command while no odometry has come for some seconds."""
        self.settle()
        if self.mode is Mode.IDLE:
            return self.command
        return self._without_state(silence_verdict(seconds), now)

    def stop(self, verdict: Verdict) -> Command:
        """Stop the motors for good, whatever the mode."""
        self.settle()
        self._enter(Mode.STOPPED, verdict)
        self.command = stop_command(self._kind)
        self._unsettled = Reference(self._entry_position), 0
        return self.command

    @property
    def _policy_is_through(self) -> bool:
        return self.mode is Mode.POLICY and self.time - self._entered >= self.plan.duration

    def _height(self, state: State) -> float:
        return float(state.position[2]) - self.plan.ground_height

    def _enter(self, mode: Mode, verdict: Verdict | None = None) -> None:
        self.mode = mode
        self.verdict = verdict or self.verdict
        self._entered = self.time
        if self.state is not None:
            self._entry_position = self.state.position

    def _without_state(self, verdict: Verdict, now: int) -> Command:
        """Sink level for the stated time, then stop; on the ground stop at once."""
        if self.mode is Mode.STOPPED:
            return self.command
        if self._first_stamp is not None:
            self.time = (now - self._first_stamp) * 1e-9
        if not self._airborne or (self.mode is Mode.DESCENT and now >= self._descent_deadline):
            return self.stop(verdict)
        if self.mode is not Mode.DESCENT:
            self._enter(Mode.DESCENT, verdict)
            self._descent_deadline = now + round(self.plan.descent_time * 1e9)
            self.command = descent_command(self._quadrotor, self._kind)
        self._unsettled = Reference(self._entry_position), 0
        return self.command

    def _decide(self, state: State) -> None:
        """Move the state machine on a valid state."""
        on_ground = self._height(state) < TOUCHDOWN_HEIGHT
        if self.mode is Mode.IDLE:
            self._start(state)
        elif self.mode is Mode.TAKEOFF:
            self._watch_takeoff(state)
        elif self.mode is Mode.POLICY:
            if on_ground:
                self._enter(Mode.STOPPED, Verdict("ground", "touched the ground"))
            elif self._policy_is_through and self.plan.task.from_ground:
                self._enter(Mode.LAND)
        elif self.mode is Mode.DESCENT:
            self._enter(Mode.FALLBACK)
        if self.mode in (Mode.LAND, Mode.FALLBACK):
            self._watch_landing(on_ground)
        self._check_limits(state)

    def _start(self, state: State) -> None:
        if self.plan.task.from_ground and not self._airborne:
            self._pilot.reset(rotors_turning=False)
            self._enter(Mode.TAKEOFF)
        elif self._airborne:
            self._pilot.reset(rotors_turning=True)
            self._enter(Mode.POLICY)
        else:
            task = self.plan.task.name
            self._enter(
                Mode.STOPPED,
                Verdict(
                    "ground", f"task '{task}' starts in the air but the drone is on the ground"
                ),
            )

    def _watch_takeoff(self, state: State) -> None:
        distance = float(np.linalg.norm(state.position - self.plan.hover_point))
        speed = float(np.linalg.norm(state.velocity))
        if distance < ARRIVAL_DISTANCE and speed < ARRIVAL_SPEED:
            self.policy.reset()
            self._enter(Mode.POLICY)
        elif self.time - self._entered > takeoff_deadline(
            self._entry_position, self.plan.hover_point
        ):
            self._enter(Mode.FALLBACK, Verdict("takeoff", "take-off did not reach the hover point"))

    def _watch_landing(self, on_ground: bool) -> None:
        deadline = landing_deadline(self._entry_position, self.plan.ground_height)
        if on_ground:
            self._enter(Mode.STOPPED)
        elif self.time - self._entered > deadline:  # it lies on something, or its height is wrong
            self._enter(Mode.STOPPED, Verdict("landing", "the landing did not reach the ground"))

    def _check_limits(self, state: State) -> None:
        if self.mode not in (Mode.TAKEOFF, Mode.POLICY):
            return
        verdict = check_envelope(state, self.limits)
        share = self._schedule.missed_share
        if verdict is None and share > self.limits.missed_share:
            verdict = Verdict(
                "rate",
                f"{share:.0%} of the ticks were missed: odometry comes slower than the policy's"
                f" {self._rate:g} Hz",
            )
        if verdict is not None:
            self._enter(Mode.FALLBACK, verdict)

    def _act(self, state: State, missed: int) -> Command:
        reference = self._reference()
        if self.mode is Mode.POLICY:
            action = self.policy.step(observe(state, reference))
            if math.isfinite(action.sum()) and self.policy.state_is_finite():
                self.command = command_from_action(action, self._kind)
            else:
                self._enter(Mode.FALLBACK, Verdict("policy", "the policy's output is not finite"))
                reference = self._reference()
        if self.mode is Mode.STOPPED:
            self.command = stop_command(self._kind)
        elif self.mode is not Mode.POLICY:
            self.command = self._pilot.fly(state, reference)
        self._unsettled = reference, missed
        return self.command

    def _reference(self) -> Reference:
        since = self.time - self._entered
        if self.mode is Mode.POLICY:
            if self._goal is not None:
                return Reference(self._goal)
            return self.plan.task.reference(since, self.plan.hover_point)
        if self.mode is Mode.TAKEOFF:
            return takeoff_reference(self._entry_position, self.plan.hover_point, since)
        return landing_reference(self._entry_position, self.plan.ground_height, since)

    def _record(self, reference: Reference, missed: int) -> None:
        flown = self.mode is Mode.POLICY
        membranes = self.policy.membranes if flown else {}
        self._log.append(
            Tick(
                time=self.time,
                mode=self.mode.value,
                verdict=self.verdict.reason if self.verdict else "",
                state=self.state or _UNKNOWN,
                reference=reference,
                command=self.command.values,
                spikes=self.policy.spikes if flown else {},
                membranes={name: u[:SHOWN_NEURONS] for name, u in membranes.items()},
                synaptic_ops=self.policy.synaptic_ops if flown else 0,
                missed=missed,
            )
        )

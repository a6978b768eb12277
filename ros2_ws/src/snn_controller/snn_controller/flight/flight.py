"""A flight: odometry in, command out, one tick at a time, without ROS.

The state machine says who flies, the guards what is wrong, the arbiter gives the command. The
policy flies while all is well; the backup controller takes off, lands and takes over; blind, the
drone sinks level.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from snn_controller.flight.arbiter import CommandArbiter
from snn_controller.flight.arming import ArmingSequence
from snn_controller.flight.backup import watch_flight
from snn_controller.flight.plan import FlightClock, FlightPlan, TickSchedule
from snn_controller.flight_log import FlightLog
from snn_controller.policy import Policy
from snn_controller.safety import (
    FINAL_MODES,
    GROUND_MODES,
    RULES,
    Event,
    Limits,
    Mode,
    Moment,
    Stage,
    Verdict,
    check_goal,
    is_overturned,
    make_guards,
    next_mode,
    refusal,
)
from snn_controller.vehicle import Array, Command, LinkStatus, Odometry, Quadrotor, State

AIRBORNE_HEIGHT = 0.1  # m above the ground
TOLERATED_SAMPLES = 1  # bad odometry in a row that is answered by the command in force
RECKONED_DEPTH = 0.1  # m below the ground by dead reckoning: the drone must lie on it
RECOVERY_TICKS = 3  # valid ones in a row that end a descent


class Flight:
    """One flight of one policy on one airframe. Times are ns on the odometry's clock."""

    def __init__(
        self, policy: Policy, quadrotor: Quadrotor, plan: FlightPlan, limits: Limits
    ) -> None:
        """Prepare a flight; nothing moves before `begin`."""
        self.policy = policy
        self.plan = plan
        self.limits = limits
        self._rate = policy.metadata.control_rate
        self._arbiter = CommandArbiter(policy, quadrotor, plan)
        self.begin()

    def begin(self) -> None:
        """Start afresh: disarmed, resting neurons, empty log, nothing known of the drone."""
        self.mode = Mode.DISARMED
        self.verdict: Verdict | None = None
        self.status = LinkStatus()  # the link's newest, set by whoever polls it
        self.landed_on_request = False
        self.state: State | None = None
        self._log = FlightLog()
        self._unsettled: int | None = None  # periods missed before a tick that is not logged yet
        self._started = False
        self._clock = FlightClock(1.0 / self._rate, 2.0 * self.limits.odometry_timeout)
        self._airborne = False
        self._bad_samples = self._good_ticks = 0  # in a row
        self._upright = 0.0  # s, when the drone was last within its tilt
        self._schedule = TickSchedule(self._rate)
        self._arming = ArmingSequence(self.plan, self.limits)
        self._guards = make_guards(self.limits, self._rate)
        self._moment = Moment(policy=self.policy)
        self._arbiter.reset()

    @property
    def time(self) -> float:
        """Time in s since the first tick."""
        return self._clock.seconds

    @property
    def since(self) -> float:
        """When the present state was entered, s since the first tick."""
        return self._arbiter.since

    @property
    def command(self) -> Command | None:
        """The command in force; None where the pilot flies and nothing is to be sent."""
        return self._arbiter.command

    @property
    def log(self) -> FlightLog:
        """What happened so far."""
        self.settle()
        return self._log

    @property
    def done(self) -> bool:
        """Whether the flight has ended: for good, on the ground, or an airborne task's time."""
        if self.mode in FINAL_MODES:
            return True
        if self.mode is Mode.DISARMED:
            return self._started and self.plan.auto_start
        through = self.mode is Mode.POLICY and self._seconds >= self.plan.duration
        return through and not self.plan.lands

    def set_goal(self, position: Array) -> str | None:
        """Hover at a position (3,) in the world from now on, or say why not."""
        lowest = self.plan.ground_height + AIRBORNE_HEIGHT
        reason = check_goal(position, self.limits, lowest=lowest)
        if reason is None:
            self._arbiter.goal = np.array(position, dtype=np.float64)
        return reason

    def request(self, event: Event, now: int) -> str | None:
        """Do what an operator asks for, or say in a sentence why not."""
        if next_mode(self.mode, event) is None:
            return refusal(self.mode, event)
        if event is Event.ARM and (obstacle := self._arming.obstacle(now)) is not None:
            self.verdict = obstacle
            return f"'arm' is refused: {obstacle.reason}"
        if event is Event.HAND_OVER and not self.plan.has_pilot:
            return "'hand over' is refused: this link has no pilot; land, or kill the motors"
        self.settle()
        self.landed_on_request |= event is Event.LAND
        killed = event is Event.KILL
        self._raise(event, Verdict("ended", "the operator killed the motors") if killed else None)
        self._unsettled = 0
        return None

    def tick(self, odometry: Odometry, now: int) -> Command | None:
        """Take one odometry sample and return the command that answers it; None: send nothing.

        Samples between two ticks of the policy are answered with the command in force. The tick's
        bookkeeping is left to `settle`, so that the command can go out first.
        """
        self.settle()
        if self.mode in FINAL_MODES:
            return self.command
        if self.plan.auto_start and not self._started:
            self._started = True
            self._raise(Event.ARM)
        moment = self._moment
        moment.sample, moment.now, moment.airborne = odometry, now, self._airborne
        moment.thrust = self._arbiter.thrust if self.mode is Mode.TAKEOFF else None
        verdict = self._judge(Stage.ESTIMATE)
        if verdict is not None:
            return self._on_bad_sample(verdict, now)
        self._bad_samples = 0
        if self.mode in GROUND_MODES:
            self._arming.add(odometry, self._judge(Stage.REST))
        missed = self._schedule.due(odometry.stamp)
        if missed is not None:
            self._on_tick(odometry, now, missed)
        return self.command

    def silence(self, seconds: float, now: int) -> Command | None:
        """Return the command while no odometry has come for some seconds."""
        self.settle()
        reason = f"no odometry for {seconds * 1e3:.0f} ms; check its sender and the link"
        return self._without_state(Verdict("silence", reason), now)

    def stop(self, verdict: Verdict) -> Command | None:
        """End the flight for good: in the air a pilot gets the drone, else its motors stop."""
        self.settle()
        if self.mode is not Mode.PILOT:
            left = self.plan.has_pilot and self.mode not in (*GROUND_MODES, *FINAL_MODES)
            self._raise(Event.HAND_OVER if left else Event.KILL, verdict)
            self._unsettled = 0
        return self.command

    def settle(self) -> None:
        """Do the bookkeeping of the last tick; the next tick does it if nobody has."""
        for guard in self._guards[Stage.ESTIMATE]:
            guard.settle()
        if self._unsettled is not None:
            tick = self._arbiter.describe(self.mode, self.state, self.time)
            reason = self.verdict.reason if self.verdict else ""
            stamp = self._clock.stamp
            self._log.append(replace(tick, verdict=reason, missed=self._unsettled, stamp=stamp))
            self._arbiter.follow(self.mode)
            self._unsettled = None

    @property
    def _seconds(self) -> float:
        """Time in the present state."""
        return self.time - self._arbiter.since

    def _raise(self, event: Event, verdict: Verdict | None = None) -> None:
        """Follow an event to the next state, if the present one takes it."""
        mode = next_mode(self.mode, event)
        if mode is None:
            return
        blind = verdict is not None and verdict.doubts_the_past
        self._arbiter.enter(mode, self.mode, self.time, blind=blind)
        if verdict is not None or mode is Mode.CHECKS:
            self.verdict = verdict
        self.mode = mode
        if mode is Mode.POLICY:
            for guard in self._guards[Stage.POLICY]:
                guard.reset()
        self._upright = self.time
        self._good_ticks = 0
        self._airborne &= mode is not Mode.DISARMED

    def _judge(self, stage: Stage) -> Verdict | None:
        """Ask all guards of a stage: the memory of one must not depend on what another finds."""
        moment, first = self._moment, None
        moment.mode = self.mode
        for guard in self._guards[stage]:
            verdict = guard.check(moment)
            first = first or verdict
        return first

    def _heed(self, stage: Stage) -> None:
        """Ask all guards of a stage and follow what they say."""
        verdict = self._judge(stage)
        if verdict is not None:
            self._react(verdict)

    def _react(self, verdict: Verdict) -> None:
        """Follow a guard's verdict."""
        event = RULES[verdict.limit].reaction
        if self.mode in GROUND_MODES:
            event = Event.DISARM
        elif event is Event.LOSE_STATE and not self._airborne:
            event = Event.KILL
        elif self.mode is Mode.DESCENT and verdict.limit == "link" and self.plan.has_pilot:
            event = Event.HAND_OVER  # neither seen nor heard: a kill would only come late
        self._raise(event, verdict)

    def _on_bad_sample(self, verdict: Verdict, now: int) -> Command | None:
        """Let one bad sample pass in the air; the next one counts."""
        self._bad_samples += 1
        self._good_ticks = 0
        if self.mode in GROUND_MODES:
            self._arming.add_bad(verdict)
        elif self._bad_samples <= TOLERATED_SAMPLES and self.mode is not Mode.DESCENT:
            self._clock.elapse(now)
            return self.command
        return self._without_state(verdict, now)

    def _without_state(self, verdict: Verdict, now: int) -> Command | None:
        """Sink level for the stated time, then stop; on the ground stop at once."""
        if self.mode in FINAL_MODES:
            return self.command
        self._clock.elapse(now)
        self._heed_vehicle(now)
        if self.mode is Mode.DESCENT:
            self._sink(verdict)
        else:
            self._react(verdict)
        self._unsettled = 0
        return self.command

    def _sink(self, verdict: Verdict) -> None:
        """Go on with a descent, which ends by time, or where it must have reached the ground."""
        self._arbiter.sink(self.time)
        height = self._arbiter.reckoned_height - self.plan.ground_height
        if self._seconds >= self.plan.descent_time or height < -RECKONED_DEPTH:
            why = f"no valid odometry for {self._seconds:.1f} s: {verdict.reason}"
            self._raise(Event.KILL, Verdict("descent", why))

    def _on_tick(self, odometry: Odometry, now: int, missed: int) -> None:
        """Fly one control period on a valid state."""
        self._clock.follow(odometry.stamp, now)
        state = self.state = odometry.state
        height = float(state.position[2]) - self.plan.ground_height
        self._airborne |= height > AIRBORNE_HEIGHT
        self._moment.missed = missed
        self._heed_vehicle(now)
        self._prepare(odometry)
        self._heed(Stage.FLIGHT)
        self._watch(state)
        arbiter, time = self._arbiter, self.time
        if self.mode is not Mode.DESCENT:
            arbiter.see(state, time)
        if self.mode is Mode.POLICY:
            self._moment.action = arbiter.ask_policy(state, time)
            self._heed(Stage.POLICY)
        arbiter.steer(self.mode, state, time)
        self._unsettled = missed

    def _heed_vehicle(self, now: int) -> None:
        self._moment.status, self._moment.now = self.status, now
        self._heed(Stage.VEHICLE)

    def _prepare(self, odometry: Odometry) -> None:
        """Go on from one state on the ground to the next, as far as nothing is in the way."""
        while self.mode in GROUND_MODES:
            step = self._arming.step(
                self.mode, odometry, self.status, seconds=self._seconds, airborne=self._airborne
            )
            if step is None:
                return
            self._raise(*step)

    def _watch(self, state: State) -> None:
        """Go on from a state in the air when it has come to its end."""
        self._good_ticks += 1
        if not is_overturned(state, self.limits):
            self._upright = self.time
        recovered = self._good_ticks >= RECOVERY_TICKS
        overturned = self.time - self._upright > self.limits.overturned_time
        place = self.mode, state, self.plan, self._arbiter.start, self._seconds
        step = watch_flight(*place, recovered=recovered, overturned=overturned)
        if step is not None:
            self._raise(*step)

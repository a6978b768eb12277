"""Who steers in each state: the policy, the backup controller, level rotors, or nobody."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight.backup import (
    BackupController,
    Sighting,
    descent_command,
    descent_reference,
    guided_reference,
)
from snn_controller.flight.plan import FlightPlan
from snn_controller.flight_log import Decision, Tick
from snn_controller.policy import Policy
from snn_controller.safety import GUIDED_MODES, MOTORLESS_MODES, Mode
from snn_controller.vehicle import (
    ActionKind,
    Array,
    Command,
    Quadrotor,
    Reference,
    State,
    command_from_action,
    stop_command,
)

SHOWN_NEURONS = 8  # membranes kept per layer and tick: enough to look at, small enough to keep
_UNKNOWN = State(np.full(3, np.nan), np.full(4, np.nan), np.full(3, np.nan), np.full(3, np.nan))


class CommandArbiter:
    """Gives the command of one state; the states themselves are the flight's business."""

    def __init__(self, policy: Policy, quadrotor: Quadrotor, plan: FlightPlan) -> None:
        """Prepare for a flight."""
        self._policy = policy
        self._observe = policy.metadata.observation.observe
        self._quadrotor = quadrotor
        self._plan = plan
        self._kind: ActionKind = policy.metadata.action_kind
        period = 1.0 / policy.metadata.control_rate
        self._backup = BackupController(quadrotor, self._kind, period)
        self.reset()

    def reset(self) -> None:
        """Begin with resting neurons and motors off."""
        self.command: Command | None = stop_command(self._kind)  # None: the pilot commands
        self.goal: Array | None = None  # (3,) m, world
        self.since = 0.0  # s, when the present state was entered
        self.start = self._plan.hover_point  # (3,) m, where
        self._sighting = Sighting(self._backup.rotors)
        self._reckoned: State | None = None  # where a descent is likely to be
        self._steered = 0.0  # s, when the command was last set
        self._decision: Decision | None = None  # of the tick under way, if the policy ran
        self._rested = True  # the policy has not run since it was reset
        self._policy.reset()

    @property
    def thrust(self) -> float:
        """What the rotors give now, in m/s^2 per mass."""
        return self._backup.thrust()

    @property
    def reckoned_height(self) -> float:
        """World z in m that a descent has reached by dead reckoning; infinity where none is."""
        return math.inf if self._reckoned is None else float(self._reckoned.position[2])

    def enter(self, mode: Mode, before: Mode, time: float, *, blind: bool = False) -> None:
        """Prepare for a state at a time in s; `blind` means that no state so far can be trusted."""
        self.since = time
        told = self._sighting.told
        self.start = self.start if told is None else told.position
        if mode is Mode.TAKEOFF:
            self._backup.reset(rotors_turning=False)
        elif mode is Mode.POLICY:
            if before is Mode.ARMED:  # in the air already
                self._backup.reset(rotors_turning=True)
            self._policy.reset()
            self._rested = True
        elif mode is Mode.DESCENT:
            self._reckoned = None if blind else self._sighting.state
            self._backup.rotors = self._sighting.rotors  # of the same instant
            self.sink(time)
        elif mode is Mode.PILOT:
            self.command = None
        elif mode in MOTORLESS_MODES:
            self.command = stop_command(self._kind)

    def see(self, state: State, time: float) -> None:
        """Take in a valid state at a time in s; where a descent would begin follows from it."""
        seconds, self._steered = time - self._steered, time
        self._sighting.see(state, self._backup.rotors, self.command, seconds, self._quadrotor)

    def ask_policy(self, state: State, time: float) -> NDArray[np.float32]:
        """Let the policy tick and return its action (4,), which commands nothing yet."""
        last, rested, self._rested = self._policy.last_action, self._rested, False
        action = self._policy.step(self._observe(state, self.reference(Mode.POLICY, time)))
        self._decision = Decision(action, last, rested)
        return action

    def steer(self, mode: Mode, state: State, time: float) -> None:
        """Set the command that answers a state; the policy has been asked where it flies."""
        if mode is Mode.DESCENT:
            self.sink(time)
        elif mode is Mode.POLICY:
            assert self._decision is not None
            self.command = command_from_action(self._decision.action, self._kind)
        elif mode in GUIDED_MODES:
            self.command = self._backup.fly(state, self.reference(mode, time))

    def sink(self, time: float) -> None:
        """Set the command of a descent at a time in s, nobody seeing where the drone is."""
        if self._reckoned is None or self.command is None:
            self.command = descent_command(self._quadrotor, self._kind)
            return
        seconds, self._steered = time - self._steered, time
        self._reckoned = self._backup.coast(self._reckoned, self.command, seconds)
        self.command = self._backup.fly(self._reckoned, descent_reference(self._reckoned.position))

    def follow(self, mode: Mode) -> None:
        """Go on to the next tick: the model of the rotors advances by one period."""
        self._decision = None
        if self.command is not None and mode is not Mode.DESCENT:  # which does so by itself
            self._backup.follow(self.command)

    def reference(self, mode: Mode, time: float) -> Reference:
        """Return where the drone should be in a state at a time in s."""
        since = time - self.since
        if mode is Mode.POLICY:
            if self.goal is not None:
                return Reference(self.goal)
            return self._plan.task.reference(since, self._plan.hover_point)
        if mode in GUIDED_MODES:
            return guided_reference(mode, self._plan, self.start, since)
        return Reference(self.start)

    def describe(self, mode: Mode, state: State | None, time: float) -> Tick:
        """Return the tick that has just been steered, for the log."""
        flown, policy = mode is Mode.POLICY, self._policy
        membranes = policy.membranes if flown else {}
        return Tick(
            time=time,
            mode=mode.value,
            verdict="",
            state=state or _UNKNOWN,
            reference=self.reference(mode, time),
            command=np.zeros(4) if self.command is None else self.command.values,
            stopped=self.command is None or self.command.stop,
            decision=self._decision,
            spikes=policy.spikes if flown else {},
            membranes={name: u[:SHOWN_NEURONS] for name, u in membranes.items()},
            synaptic_ops=policy.synaptic_ops if flown else 0,
        )

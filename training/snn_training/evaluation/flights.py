"""Flying the episodes of the fixed test in either simulator, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from snn_controller.control import GuideGains, RateGains, autopilot_gains, control_rates
from snn_controller.policy import Policy, PolicyMetadata
from snn_controller.vehicle import (
    Array,
    Quadrotor,
    State,
    load_quadrotor,
    observe,
    thrust_rates_from_action,
)
from snn_sim.bullet import Drone
from snn_sim.task import CONTROL_RATE
from snn_training.evaluation.scenarios import Draw
from snn_training.rollouts import (
    Actor,
    BatchedPolicy,
    BatchedWorlds,
    BulletWorlds,
    GeometricActor,
    GuidedActor,
    Memoryless,
    Moment,
    Senses,
    Worlds,
    fly_script,
    motor_throttles,
    stack_states,
)

Simulator = Literal["batched", "pybullet"]
GEOMETRIC = "geometric"
GEOMETRIC_AIRFRAME = "crazyflie21"
EASY_LEAD = 2.0  # motor-lag lead of the calibration controller where it starts at the target
COLUMNS = np.cumsum([3, 4, 3, 3, 4, 4])  # ends of position to throttle in a record's rows


@dataclass(frozen=True)
class Episode:
    """One flown episode of T steps; the states are those after each step."""

    states: State  # batch (T,), true
    actions: Array  # (T, 4) in [-1, 1]
    throttles: Array  # (T, 4) in [0, 1], commanded
    crashed: bool
    spike_rates: dict[str, float]  # layer -> mean share of its neurons that spike in a step
    synaptic_ops: float  # mean a step


class ScoredPolicy(Actor, Protocol):
    """A policy on drones side by side, and what its network does."""

    metadata: PolicyMetadata

    @property
    def spike_shares(self) -> dict[str, Any]:
        """Share of each layer's neurons (count,) that fired in the last tick."""
        ...

    @property
    def synaptic_ops(self) -> Any:
        """Synaptic operations (count,) of the last tick."""
        ...


@dataclass(frozen=True)
class Candidate:
    """What is put to the test: an actor, and the airframe it flies."""

    actor: Actor
    quadrotor: Quadrotor
    policy: ScoredPolicy | None = None  # that the actor flies by, None for the controller


class SinglePolicy(Memoryless):
    """A policy of one drone, as it ticks in flight."""

    def __init__(self, policy: Policy) -> None:
        """Take the loaded policy."""
        self._policy, self.metadata = policy, policy.metadata

    def reset(self, drones: NDArray[np.bool_] | None = None) -> None:
        """Forget the past."""
        self._policy.reset()

    def act(self, senses: Senses) -> NDArray[np.float32]:
        """Return the action (1, 4)."""
        return self._policy.step(senses.observations[0])[None]

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Tell the policy what was flown, where it sees its last action."""
        self._policy.heed(applied[0])

    @property
    def spike_shares(self) -> dict[str, float]:
        """Share of each layer's neurons that fired in the last tick."""
        return self._policy.spike_shares()

    @property
    def synaptic_ops(self) -> int:
        """Synaptic operations of the last tick."""
        return self._policy.synaptic_ops


class AmnesicActor(Memoryless):
    """A policy without its memory, to see what that is worth."""

    def __init__(self, policy: ScoredPolicy) -> None:
        """Take the policy."""
        self.policy = policy

    def act(self, senses: Senses) -> NDArray[np.float32]:
        """Return the actions (count, 4) of a first tick."""
        self.policy.reset()
        return self.policy.act(senses)


def load_candidate(
    policy: str,
    scenario: str,
    *,
    sim: Simulator,
    count: int,
    forget: bool = False,
    target_return: float | None = None,
) -> Candidate:
    """Return what flies a scenario or track.

    Args:
        policy: A file, or `geometric`.
        scenario: Scenario or track of the fixed test.
        sim: Simulator, which flies all drones at once, or one after another in PyBullet.
        count: Drones to fly.
        forget: Reset the policy every tick.
        target_return: To ask of the policy; its own if None.

    Raises:
        UserError: The policy file is unusable or of another control rate than the test's.
    """
    if policy == GEOMETRIC:
        rate = RateGains(lead=EASY_LEAD) if scenario == "easy" else RateGains()
        gains = GuideGains(rate=rate)
        quadrotor = load_quadrotor(GEOMETRIC_AIRFRAME)
        return Candidate(GeometricActor(gains, one_by_one=sim == "pybullet"), quadrotor)
    loaded = Policy.load(policy, control_rate=CONTROL_RATE)
    if target_return is not None:
        loaded.aim(target_return)
    tested = BatchedPolicy(loaded, count) if sim == "batched" else SinglePolicy(loaded)
    actor = AmnesicActor(tested) if forget else tested
    return Candidate(actor, load_quadrotor(loaded.metadata.airframe), tested)


def fly(
    candidate: Candidate,
    draws: Sequence[Draw],
    sim: Simulator,
    *,
    watch: Callable[[], None] | None = None,
) -> list[Episode]:
    """Fly episodes of one scenario or track to their caps or crashes.

    The step that crashes counts: its state and command are part of the episode. A command that is
    not finite is a crash too. The geometric controller flies the guided steps, while the candidate
    looks on.

    Args:
        candidate: What flies.
        draws: The episodes.
        sim: Simulator.
        watch: Called after every step.
    """
    quadrotor, distance = candidate.quadrotor, draws[0].conditions.crash_distance
    if sim == "batched":
        worlds = BatchedWorlds(
            quadrotor,
            stack_states([draw.state for draw in draws]),
            np.stack([draw.rotors for draw in draws]),
            [x for draw in draws if (x := draw.conditions.disturbance) is not None],
            crash_distance=distance,
        )
        return _fly(worlds, candidate, draws, watch, one_by_one=False)
    episodes = []
    with Drone(quadrotor, control_rate=CONTROL_RATE, ground=False) as drone:
        worlds = BulletWorlds([drone], crash_distance=distance)
        for draw in draws:
            disturbance = draw.conditions.disturbance
            worlds.begin([draw.state], [draw.rotors], [] if disturbance is None else [disturbance])
            episodes += _fly(worlds, candidate, [draw], watch, one_by_one=True)
    return episodes


def _fly(
    worlds: Worlds,
    candidate: Candidate,
    draws: Sequence[Draw],
    watch: Callable[[], None] | None,
    *,
    one_by_one: bool,
) -> list[Episode]:
    conditions, actor = draws[0].conditions, candidate.actor
    if conditions.guided_steps > 0:
        guide = GeometricActor(GuideGains(), one_by_one=one_by_one)
        guided = np.full(len(draws), conditions.guided_steps)
        actor = GuidedActor(guide, actor, guided, label=False)
    policy = candidate.policy
    noise = [x for draw in draws if (x := draw.conditions.noise) is not None]
    script = fly_script(
        worlds,
        actor,
        conditions.course,
        steps=conditions.steps,
        noise=np.stack(noise, axis=1) if noise else None,
        throttles_of=_throttles_of(candidate, conditions.guided_steps),
        observe=observe if policy is None else policy.metadata.observation.observe,
    )
    record = _Record(len(draws), conditions.steps, policy)
    for step, moment in enumerate(script):
        record.add(step, moment)
        if watch is not None:
            watch()
        if not worlds.flying.any():
            break
    return record.episodes(~worlds.flying)


def _throttles_of(
    candidate: Candidate, guided_steps: int
) -> Callable[[Senses, NDArray[np.floating]], Array]:
    """Return what makes throttles of actions, behind the rate loop where their kind needs it."""
    policy, quadrotor = candidate.policy, candidate.quadrotor
    if policy is None or policy.metadata.action_kind == "motors":
        return motor_throttles
    gains = autopilot_gains(quadrotor)

    def throttles_of(senses: Senses, actions: NDArray[np.floating]) -> Array:
        if senses.steps[0] < guided_steps:  # the controller's
            return motor_throttles(senses, actions)
        asked, rates = thrust_rates_from_action(actions), senses.state.body_rates
        return control_rates(asked, rates, senses.rotors, quadrotor=quadrotor, gains=gains)

    return throttles_of


class _Record:
    """What is kept of each step of all drones; a drone counts until its episode ends."""

    def __init__(self, count: int, steps: int, policy: ScoredPolicy | None) -> None:
        self._policy = policy
        self._lengths = np.zeros(count, np.int64)
        self._operations = np.zeros(count)
        self._spikes: dict[str, Array] = {}  # layer -> (count,) sums of shares
        self._rows = np.empty((count, steps, COLUMNS[-1]))  # drone by drone, as they are scored

    def add(self, step: int, moment: Moment) -> None:
        """Write down a step of the drones that still fly."""
        state, flying = moment.reached, moment.flying
        parts = (state.position, state.quaternion, state.velocity, state.body_rates)
        rows = self._rows[:, step]
        np.concatenate([*parts, moment.actions, moment.throttles], axis=1, out=rows)
        self._lengths += flying
        if self._policy is not None:
            for layer, share in self._policy.spike_shares.items():
                self._spikes[layer] = self._spikes.get(layer, 0.0) + flying * share
            self._operations += flying * self._policy.synaptic_ops

    def episodes(self, crashed: NDArray[np.bool_]) -> list[Episode]:
        """Return the episodes of the drones in order, given which of them crashed (count,)."""
        return [self._episode(number, bool(x)) for number, x in enumerate(crashed)]

    def _episode(self, number: int, crashed: bool) -> Episode:
        length = int(self._lengths[number])
        *parts, actions, throttles, _ = np.split(self._rows[number, :length], COLUMNS, axis=1)
        return Episode(
            states=State(*parts),
            actions=actions,
            throttles=throttles,
            crashed=crashed,
            spike_rates={layer: float(x[number]) / length for layer, x in self._spikes.items()},
            synaptic_ops=float(self._operations[number]) / length,
        )

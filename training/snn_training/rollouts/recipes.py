"""Recipes for datasets: who flies what on the batched twin, and what makes them worse.

Every drone flies one episode: 500 ticks at 100 Hz or until it leaves the crash box of the fixed
test. What disturbs the flight pushes the drone; the recorded action stays what the pilot commanded,
and the recorded observation is the one that a policy sees, sensor noise included.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.policy import Policy, read_artifact, sha256_of
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_SIZE,
    OBSERVATION_VERSION,
    ActionKind,
    Array,
    Quadrotor,
    Reference,
    State,
    load_quadrotor,
)
from snn_sim.envs import ConcatenatedDrones, Drones, make_drones
from snn_sim.task import (
    CONTROL_RATE,
    END_COEFFICIENTS,
    EPISODE_STEPS,
    NOISY,
    NOMINAL,
    REWARD_PARTS,
    ROBUST,
    Disturbances,
    EpisodeConfig,
    RewardCoefficients,
)
from snn_training.data import (
    EpisodeSet,
    Flags,
    Numbers,
    Rows,
    Transitions,
    join_sets,
)
from snn_training.rollouts.actors import Actor, RandomActor, Senses, open_guide
from snn_training.rollouts.collector import Collector, roll_out

RANDOM = "random"
HEIGHT = 2  # of the position error in an observation
BURST = 5  # ticks that a slip lasts; motors hardly feel shorter ones
AIRFRAME = "crazyflie21"  # of pilots that name none
BATCH = 1000  # episodes side by side
PUSHED = replace(ROBUST, push=0.6, push_duration=0.3, force=0.08)
CONDITIONS: dict[str, Disturbances] = {
    "nominal": NOMINAL,
    "robust": ROBUST,
    "noisy": NOISY,
    "pushed": PUSHED,
}


@dataclass(frozen=True)
class Degradation:
    """How pilots slip, and how their commands are disturbed."""

    random_share: float = 0.0
    """Share of ticks whose action is drawn at random and held for 5 ticks; it counts as the
    pilot's own."""
    held_share: float = 0.0
    """Share of ticks that repeat an earlier action for 5 ticks; they count as the pilot's own."""
    noise: float = 0.0
    """Standard deviation of what is added to the pilot's actions on the way to the motors. It
    wanders over about 0.1 s; the pilot's own action stays what is learnt."""
    lean: float = 0.0
    """Largest height in m that a pilot hovers above its target without noticing; each episode draws
    its own, from 0 on. So flights survive and yet earn less, in an order that can be asked for."""


@dataclass(frozen=True)
class Recipe:
    """Who flies what."""

    policy: str = "geometric"
    """`geometric` (the guide on the true state), `random`, a policy.onnx file, or the folder of a
    run of training/td3.py."""
    skill: str = "expert"
    """Name of how good that is, one for all episodes of a dataset."""
    episodes: int = 1000
    """Episodes to fly."""
    starts: tuple[str, ...] = ("easy", "standard", "hard", "hover")
    """Start distributions, in equal shares."""
    conditions: tuple[str, ...] = ("nominal", "robust", "noisy", "pushed")
    """What disturbs the flights, in equal shares: nominal, robust and noisy are those of the fixed
    test; pushed is robust with stronger forces and pushes."""
    moving_share: float = 0.3
    """Share of episodes whose reference moves along sines."""
    handicap: Degradation = field(default_factory=Degradation)
    """What makes the pilot worse than it is."""


@dataclass(frozen=True)
class ActorInfo:
    """What a dataset says of who flew."""

    airframe: str
    action_kind: ActionKind
    sha256: str = ""  # of the policy file


def collect(
    recipe: Recipe,
    *,
    seed: int,
    coefficients: RewardCoefficients = END_COEFFICIENTS,
    progress: Callable[[int], Any] | None = None,
) -> EpisodeSet:
    """Fly the episodes of a recipe.

    Args:
        recipe: Who flies what.
        seed: Of all that is drawn; the same one gives the same episodes.
        coefficients: Of the rewards.
        progress: Told the number of drones that flew, after every tick of theirs.

    Raises:
        UserError: The pilot is unusable, or a start, condition or number impossible.
    """
    check_recipe(recipe)
    info, sets = actor_info(recipe.policy), []
    for number, first in enumerate(range(0, recipe.episodes, BATCH)):
        count = min(BATCH, recipe.episodes - first)
        rng = np.random.default_rng([seed, number])
        story = {"seed": seed, "batch": number}
        sets.append(_fly_batch(recipe, info, count, rng, coefficients, story, progress))
    return join_sets(sets)


def actor_info(policy: str) -> ActorInfo:
    """Return what a pilot flies and commands.

    Raises:
        UserError: It is a file, and unusable.
    """
    path = Path(policy)
    if not path.is_file():
        return ActorInfo(AIRFRAME, "motors")
    metadata = Policy.load(
        path, control_rate=CONTROL_RATE, observation_version=OBSERVATION_VERSION
    ).metadata
    return ActorInfo(metadata.airframe, metadata.action_kind, sha256_of(read_artifact(path)))


def check_recipe(recipe: Recipe) -> None:
    """Refuse an impossible recipe.

    Raises:
        UserError: A number is out of range or a condition unknown; the sentence names it.
    """
    handicap = recipe.handicap
    unknown = [name for name in recipe.conditions if name not in CONDITIONS]
    if unknown:
        raise UserError(f"unknown condition '{unknown[0]}'; choose from: {', '.join(CONDITIONS)}")
    shares = (handicap.random_share, handicap.held_share, recipe.moving_share)
    good = min(shares) >= 0.0 and max(sum(shares[:2]), shares[2]) <= 1.0
    good = good and handicap.noise >= 0.0 and 0.0 <= handicap.lean <= 0.6
    if not (good and recipe.episodes >= 1 and recipe.starts and recipe.conditions):
        raise UserError(
            "a recipe needs at least one episode, start and condition, shares of 0 to 1 (random "
            "and held together), noise of at least 0 and a lean of 0 to 0.6 m; mend the options"
        )


def _fly_batch(
    recipe: Recipe,
    info: ActorInfo,
    count: int,
    rng: np.random.Generator,
    coefficients: RewardCoefficients,
    story: dict[str, Any],
    progress: Callable[[int], Any] | None,
) -> EpisodeSet:
    """Fly one episode on each of so many drones."""
    quadrotor = load_quadrotor(info.airframe)
    groups, stories = _make_groups(recipe, info, quadrotor, count, rng)
    drones = ConcatenatedDrones(groups)
    tracks = EpisodeConfig(ticks=EPISODE_STEPS, moving_share=recipe.moving_share, step_share=0.0)
    collector = Collector(
        drones, blank_share=1.0, rng=rng, tracks=tracks, action_kind=info.action_kind
    )
    common = {
        **story,
        "policy": Path(recipe.policy).name,
        "policy_sha256": info.sha256,
        "skill": recipe.skill,
        "airframe": info.airframe,
        "control_rate": CONTROL_RATE,
        "action_kind": info.action_kind,
        "observation_version": OBSERVATION_VERSION,
        "reward_coefficients": asdict(coefficients),
        "handicap": asdict(recipe.handicap),
    }
    metadata = [{**common, **own} for own in stories]
    pilot: Actor = (
        RandomActor(rng)
        if recipe.policy == RANDOM
        else open_guide(recipe.policy, count, info.action_kind)
    )
    actor = DegradedActor(pilot, recipe.handicap, count, rng)
    record = EpisodeRecord(drones)
    for flown in roll_out(collector, actor):
        record.add(actor.commands, flown)
        if progress is not None:
            progress(count)
    drones.close()
    return record.episodes([recipe.skill] * count, metadata, coefficients)


def _make_groups(
    recipe: Recipe, info: ActorInfo, quadrotor: Quadrotor, count: int, rng: np.random.Generator
) -> tuple[list[Drones], list[dict[str, Any]]]:
    """Return drones by start and condition, and what there is to say of each drone."""
    cells = [(start, name) for start in recipe.starts for name in recipe.conditions]
    order = rng.permutation(len(cells))  # where there are fewer drones than cells
    sizes = np.bincount(order[np.arange(count) % len(cells)], minlength=len(cells))
    groups: list[Drones] = []
    stories: list[dict[str, Any]] = []
    for (start, condition), size in zip(cells, sizes.tolist(), strict=True):
        if size == 0:
            continue
        group = make_drones(
            "batched",
            quadrotor,
            size,
            action_kind=info.action_kind,
            starts=(start,),
            disturbances=CONDITIONS[condition],
            seed=int(rng.integers(2**39)),
        )
        groups.append(group)
        stories += [{"start": start, "disturbances": condition} for _ in range(size)]
    return groups, stories


class EpisodeRecord:
    """What is kept of one episode of every drone."""

    def __init__(self, drones: Drones, steps: int = EPISODE_STEPS) -> None:
        """Write down the first observations, and what disturbs each episode."""
        count = drones.count
        self.observations = np.zeros((count, steps + 1, OBSERVATION_SIZE), np.float32)
        self.actions = np.zeros((count, steps, ACTION_SIZE), np.float32)
        self.applied = np.zeros((count, steps, ACTION_SIZE), np.float32)
        self.parts = np.zeros((count, steps, REWARD_PARTS), np.float32)
        self.lengths = np.zeros(count, np.int64)
        self.flying = np.ones(count, np.bool_)
        self.observations[:, 0] = drones.observations
        groups = drones.groups if isinstance(drones, ConcatenatedDrones) else (drones,)
        self.physics = [x for group in groups for x in physics_of(group)]
        self._step = 0

    def add(self, commands: Rows, flown: Transitions) -> None:
        """Write down a step of the drones that still fly."""
        flying, step = self.flying, self._step
        self.actions[flying, step] = commands[flying]
        self.applied[flying, step] = flown.actions[flying]
        self.observations[flying, step + 1] = flown.next_observations[flying]
        self.parts[flying, step] = flown.reward_parts[flying]
        self.lengths += flying
        self.flying = flying & ~flown.terminated
        self._step += 1

    def episodes(
        self,
        skills: list[str],
        metadata: Sequence[dict[str, Any]],
        coefficients: RewardCoefficients,
    ) -> EpisodeSet:
        """Return the episodes, paid by some coefficients."""
        rewards = (self.parts @ coefficients.as_array()).astype(np.float32)
        told = [{**a, **b} for a, b in zip(metadata, self.physics, strict=True)]
        return EpisodeSet(
            self.observations,
            self.actions,
            rewards,
            self.lengths,
            ~self.flying,
            self.applied,
            self.parts,
            skills,
            told,
        )


def physics_of(drones: Drones) -> list[dict[str, Any]]:
    """Return what disturbs the present episode of each drone; empty where that is not told."""
    physics = getattr(drones, "physics", None)
    if physics is None:
        return [{} for _ in range(drones.count)]
    delays = physics.delay_shares @ np.arange(3.0) * drones.control_period
    return [
        {
            "mass": float(physics.mass[i, 0]),
            "thrust_scale": float(physics.thrust_scale[i, 0]),
            "delay": float(delays[i]),
            "force": physics.force[i].tolist(),
            "torque": physics.torque[i].tolist(),
            "push": physics.push[i].tolist(),
            "push_start": int(physics.push_start[i, 0]),
        }
        for i in range(drones.count)
    ]


class DegradedActor:
    """An actor that slips and misjudges its height, and whose commands are disturbed.

    `act` gives what reaches the motors; `commands` are what counts as the actor's own.
    """

    def __init__(
        self, actor: Actor, config: Degradation, count: int, rng: np.random.Generator
    ) -> None:
        """Begin without a slip."""
        self.actor, self.config, self.rng = actor, config, rng
        self.lean = np.zeros(count, np.float32)  # m
        if config.lean > 0.0:
            self.lean = (config.lean * rng.random(count)).astype(np.float32)
        self.commands: Rows = np.zeros((count, ACTION_SIZE), np.float32)  # of the last tick
        self._left = np.zeros(count, np.int64)  # ticks that the present slip goes on
        self._slip = np.zeros((count, ACTION_SIZE), np.float32)
        self._wander = rng.normal(0.0, 1.0, (count, ACTION_SIZE))

    def reset(self, drones: Flags | None = None) -> None:
        """Let the actor forget; slips go on."""
        self.actor.reset(drones)

    def act(self, senses: Senses) -> Rows:
        """Return the actions (count, 4) that reach the motors."""
        seen = lean_over(senses, self.lean) if self.lean.any() else senses
        self.commands = self._slipped(self.actor.act(seen))
        if self.config.noise == 0.0:
            return self.commands
        fresh = self.rng.normal(0.0, 0.19**0.5, self.commands.shape)
        self._wander = 0.9 * self._wander + fresh
        noise = self.config.noise * self._wander
        return np.clip(self.commands + noise, -1.0, 1.0, dtype=np.float32)

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Tell the actor what was flown."""
        self.actor.set_applied_action(applied)

    def _slipped(self, actions: NDArray[np.floating]) -> Rows:
        """Return what is commanded (count, 4) where the actor wanted `actions`."""
        config, count = self.config, len(actions)
        share = config.random_share + config.held_share
        if share > 0.0:
            begins = (self._left == 0) & (self.rng.random(count) < _chance(share))
            random = self.rng.random(count) * share < config.random_share
            drawn = self.rng.uniform(-1.0, 1.0, actions.shape)
            fresh = np.where(random[:, None], drawn, self.commands)
            self._slip = np.where(begins[:, None], fresh, self._slip).astype(np.float32)
            self._left = np.where(begins, BURST, self._left)
            actions = np.where((self._left > 0)[:, None], self._slip, actions)
            self._left = np.maximum(self._left - 1, 0)
        return np.clip(actions, -1.0, 1.0, dtype=np.float32)


@dataclass(frozen=True)
class Seen:
    """What is sensed in one tick, as values; the fields are those of `Senses`."""

    observations: Rows
    histories: Rows
    steps: Numbers
    state: State
    reference: Reference
    rotors: Array
    quadrotor: Quadrotor


def lean_over(senses: Senses, lean: Rows) -> Seen:
    """Return what is sensed by actors who take a point that is higher (count,) m for the target."""
    observations, true = senses.observations.copy(), senses.reference
    observations[:, HEIGHT] -= lean
    rise = np.stack([0.0 * lean, 0.0 * lean, lean], axis=-1)
    return Seen(
        observations,
        senses.histories,
        senses.steps,
        senses.state,
        Reference(true.position + rise, true.velocity),
        senses.rotors,
        senses.quadrotor,
    )


def _chance(share: float) -> float:
    """Return the chance a free tick has to begin a slip, so that slips fill a share of all."""
    return share / (share + BURST * (1.0 - share))

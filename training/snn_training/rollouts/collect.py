"""Episodes flown on the batched twin by any pilot, for datasets.

Every drone flies one episode: 500 ticks at 100 Hz or until it leaves the crash box of the fixed
test. What disturbs the flight pushes the drone; the recorded action stays what the pilot commanded,
and the recorded observation is the one that a policy sees, sensor noise included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_controller.policy import Policy, read_artifact, sha256_of
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_VERSION,
    ActionKind,
    Quadrotor,
    load_quadrotor,
)
from snn_sim.envs import ConcatenatedDrones, Drones, make_drones
from snn_sim.task import (
    CONTROL_RATE,
    END_COEFFICIENTS,
    EPISODE_STEPS,
    NOISY,
    NOMINAL,
    ROBUST,
    Disturbances,
    EpisodeConfig,
    RewardCoefficients,
)
from snn_training.data import EpisodeSet, Rows, join_sets
from snn_training.rollouts.collector import Collector
from snn_training.rollouts.guides import Forgetful, Guide, open_guide
from snn_training.rollouts.recorder import EpisodeRecord
from snn_training.rollouts.skill import Handicap, Misjudging, Slips

RANDOM = "random"
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
    handicap: Handicap = field(default_factory=Handicap)
    """What makes the pilot worse than it is."""


class RandomPilot(Forgetful):
    """Draws every action at random."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Take the generator."""
        self.rng = rng

    def act(self, collector: Collector) -> Rows:
        """Return actions (count, 4), uniform in [-1, 1]."""
        return self.rng.uniform(-1.0, 1.0, (collector.drones.count, ACTION_SIZE)).astype(np.float32)


@dataclass(frozen=True)
class PilotInfo:
    """What a dataset says of its pilot."""

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
    info, sets = pilot_info(recipe.policy), []
    for number, first in enumerate(range(0, recipe.episodes, BATCH)):
        count = min(BATCH, recipe.episodes - first)
        rng = np.random.default_rng([seed, number])
        story = {"seed": seed, "batch": number}
        sets.append(_fly_batch(recipe, info, count, rng, coefficients, story, progress))
    return join_sets(sets)


def pilot_info(policy: str) -> PilotInfo:
    """Return what a pilot flies and commands.

    Raises:
        UserError: It is a file, and unusable.
    """
    path = Path(policy)
    if not path.is_file():
        return PilotInfo(AIRFRAME, "motors")
    metadata = Policy.load(
        path, control_rate=CONTROL_RATE, observation_version=OBSERVATION_VERSION
    ).metadata
    return PilotInfo(metadata.airframe, metadata.action_kind, sha256_of(read_artifact(path)))


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
    info: PilotInfo,
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
    pilot: Guide = (
        RandomPilot(rng)
        if recipe.policy == RANDOM
        else open_guide(recipe.policy, count, info.action_kind)
    )
    record = EpisodeRecord(count)
    _fly(collector, pilot, Slips(recipe.handicap, count, rng), record, progress)
    drones.close()
    return record.episodes([recipe.skill] * count, metadata, coefficients)


def _make_groups(
    recipe: Recipe, info: PilotInfo, quadrotor: Quadrotor, count: int, rng: np.random.Generator
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


def _fly(
    collector: Collector,
    pilot: Guide,
    slips: Slips,
    record: EpisodeRecord,
    progress: Callable[[int], Any] | None,
) -> None:
    """Fly until every drone has flown one episode."""
    record.begin(collector.drones)
    seen: Any = Misjudging(collector, slips.lean) if slips.lean.any() else collector
    for _ in range(EPISODE_STEPS):
        commands = slips.command(pilot.act(seen))
        applied = slips.disturb(commands)
        flown = collector.step(applied)
        pilot.heed(applied, flown.terminated | flown.truncated)
        record.add(commands, applied, flown.next_observations, flown.reward_parts, flown.terminated)
        if progress is not None:
            progress(collector.drones.count)
        if not record.flying.any():
            return

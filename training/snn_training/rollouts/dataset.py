"""Datasets for offline learning: fly them, take them from bags, pay them anew, look inside.

    python training/dataset.py --name drone/hover/expert-v0 --policy hover
    python training/dataset.py --suite
    python training/dataset.py --name drone/hover/mine-v0 --bag flights/*/
    python training/dataset.py --name drone/hover/mixed-v0 --join drone/hover/expert-v0 \
        drone/hover/poor-v0
    python training/dataset.py --describe drone/hover/expert-v0

They are Minari datasets in $MINARI_DATASETS_PATH, or in `datasets/` where that is not set, so that
`minari.load_dataset` reads them too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from snn_controller.errors import UserError
from snn_controller.paths import policy_path
from snn_controller.report.plots import BLUE, MOTORS, write_picture
from snn_controller.vehicle import BODY_RATES, POSITION_ERROR, VELOCITY_ERROR
from snn_sim.task import END_COEFFICIENTS, EPISODE_STEPS, START_COEFFICIENTS, RewardCoefficients
from snn_training.data import (
    EpisodeSet,
    Rows,
    check_episodes,
    check_free,
    dataset_folder,
    join_sets,
    load_episodes,
    relabel,
    save_episodes,
    take,
)
from snn_training.rollouts.from_bags import episodes_of_bags
from snn_training.rollouts.recipes import RANDOM, Degradation, Recipe, collect

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GEOMETRIC = "geometric"
PICTURE = "inside.png"
NUMBERS = {  # label -> columns of the observation
    "position error m": POSITION_ERROR,
    "velocity error m/s": VELOCITY_ERROR,
    "body rate rad/s": BODY_RATES,
}
SATURATED = 0.99  # an action beyond this is at its limit
PLOTTED = 50_000  # points of a picture at most
COEFFICIENTS = {"start": START_COEFFICIENTS, "end": END_COEFFICIENTS}
# What --suite flies: id -> recipe. The shipped policy at several skills, and what it learnt from.
SUITE: dict[str, Recipe] = {
    "drone/hover/expert-v0": Recipe("hover", "expert", 2000),
    "drone/hover/recovery-v0": Recipe("hover", "recovery", 1000, handicap=Degradation(noise=0.15)),
    "drone/hover/dense-v0": Recipe("hover_mlp", "dense", 1000),
    "drone/hover/guide-v0": Recipe(GEOMETRIC, "guide", 500),
    "drone/hover/medium-v0": Recipe("hover", "medium", 1000, handicap=Degradation(held_share=0.35)),
    "drone/hover/poor-v0": Recipe("hover", "poor", 500, handicap=Degradation(random_share=0.2)),
    "drone/hover/random-v0": Recipe(RANDOM, "random", 200),
}


@dataclass
class Args:
    """Make datasets for offline learning, or look inside them."""

    name: str = ""
    """Minari id of the dataset to make, like drone/hover/expert-v0."""
    policy: tuple[str, ...] = (GEOMETRIC,)
    """Who flies: `geometric` (the guide on the true state), `random`, a policy.onnx file or the
    name of a shipped one (hover, hover_mlp), or the folder of a run of training/td3.py. Several
    share the episodes, as the checkpoints of one training do in a replay dataset."""
    suite: bool = False
    """Fly a family of datasets, from expert to random, with the shipped policies."""
    bag: tuple[str, ...] = ()
    """Take flights from bags (record:=true) instead: folders, .mcap files or report folders."""
    join: tuple[str, ...] = ()
    """Put the episodes of these datasets into one instead; with one name, pay it anew."""
    describe: tuple[str, ...] = ()
    """Say what is inside these datasets, draw it into a picture, and make nothing."""
    picture: Path | None = None
    """Where that picture goes; else inside.png in the folder of the first dataset."""
    skill: str = ""
    """Name of how good the pilot is; else expert, or flight for bags."""
    episodes: int = 1000
    """Episodes to fly, of at most 500 ticks."""
    starts: tuple[str, ...] = Recipe.starts
    """Start distributions, in equal shares; those of sim/starts.py."""
    conditions: tuple[str, ...] = Recipe.conditions
    """What disturbs the flights, in equal shares: nominal, robust and noisy are those of the fixed
    test, pushed is robust with stronger forces and pushes."""
    moving_share: float = Recipe.moving_share
    """Share of episodes whose reference moves along sines."""
    handicap: Degradation = field(default_factory=Degradation)
    """What makes the pilot worse, and what disturbs its commands."""
    relabel: Literal["end", "start", "own"] = "end"
    """Coefficients that pay every step: the end or the start of the paper's curriculum, or those
    of --coefficients. Datasets keep the parts of the reward, so --join pays old ones anew."""
    coefficients: RewardCoefficients = END_COEFFICIENTS
    """Coefficients of --relabel own."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same dataset."""
    folder: Path | None = None
    """Where datasets are, instead of $MINARI_DATASETS_PATH or datasets/."""
    overwrite: bool = False
    """Replace a dataset of the same name."""


def main(args: Args) -> None:
    """Make or describe datasets as the arguments say."""
    check(args)
    if args.describe:
        describe_datasets(args)
    elif args.suite:
        for number, (name, recipe) in enumerate(SUITE.items()):
            flown = replace(recipe, policy=_policy_of(recipe.policy))
            make(args, name, lambda r=flown, n=number: fly(args, [r], args.seed * 1000 + n))
    elif args.bag:
        make(args, args.name, lambda: _from_bags(args))
    elif args.join:
        make(args, args.name, lambda: _joined(args))
    else:
        make(args, args.name, lambda: fly(args, recipes_of(args), args.seed))


def make(args: Args, name: str, gather: Callable[[], EpisodeSet]) -> None:
    """Gather episodes, write them and say what is in them."""
    check_free(name, root=args.folder, overwrite=args.overwrite)  # before anything is flown
    episodes = gather()
    folder = save_episodes(episodes, name, root=args.folder, overwrite=args.overwrite)
    returns = episodes.returns
    tqdm.write(
        f"wrote {folder}: {len(episodes)} episodes, {episodes.steps} steps, return "
        f"{returns.mean():.1f} +- {returns.std():.1f}"
    )


def fly(args: Args, recipes: list[Recipe], seed: int) -> EpisodeSet:
    """Fly recipes, each with random numbers of its own."""
    total = sum(recipe.episodes for recipe in recipes) * EPISODE_STEPS
    with tqdm(total=total, desc=recipes[0].skill, unit="step", unit_scale=True) as bar:
        sets = [
            collect(recipe, seed=seed + 2**20 * n, coefficients=_pay(args), progress=bar.update)
            for n, recipe in enumerate(recipes)
        ]
        bar.update(total - bar.n)  # whoever crashed needs no more steps
    return join_sets(sets)


def recipes_of(args: Args) -> list[Recipe]:
    """Return what the options ask for, one recipe a policy."""
    shares = [args.episodes // len(args.policy)] * len(args.policy)
    shares[0] += args.episodes - sum(shares)
    return [
        Recipe(
            _policy_of(policy),
            args.skill or "expert",
            share,
            args.starts,
            args.conditions,
            args.moving_share,
            args.handicap,
        )
        for policy, share in zip(args.policy, shares, strict=True)
    ]


def describe_datasets(args: Args) -> None:
    """Print and draw what is inside datasets."""
    episodes = load_episodes(args.describe, root=args.folder)
    sys.stdout.write(describe(episodes) + "\n")
    for sentence in check_episodes(episodes, " and ".join(args.describe)):
        sys.stdout.write(f"note: {sentence}\n")
    picture = args.picture or dataset_folder(args.describe[0], root=args.folder) / PICTURE
    plot_episodes(episodes, picture)
    sys.stdout.write(f"wrote {picture}\n")


def check(args: Args) -> None:
    """Refuse what cannot be made.

    Raises:
        UserError: Options contradict each other or one is missing.
    """
    asked = [x for x in ("suite", "bag", "join", "describe") if getattr(args, x)]
    if len(asked) > 1:
        raise UserError(f"--{asked[0]} and --{asked[1]} are two jobs; give one of them")
    if not args.name and asked not in (["suite"], ["describe"]):
        raise UserError("a dataset needs a name; give --name, like drone/hover/expert-v0")
    if not (args.policy and args.episodes >= len(args.policy) and args.seed >= 0):
        raise UserError("--policy needs a name, --episodes one for each, --seed 0 or more")


def _from_bags(args: Args) -> EpisodeSet:
    return episodes_of_bags(
        args.bag,
        skill=args.skill or "flight",
        coefficients=_pay(args),
        warn=lambda sentence: tqdm.write(f"note: {sentence}"),
    )


def _joined(args: Args) -> EpisodeSet:
    return relabel(load_episodes(args.join, root=args.folder), _pay(args))


def _pay(args: Args) -> RewardCoefficients:
    return args.coefficients if args.relabel == "own" else COEFFICIENTS[args.relabel]


def _policy_of(name: str) -> str:
    """Return a pilot's name with that of a shipped policy as its file."""
    if name in (GEOMETRIC, RANDOM) or os.path.isdir(name):
        return name
    path = policy_path(name)
    if not path.is_file():
        raise UserError(
            f"there is no pilot '{name}'; give geometric, random, a policy.onnx file, the name of "
            "a shipped policy, or the folder of a run of training/td3.py"
        )
    return str(path)


def describe(episodes: EpisodeSet) -> str:
    """Return what is inside as text: returns by skill, start and disturbance, and coverage."""
    first = episodes.metadata[0]
    head = (
        f"{len(episodes)} episodes, {episodes.steps} steps at {first['control_rate']:g} Hz, "
        f"{first['airframe']}, {first['action_kind']}, observation version "
        f"{first['observation_version']}"
    )
    tables = [
        _table(episodes, title, groups)
        for title, groups in (
            ("skill", np.array(episodes.skills)),
            ("policy", _told(episodes, "policy")),
            ("start", _told(episodes, "start")),
            ("disturbances", _told(episodes, "disturbances")),
        )
    ]
    return "\n".join([head, "", *tables, _coverage(episodes)])


def plot_episodes(episodes: EpisodeSet, path: Path) -> None:
    """Draw returns by skill, where the observations are, and the actions.

    Raises:
        UserError: matplotlib is missing or the picture cannot be written.
    """
    write_picture(path, partial(_draw, episodes), size=(13.0, 7.5), resolution=110)


def _draw(episodes: EpisodeSet, figure: Figure) -> None:
    axes = figure.subplots(2, 3)
    skills = np.array(episodes.skills)
    seen = _thinned(episodes.observations[:, :-1][episodes.alive])
    actions = _thinned(episodes.actions[episodes.alive])
    _histograms(axes[0, 0], skills, lambda chosen: episodes.returns[chosen], "return", 40)
    _histograms(axes[0, 1], skills, lambda chosen: episodes.lengths[chosen], "steps", 40)
    tilt = np.degrees(np.arccos(np.clip(seen[:, 11], -1.0, 1.0)))
    axes[0, 2].hist(tilt, bins=60, log=True, color=BLUE)
    axes[0, 2].set_xlabel("tilt [deg]")
    for axis, x, y, label in (
        (axes[1, 0], seen[:, 0], seen[:, 2], "position error"),
        (axes[1, 1], seen[:, 12], seen[:, 14], "velocity error"),
    ):
        axis.hexbin(x, y, gridsize=50, bins="log", mincnt=1)
        axis.set_xlabel(f"{label} x")
        axis.set_ylabel(f"{label} z")
    for rotor, (values, colour) in enumerate(zip(actions.T, MOTORS, strict=True)):
        axes[1, 2].hist(values, bins=60, histtype="step", color=colour, label=f"a{rotor + 1}")
    axes[1, 2].set_xlabel("action")
    axes[1, 2].legend(fontsize=8)
    figure.set_layout_engine("constrained")


def _table(episodes: EpisodeSet, title: str, groups: NDArray[Any]) -> str:
    """Return one row a group: how much there is of it and what it earned."""
    width = max(len(title), *(len(name) for name in groups))
    head = f"{title:<{width}} {'episodes':>9} {'steps':>9} {'return':>8} {'sd':>7} "
    rows = [head + f"{'p10':>7} {'p50':>7} {'p90':>7} {'survived':>9}"]
    for name in sorted(set(groups)):
        part = take(episodes, groups == name)
        low, middle, high = np.percentile(part.returns, [10, 50, 90])
        rows.append(
            f"{name:<{width}} {len(part):>9} {part.steps:>9} {part.returns.mean():>8.1f} "
            f"{part.returns.std():>7.1f} {low:>7.1f} {middle:>7.1f} {high:>7.1f} "
            f"{1.0 - part.terminated.mean():>9.3f}"
        )
    return "\n".join(rows) + "\n"


def _coverage(episodes: EpisodeSet) -> str:
    seen = episodes.observations[:, :-1][episodes.alive]
    actions = episodes.actions[episodes.alive]
    rows = [f"{'':<20} {'mean':>8} {'sd':>8} {'p1':>8} {'p99':>8}"]
    for name, columns in NUMBERS.items():
        rows.append(_spread(name, seen[:, columns]))
    rows.append(_spread("action", actions))
    limit = float((np.abs(actions) > SATURATED).mean())
    changed = ~np.isclose(episodes.applied[episodes.alive], actions).all(axis=1)
    rows.append(f"actions at their limits: {limit:.3f}; flown otherwise than commanded: ")
    return "\n".join(rows) + f"{changed.mean():.3f}"


def _spread(name: str, values: Rows) -> str:
    low, high = np.percentile(values, [1, 99])
    return f"{name:<20} {values.mean():>8.3f} {values.std():>8.3f} {low:>8.3f} {high:>8.3f}"


def _histograms(
    axis: Any, skills: NDArray[Any], values: Callable[[Any], Any], label: str, bins: int
) -> None:
    everything = values(slice(None))
    edges = np.linspace(everything.min() - 1e-6, everything.max() + 1e-6, bins)
    for skill in sorted(set(skills)):
        axis.hist(values(skills == skill), bins=edges, histtype="step", label=skill)
    axis.set_xlabel(label)
    axis.set_ylabel("episodes")
    axis.legend(fontsize=8)


def _told(episodes: EpisodeSet, key: str) -> NDArray[Any]:
    return np.array([str(entry.get(key, "-")) for entry in episodes.metadata])


def _thinned(rows: Rows) -> Rows:
    return rows[:: max(1, len(rows) // PLOTTED)]

"""What the learning part of the slope study says, with the paper's values beside ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from snn_controller.errors import UserError

from training.budget import Budget
from training.results import Result
from training.studies import Axis, Setting, find_study
from training.study_statistics import Reached, Spread, curve_of, score, spread, time_to
from training.study_table import finished, load_results, show, show_reached

# Study -> learner, as the paper calls it.
LEARNERS = {"slopes_bc": "BC", "slopes_td3": "TD3", "slopes": "TD3BC+JSRL"}
THRESHOLD = 100.0  # return that the paper times
# Read from the paper's bars: schedule -> epochs to return 100, their deviation, best return.
PUBLISHED = {
    "slopes_bc": {
        "fixed-2": (22, 12, 232),
        "fixed-50": (22, 10, 259),
        "fixed-100": (29, 11, 222),
        "interval": (20, 10, 232),
        "adaptive": (15, 10, 251),
    },
    "slopes_td3": {
        "fixed-2": (42, 2, 383),
        "fixed-50": (161, 10, 163),
        "fixed-100": (149, 3, 174),
        "interval": (37, 2, 292),
        "adaptive": (50, 8, 381),
    },
}
Runs = Mapping[str, Sequence[Result]]  # schedule -> finished runs


def load_learning(folder: Path) -> dict[str, Runs]:
    """Return the finished runs of each study by schedule, from the folder of a budget."""
    return {name: _load(name, folder / name) for name in LEARNERS}


def best_return(runs: Sequence[Result]) -> Spread | None:
    """Return the best return that validation showed in a run, over runs."""
    curves = [curve_of(run, "updates", "return_end")[1] for run in runs]
    return spread(float(np.max(curve)) for curve in curves if len(curve))


def reached(study: str, runs: Sequence[Result]) -> Reached:
    """Return when validation first showed the threshold."""
    return time_to(runs, find_study(study).axis, THRESHOLD)


def missing_seeds(runs: Runs, settings: Sequence[Setting], seeds: Sequence[int]) -> dict[str, str]:
    """Return schedule -> seeds without a result, in words, where there are such seeds."""
    missing = {}
    for setting in settings:
        there = {run["seed"] for run in runs[setting.label]}
        without = [str(seed) for seed in seeds if seed not in there]
        if without:
            missing[setting.label] = ", ".join(without)
    return missing


def format_learning(
    learning: Mapping[str, Runs], seeds: Sequence[int], picture: str, *, budget: Budget = "study"
) -> str:
    """Return the runs as Markdown: a table a learner, the paper's values in it."""
    lines = ["# What the slope does to learning", "", _story(budget), ""]
    for study, runs in learning.items():
        axis = find_study(study).axis
        lines += [f"## {LEARNERS[study]} (`{study}`)", ""]
        lines += [*_table(study, runs, axis), ""]
        missing = missing_seeds(runs, find_study(study).settings, seeds)
        if missing:
            words = "; ".join(f"{label} seeds {without}" for label, without in missing.items())
            lines += [f"Not run yet; the same command does it: {words}.", ""]
        if any(runs.values()):
            lines += [f"More scores and learning curves: [{study}]({study}.md).", ""]
    return "\n".join([*lines, f"![speed and best return]({picture})", ""])


def _table(study: str, runs: Runs, axis: Axis) -> Iterable[str]:
    titles = ["slope", "runs", f"{axis} to 100", "best validation return", "test return"]
    titles += ["test survival", "paper: epochs to 100", "paper: best return"]
    yield _row(titles)
    yield _row(["---"] * len(titles))
    for label, found in runs.items():
        paper = PUBLISHED.get(study, {}).get(label)
        yield _row(
            [
                *(
                    label,
                    str(len(found)),
                    show_reached(reached(study, found), find_study(study).axis),
                ),
                show(best_return(found), "{:.1f}"),
                show(score(found, "standard", "return_end"), "{:.1f}"),
                show(score(found, "standard", "survival"), "{:.3f}"),
                f"{paper[0]} ± {paper[1]}" if paper else "-",
                f"{paper[2]}" if paper else "-",
            ]
        )


def _story(budget: Budget) -> str:
    return (
        f"`python training/slope_study.py`, budget `{budget}`; mean ± sample standard deviation "
        "over seeds. Validation: standard starts, end coefficients. Test: cell `standard` on the "
        "batched twin. The paper's returns are of other tests, rewards and budgets; compare "
        "orders, not numbers."
    )


def _load(name: str, folder: Path) -> Runs:
    study = find_study(name)
    try:
        results = load_results(study, folder)
    except UserError:
        if any(folder.glob("*.json")):
            raise
        results = {setting.label: [] for setting in study.settings}  # nothing has been run yet
    return {label: finished(runs) for label, runs in results.items()}


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

"""The study of surrogate slopes: runs what is missing, and redraws all tables and figures.

Two parts: how gradients of different slopes align, on random networks; and how fast behavioural
cloning, TD3 and TD3BC with a jump start learn with them, on Ray. What has a result is left alone.
The figures are like the paper's, with the paper's values in them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from snn_controller.errors import UserError
from snn_controller.report.plots import BLUE, INK, ORANGE, head, note, write_picture
from snn_controller.system import write_atomically
from snn_training.common import Budget
from snn_training.studies import sweep
from snn_training.studies.alignment import (
    PUBLISHED,
    PUBLISHED_DEPTH,
    SLOPES,
    AlignmentConfig,
    format_alignment,
    update_alignment,
)
from snn_training.studies.catalogue import Axis, Setting, find_study
from snn_training.studies.results import (
    Reached,
    Result,
    Spread,
    curve_of,
    markdown_row,
    score,
    spread,
    time_to,
)
from snn_training.studies.table import (
    finished,
    load_results,
    show,
    show_reached,
    style_of,
    write_table,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Study -> learner, as the paper calls it.
LEARNERS = {"slopes_bc": "BC", "slopes_td3": "TD3", "slopes": "TD3BC+JSRL"}
THRESHOLD = 100.0  # return that the paper times
# Read from the paper's bars: schedule -> epochs to return 100, their deviation, best return.
PUBLISHED_LEARNING = {
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
    yield markdown_row(titles)
    yield markdown_row(["---"] * len(titles))
    for label, found in runs.items():
        paper = PUBLISHED_LEARNING.get(study, {}).get(label)
        yield markdown_row(
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


def draw_alignment(path: Path, found: Mapping[str, Any]) -> None:
    """Draw gradient size and cosines by layer, slope and depth into a PNG file."""
    config = found["config"]
    share, depth = config["shares"][0], max(config["small_depths"])
    published = found.get(f"reference-{PUBLISHED_DEPTH}", {})

    def fill(panels: Any) -> None:
        size, cosines, by_depth, true = panels
        _lines(size, published, "sizes")
        size.set_yscale("log")
        _lines(cosines, published, "cosines")
        _rings(size, cosines)
        _lines(by_depth, _first_layers(found), "cosines", config["depths"])
        by_depth.set_xscale("log", base=2)
        part = found[f"smoothed-{depth}-{share}"]
        _lines(true, part["slopes"], "cosines")
        true.plot(part["reliability"], color=INK, linestyle=":", label="reach of the estimate")
        heads = (
            "mean size",
            "cosine, k = 100",
            "layer 0, cosine, k = 100",
            "cosine, smoothed loss",
        )
        for panel, text in zip(panels, heads, strict=True):
            head(panel, text)
            panel.set_xlabel("LIF layers" if panel is by_depth else "layer")
        note(size, "rings: paper")
        panels[0].figure.legend(*true.get_legend_handles_labels(), loc="outside right upper")

    _save(path, 4, fill)


def draw_learning(path: Path, learning: Mapping[str, Runs]) -> None:
    """Draw the speed to return 100 and the best return of every learner into a PNG file."""

    def fill(panels: Any) -> None:
        for column, (study, runs) in enumerate(learning.items()):
            fast, best = panels[0][column], panels[1][column]
            head(fast, LEARNERS[study])
            paper = PUBLISHED_LEARNING.get(study, {})
            times = {label: reached(study, found).spread for label, found in runs.items()}
            _bars(fast, times, {label: (x[0], x[1]) for label, x in paper.items()}, apart=True)
            returns = {label: best_return(found) for label, found in runs.items()}
            _bars(best, returns, {label: (x[2], 0.0) for label, x in paper.items()})
        panels[0][0].set_ylabel("ours: steps to return 100")
        panels[1][0].set_ylabel("best validation return")
        note(panels[0][-1], "orange, right axis: paper, epochs")

    _save(path, 3, fill, rows=2)


def _bars(
    panel: Axes,
    ours: Mapping[str, Spread | None],
    paper: Mapping[str, tuple[float, float]],
    *,
    apart: bool = False,
) -> None:
    """Draw bars of ours and, beside them, the paper's, on an axis of its own if `apart`."""
    other = cast("Axes", panel.twinx()) if apart and paper else panel
    for place, (label, found) in enumerate(ours.items()):
        if found is not None:
            deviation = 0.0 if math.isnan(found.deviation) else found.deviation
            panel.bar(place - 0.2, found.mean, 0.38, yerr=deviation, color=BLUE, ecolor=INK)
        if label in paper:
            mean, deviation = paper[label]
            other.bar(place + 0.2, mean, 0.38, yerr=deviation, color=ORANGE, ecolor=INK)
    if other is not panel:
        other.grid(False)
    names = [
        f"{label.removeprefix('fixed-')}\nn={found.count if found else 0}"
        for label, found in ours.items()
    ]
    panel.set_xticks(range(len(ours)), names, fontsize=6)


def _rings(size: Axes, cosines: Axes) -> None:
    """Draw the paper's values."""
    for place, slope in enumerate(SLOPES):
        if slope in PUBLISHED:
            colour, _, marker = style_of(place)
            look: Any = {"color": colour, "marker": marker, "fillstyle": "none", "linestyle": ""}
            size.plot([0], [PUBLISHED[slope][0]], markersize=9, **look)
            cosines.plot(range(4), PUBLISHED[slope][1], markersize=9, **look)


def _first_layers(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return slope -> cosines of layer 0 by depth."""
    parts = [found[f"reference-{depth}"] for depth in found["config"]["depths"]]
    slopes = {slope: [part[slope]["cosines"][0] for part in parts] for slope in parts[0]}
    return {slope: {"cosines": cosines} for slope, cosines in slopes.items()}


def _lines(panel: Axes, part: Mapping[str, Any], key: str, places: list[int] | None = None) -> None:
    for place, slope in enumerate(SLOPES):
        if (numbers := part.get(f"{slope:g}")) is not None:
            colour, line, marker = style_of(place)
            where = places if places is not None else list(range(len(numbers[key])))
            look = {"color": colour, "marker": marker, "markersize": 4, "label": f"k = {slope:g}"}
            panel.plot(where, numbers[key], line, **cast(Any, look))


def _save(path: Path, columns: int, fill: Callable[[Any], None], *, rows: int = 1) -> None:
    def draw(figure: Figure) -> None:
        fill(figure.subplots(rows, columns))
        figure.set_layout_engine("constrained")

    write_picture(path, draw, size=(13.0, 3.6 * rows), resolution=110)


ALIGNMENT, LEARNING = "alignment", "slope_learning"  # names of what is written


@dataclass(frozen=True)
class Args:
    """Run what is missing of the slope study, and redraw its tables and figures."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    """Seeds of the training runs."""
    budget: Budget = "study"
    """`study`: at most five minutes on one core a run; `full`: as the scripts do by themselves."""
    workers: int | None = None
    """Runs at once; all cores if not given."""
    address: str | None = None
    """Address of a running Ray cluster; Ray starts here without it."""
    draw: bool = False
    """Only redraw from what is there."""
    results: Path = Path("docs/results")
    """Where results are kept: RESULTS/BUDGET."""
    folder: Path = Path("runs/studies")
    """Where run folders go."""
    alignment: AlignmentConfig = field(default_factory=AlignmentConfig)
    """What the gradients are compared on."""


def main(args: Args) -> None:
    """Run, then draw; a study whose runs failed stops neither the others nor the drawing."""
    place = args.results / args.budget
    if not args.draw:
        torch.set_num_threads(1)
        update_alignment(place / f"{ALIGNMENT}.json", args.alignment)
    failures = [] if args.draw else run_studies(args)
    for path in draw(args, place):
        sys.stdout.write(f"wrote {path}\n")
    if failures:
        raise UserError("; ".join(failures))


def run_studies(args: Args) -> list[str]:
    """Run what is missing of each study and return what went wrong."""
    failures = []
    for study in LEARNERS:
        options = sweep.Args(
            study,
            seeds=args.seeds,
            budget=args.budget,
            workers=args.workers,
            address=args.address,
            results=args.results,
            folder=args.folder,
        )
        try:
            sweep.main(options)
        except UserError as error:
            failures.append(str(error))
    return failures


def draw(args: Args, place: Path) -> list[Path]:
    """Write tables and figures from the results that there are; return their Markdown files."""
    written = []
    numbers = place / f"{ALIGNMENT}.json"
    if numbers.exists():
        found = update_alignment(numbers, args.alignment)
        written.append(
            _write(place / f"{ALIGNMENT}.md", format_alignment(found, f"{ALIGNMENT}.png"))
        )
        draw_alignment(place / f"{ALIGNMENT}.png", found)
    learning = load_learning(place)
    for study, runs in learning.items():
        if any(runs.values()):
            write_table(study, place / study)
            written.append(place / f"{study}.md")
    text = format_learning(learning, args.seeds, f"{LEARNING}.png", budget=args.budget)
    written.append(_write(place / f"{LEARNING}.md", text))
    draw_learning(place / f"{LEARNING}.png", learning)
    return written


def _write(path: Path, text: str) -> Path:
    write_atomically(path, text.encode())
    return path

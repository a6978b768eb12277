"""The table and the picture of a study, from the results that are kept in the repository."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from snn_controller.errors import UserError
from snn_controller.report.plots import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    head,
    note,
    write_picture,
)
from snn_controller.system import write_atomically
from snn_training.studies.catalogue import Axis, Study, find_study
from snn_training.studies.results import (
    Reached,
    Result,
    Spread,
    band,
    check_same,
    curve_of,
    markdown_row,
    read_result,
    score,
    spread,
    time_to,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


# Colour, line and marker together tell settings apart, so that colour is never alone. Their numbers
# have no common factor for colours and markers, so 56 settings look different.
COLOURS = (BLUE, ORANGE, GREEN, PURPLE, INK, "#56b4e9", "#d55e00", GREY)
LINES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
PANELS = (("return_end", "return, end coefficients"), ("survival", "survival"))


def draw_curves(
    path: Path, results: Mapping[str, Sequence[Result]], *, axis: Axis, title: str
) -> None:
    """Draw the learning curves of every setting into a PNG file."""

    def fill(figure: Figure) -> None:
        panels = figure.subplots(1, len(PANELS), sharex=True)
        for panel, (column, label) in zip(panels, PANELS, strict=True):
            for place, (setting, runs) in enumerate(results.items()):
                _draw_setting(panel, place, setting, runs, axis=axis, column=column)
            head(panel, label)
            panel.set_xlabel("minutes of processor time" if axis == "minutes" else axis)
            panel.ticklabel_format(axis="x", style="sci", scilimits=(0, 4))
        note(panels[0], "validation, standard starts")
        note(panels[-1], "mean and standard deviation")
        names = panels[0].get_legend_handles_labels()
        figure.legend(*names, loc="outside right upper") if names[0] else None
        figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
        figure.set_layout_engine("constrained")

    write_picture(path, fill, size=(10.0, 4.2), resolution=120)


def _draw_setting(
    panel: Axes, place: int, setting: str, runs: Sequence[Result], *, axis: Axis, column: str
) -> None:
    summary = band([curve_of(result, axis, column) for result in runs])
    if summary is None:
        return
    x, mean, deviation = summary
    colour, line, marker = style_of(place)
    label = f"{setting} (n = {len(runs)})"
    panel.plot(x, mean, line, color=colour, marker=marker, markersize=3.5, label=label)
    panel.fill_between(x, mean - deviation, mean + deviation, color=colour, alpha=0.15, linewidth=0)


def style_of(place: int) -> tuple[str, str, str]:
    """Return colour, line and marker of the setting at a place in its study."""
    return COLOURS[place % len(COLOURS)], LINES[place % len(LINES)], MARKERS[place % len(MARKERS)]


THRESHOLDS = (100.0, 300.0)  # returns; the paper reports the first
LIMIT_MINUTES = 5.0  # what --budget study may take
SCORES = (
    ("return, standard", "standard", "return_end", "{:.1f}"),
    ("survival, standard", "standard", "survival", "{:.3f}"),
    ("survival, hard", "hard", "survival", "{:.3f}"),
    ("survival, robust", "robust", "survival", "{:.3f}"),
    ("steady xy error, m", "standard", "steady_xy_m", "{:.3f}"),
    ("action step", "standard", "action_step", "{:.3f}"),
)
By = Mapping[str, Sequence[Result]]  # setting -> results, in the study's order


def write_table(name: str, folder: Path) -> str:
    """Write the study's Markdown and picture beside its folder of results, return the Markdown.

    Raises:
        UserError: There are no results, or they are not comparable.
    """
    study = find_study(name)
    results = load_results(study, folder)
    picture = folder.with_suffix(".png")
    done = {label: finished(runs) for label, runs in results.items()}
    draw_curves(picture, done, axis=study.axis, title=study.question)
    text = format_table(name, study, results, picture=picture.name)
    write_atomically(folder.with_suffix(".md"), text.encode())
    return text


def load_results(study: Study, folder: Path) -> dict[str, list[Result]]:
    """Return the results of each setting, by seed.

    Raises:
        UserError: There are none, or two of them were not made alike.
    """
    found: dict[str, list[Result]] = {}
    for setting in study.settings:
        paths = sorted(folder.glob(f"{setting.label}-[0-9]*.json"), key=_seed_of)
        runs = [result for path in paths if (result := read_result(path)) is not None]
        for path, result in zip(paths, runs, strict=True):
            options = list(setting.options_of(runs[0]["budget"]))
            wanted = {"script": setting.script, "options": options}
            check_same(path, result, {**runs[0], **wanted})
        found[setting.label] = runs
    everything = [result for runs in found.values() for result in runs]
    if not everything:
        raise UserError(f"{folder} holds no results yet; run the study first")
    if any(x["test"] != everything[0]["test"] for x in everything):
        raise UserError(f"the results in {folder} come from different tests; run them again")
    return found


def finished(results: Iterable[Result]) -> list[Result]:
    """Return the results of runs that did not fail."""
    return [result for result in results if result["status"] == "done"]


def format_table(name: str, study: Study, results: By, *, picture: str) -> str:
    """Return a study as Markdown: what was asked, what was done, the table, the picture."""
    titles = [title for title, _, _, _ in SCORES]
    titles += [f"{study.axis} to {threshold:.0f}" for threshold in THRESHOLDS]
    titles = ["setting", "runs", *titles, "minutes"]
    lines = [f"# {study.question}", "", _story(name, results), ""]
    lines += [markdown_row(titles), markdown_row(["---"] * len(titles))]
    lines += [markdown_row(cells(label, runs, study.axis)) for label, runs in results.items()]
    return "\n".join([*lines, "", f"![learning curves]({picture})", ""])


def cells(label: str, runs: Sequence[Result], axis: Axis) -> list[str]:
    """Return the table's cells of one setting."""
    done = finished(runs)
    failed = len(runs) - len(done)
    count = f"{len(done)}" + (f" ({failed} failed)" if failed else "")
    scores = [show(score(done, cell, name), form) for _, cell, name, form in SCORES]
    reached = [show_reached(time_to(done, axis, threshold), axis) for threshold in THRESHOLDS]
    return [label, count, *scores, *reached, show(spread(map(_minutes, done)), "{:.1f}")]


def show(value: Spread | None, form: str) -> str:
    """Return `mean ± deviation`, the mean alone for a single run, a dash for none."""
    if value is None:
        return "-"
    mean = form.format(value.mean)
    return mean if math.isnan(value.deviation) else f"{mean} ± {form.format(value.deviation)}"


def show_reached(reached: Reached, axis: Axis) -> str:
    """Return when a threshold was reached, in thousands but for minutes, and by how many runs."""
    if not reached.runs:
        return "-"
    if reached.spread is None:
        return "never"
    unit, suffix = (1.0, "") if axis == "minutes" else (1e3, " k")
    scaled = Spread(reached.spread.mean / unit, reached.spread.deviation / unit, 0)
    some = f" ({reached.spread.count} of {reached.runs})"
    every = reached.spread.count == reached.runs
    return show(scaled, "{:.1f}") + suffix + ("" if every else some)


def _story(name: str, results: By) -> str:
    done = [result for runs in results.values() for result in finished(runs)]
    everything: list[Result] = [result for runs in results.values() for result in runs]
    one, commits = everything[0], sorted({_short(x["git"]) for x in everything})
    budget = "" if one["budget"] == "study" else f" --budget {one['budget']}"
    longest = max((_minutes(x) or 0.0 for x in done), default=0.0)
    memory = max((x["peak_memory_mb"] for x in done), default=0)
    return (
        f"`python training/sweep.py {name}{budget}`: mean ± sample standard deviation over "
        f"{_seeds(everything)}. Fixed test on the batched twin: {one['test']['episodes']} episodes "
        f"a cell, seed {one['test']['seed']}, returns with the end coefficients. Budget "
        f"`{one['budget']}`{_limit(one)}: at most {longest:.1f} minutes of processor time and "
        f"{memory} MB a run. `to 100` and `to 300`: when validation first showed that return; "
        "minutes are of processor time. "
        f"Commit {', '.join(commits)}."
    )


def _limit(result: Result) -> str:
    study = result["budget"] == "study"
    return f" (no more than {LIMIT_MINUTES:.0f} minutes on one core)" if study else ""


def _short(commit: str) -> str:
    name, changes, _ = commit.partition("+")
    return name[:7] + (" with changes" if changes else "")


def _seeds(results: Sequence[Result]) -> str:
    seeds = sorted({result["seed"] for result in results})
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _minutes(result: Result) -> float | None:
    """Return the processor time of a run, None if only that of its last part is known."""
    return None if result["resumed"] else result["processor_seconds"] / 60.0


def _seed_of(path: Path) -> int:
    return int(path.stem.rpartition("-")[2])

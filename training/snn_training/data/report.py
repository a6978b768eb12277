"""What is inside a dataset: a table for the screen and a picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.report.plots import BLUE, MOTORS, write_picture
from snn_controller.vehicle import BODY_RATES, POSITION_ERROR, VELOCITY_ERROR
from snn_training.data.episodes import EpisodeSet, Rows, take

if TYPE_CHECKING:
    from matplotlib.figure import Figure


NUMBERS = {  # label -> columns of the observation
    "position error m": POSITION_ERROR,
    "velocity error m/s": VELOCITY_ERROR,
    "body rate rad/s": BODY_RATES,
}
SATURATED = 0.99  # an action beyond this is at its limit
PLOTTED = 50_000  # points of a picture at most


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

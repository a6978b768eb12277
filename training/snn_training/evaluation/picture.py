"""A picture of a few flights of a policy in training: errors, tilt, throttle and spikes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log import FlightColumns
from snn_controller.report.plots import (
    GREY,
    INK,
    MOTORS,
    draw_raster,
    head,
    name_lines,
    note,
    write_picture,
)
from snn_controller.vehicle import Array, tilt_angle
from snn_sim.task import CONTROL_RATE
from snn_training.evaluation.flights import Episode, fly, load_candidate
from snn_training.evaluation.metrics import episode_columns, step_times
from snn_training.evaluation.scenarios import ORIGIN, draw_episode
from snn_training.rollouts import BatchedPolicy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SCENARIO = "standard"
FLIGHTS = 4  # as many as there are colours
SIZE = (9.0, 8.0)  # inch
RESOLUTION = 90  # dots per inch


def draw_rollout(policy: Path, picture: Path, *, title: str = "") -> None:
    """Fly a policy file from a few of the validation's starts in the twin and draw the flights.

    The starts are always the same, so pictures of one run compare.

    Raises:
        UserError: The policy is unusable or the picture cannot be written.
    """
    candidate = load_candidate(str(policy), SCENARIO, sim="batched", count=FLIGHTS)
    quadrotor, network = candidate.quadrotor, candidate.policy
    draws = [draw_episode(SCENARIO, 0, i, quadrotor, split="validation") for i in range(FLIGHTS)]
    ticks: list[dict[str, NDArray[np.bool_]]] = []  # what the network of the first drone fires

    def watch() -> None:
        fired = network.spikes if isinstance(network, BatchedPolicy) else {}
        ticks.append({layer: spikes[0] for layer, spikes in fired.items()})

    episodes = fly(candidate, draws, "batched", watch=watch)
    flown = ticks[: len(episodes[0].actions)]
    spikes = {layer: np.stack([tick[layer] for tick in flown]) for layer in flown[0]}
    flight = episode_columns(episodes[0], ORIGIN, period=1.0 / CONTROL_RATE, spikes=spikes)
    hover = quadrotor.hover_throttle
    write_picture(
        picture,
        lambda figure: _draw(figure, episodes, flight, hover, title),
        size=SIZE,
        resolution=RESOLUTION,
    )


def _draw(
    figure: Figure, episodes: list[Episode], flight: FlightColumns, hover: float, title: str
) -> None:
    survivors = sum(not episode.crashed for episode in episodes)
    text = f"{title}   {survivors} of {len(episodes)} flights survived".strip()
    figure.text(0.09, 0.965, text, fontsize=13, fontweight="bold", va="center")
    grid = figure.add_gridspec(
        4, 1, height_ratios=(1, 1, 1, 2.2 if flight.spikes else 0.01),
        left=0.09, right=0.98, top=0.9, bottom=0.06, hspace=0.4,
    )  # fmt: skip
    errors = figure.add_subplot(grid[0])
    tilts, throttles = (figure.add_subplot(grid[row], sharex=errors) for row in (1, 2))
    _draw_flights(errors, episodes, [position_error(x) for x in episodes])
    head(errors, "Position error [m]")
    note(errors, "each flight in its colour; x: crashed")
    _draw_flights(tilts, episodes, [np.rad2deg(tilt_angle(x.states.rotation)) for x in episodes])
    head(tilts, "Tilt [deg]")
    _draw_throttle(throttles, flight, hover)
    last = draw_raster(figure, grid[3], flight, errors) or [throttles]
    for axes in (errors, tilts, throttles, *last):
        axes.tick_params(labelbottom=axes is last[-1])
    last[-1].set_xlabel("time [s]", labelpad=2)


def position_error(episode: Episode) -> Array:
    """Return the distance (steps,) in m from the origin."""
    return np.linalg.norm(episode.states.position, axis=1)


def _draw_flights(axes: Axes, episodes: list[Episode], values: list[Array]) -> None:
    for episode, line, colour in zip(episodes, values, MOTORS, strict=True):
        time = step_times(len(line), 1.0 / CONTROL_RATE)
        axes.plot(time, line, color=colour)
        if episode.crashed:
            axes.plot(time[-1:], line[-1:], color=INK, marker="x", markersize=5)
    axes.set_ylim(bottom=0.0)


def _draw_throttle(axes: Axes, flight: FlightColumns, hover: float) -> None:
    for motor, colour in enumerate(MOTORS):
        label = f"motor {motor + 1}"
        axes.plot(flight.time, flight.command[:, motor], color=colour, label=label, linewidth=0.7)
    axes.axhline(hover, color=GREY, linestyle=":")
    axes.set_ylim(-0.02, 1.02)
    head(axes, "Throttle of the first flight")
    name_lines(axes, len(MOTORS))

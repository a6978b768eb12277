"""Score a policy, or the geometric guide, on the fixed test in either simulator.

The episodes are the same in both, and the scores do not depend on the number of workers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args

import tyro

from snn_controller.errors import UserError
from snn_controller.policy import CONSTANTS_PJ, network_size
from snn_controller.system import write_atomically
from snn_controller.vehicle import Quadrotor
from snn_training.common import git_hash, run_jobs
from snn_training.evaluation.flights import Episode, Simulator, fly, load_candidate
from snn_training.evaluation.metrics import (
    Scores,
    score_episode,
    score_flight,
    score_network,
    summarise,
)
from snn_training.evaluation.scenarios import (
    ORIGIN,
    SCENARIOS,
    STREAMS,
    TRACKS,
    Split,
    draw_episode,
    draw_flight,
)
from snn_training.evaluation.table import format_report

DEFAULT_SCENARIOS = ("easy", "standard", "hard")
BATCH = {"pybullet": 10, "batched": 500}  # episodes a task of a worker process
TRACK_BATCH = {"pybullet": 5, "batched": 100}  # flights, which are longer


@dataclass(frozen=True)
class Args:
    """Score a policy on the fixed test: 100 Hz, 500 steps, crash outside a box of 0.6 m."""

    policy: str
    """A policy.onnx file, or `geometric` for the guide on the true state."""
    sim: Simulator = "batched"
    """Simulator: the compiled batched twin, or PyBullet, which takes about 15 times as long."""
    cells: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--scenarios",))] = DEFAULT_SCENARIOS
    """Scenarios of the fixed test: easy, standard, hard, published, robust, noisy."""
    tracks: tuple[str, ...] = ()
    """Tracks to fly as well: hover, step, figure8, figure8_fast, square."""
    episodes: int = 200
    """Episodes per scenario; `easy` has a single start and is flown once."""
    flights: int = 20
    """Flights per track."""
    seed: int = 0
    """Seed of the starts."""
    split: Split = "test"
    """Episodes to fly: the test's, or the validation's, which policies are chosen by."""
    workers: int = 1
    """Processes to spread the episodes over."""
    target_return: float | None = None
    """Return to ask of a policy that takes one; its own if left out."""
    reset_every_tick: bool = False
    """Take the policy's memory away, to see what it is worth."""
    json: Path | None = None
    """File for all scores with their confidence intervals."""


@dataclass(frozen=True)
class Job:
    """Some episodes of one scenario or track."""

    args: Args
    name: str
    episodes: range


def main(args: Args) -> None:
    """Score, print the table and save the scores."""
    report = evaluate(args)
    sys.stdout.write(format_report(report))
    if args.json is not None:
        content = json.dumps(report, indent=2, allow_nan=False) + "\n"
        write_atomically(args.json, content.encode())


def evaluate(args: Args) -> dict[str, Any]:
    """Return the report: what was scored, and per scenario and track each score with its interval.

    Raises:
        UserError: A scenario or track is unknown, a number impossible or the policy unusable.
    """
    _check(args)
    # an unusable policy is refused before any worker starts
    load_candidate(args.policy, "", sim="pybullet", count=1, target_return=args.target_return)
    rows: dict[str, dict[int, Scores]] = {name: {} for name in (*args.cells, *args.tracks)}
    for job, scores in run_jobs(
        run_job, list(_jobs(args)), workers=args.workers, size=lambda job: len(job.episodes)
    ):
        rows[job.name].update(zip(job.episodes, scores, strict=True))
    scored = {name: summarise([x[i] for i in sorted(x)]) for name, x in rows.items()}
    return {
        "policy": args.policy,
        "sim": args.sim,
        "git": git_hash(),
        "split": args.split,
        "seed": args.seed,
        "episodes": args.episodes,
        "flights": args.flights,
        "reset_every_tick": args.reset_every_tick,
        **({} if args.target_return is None else {"target_return": args.target_return}),
        "energy_constants_pj": CONSTANTS_PJ,
        "cells": {name: scored[name] for name in args.cells},
        "tracks": {name: scored[name] for name in args.tracks},
    }


def run_job(job: Job) -> list[Scores]:
    """Fly the episodes of a job and return their scores in order."""
    args, name = job.args, job.name
    draw = draw_flight if name in args.tracks else draw_episode
    candidate = load_candidate(
        args.policy,
        name,
        sim=args.sim,
        count=len(job.episodes),
        forget=args.reset_every_tick,
        target_return=args.target_return,
    )
    quadrotor, policy = candidate.quadrotor, candidate.policy
    size = None if policy is None else network_size(policy.metadata)
    draws = [draw(name, args.seed, i, quadrotor, split=args.split) for i in job.episodes]
    episodes = fly(candidate, draws, args.sim)
    return [_score(job, episode, quadrotor) | score_network(episode, size) for episode in episodes]


def _score(job: Job, episode: Episode, quadrotor: Quadrotor) -> Scores:
    if job.name in job.args.tracks:
        return score_flight(episode, job.name)
    return score_episode(episode, ORIGIN, hover_throttle=quadrotor.hover_throttle)


def _check(args: Args) -> None:
    for option, given, known in (
        ("sim", (args.sim,), get_args(Simulator)),
        ("split", (args.split,), tuple(STREAMS)),
        ("cell", args.cells, tuple(SCENARIOS)),
        ("track", args.tracks, TRACKS),
    ):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise UserError(f"unknown {option} '{unknown[0]}'; choose from: {', '.join(known)}")
    if not args.cells and not args.tracks:
        raise UserError(f"nothing to fly; choose --cells from: {', '.join(SCENARIOS)}, or --tracks")
    if min(args.episodes, args.flights, args.workers) < 1 or args.seed < 0:
        raise UserError(
            "--episodes, --flights and --workers must be at least 1, and --seed at least 0"
        )


def _jobs(args: Args) -> Iterator[Job]:
    for cell in args.cells:
        count = 1 if SCENARIOS[cell].single_start else args.episodes
        yield from _split(args, cell, count, BATCH[args.sim])
    for track in args.tracks:
        yield from _split(args, track, args.flights, TRACK_BATCH[args.sim])


def _split(args: Args, name: str, count: int, batch: int) -> Iterator[Job]:
    for first in range(0, count, batch):
        yield Job(args, name, range(first, min(first + batch, count)))

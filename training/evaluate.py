"""Score a policy, or the geometric guide, on the cells of the fixed test in either simulator.

The episodes are the same in both, and the scores do not depend on the number of workers.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from snn_controller.errors import UserError
from snn_controller.guide import GuideGains
from snn_controller.policy import Policy
from snn_controller.quadrotor import Quadrotor, load_quadrotor
from snn_controller.rate_control import RateGains
from snn_controller.state import Reference

from sim.drone import CONTROL_RATE, Drone
from training.batched_episodes import fly_batch
from training.batched_policy import BatchedPolicy
from training.cells import CELLS, STREAMS, Draw, Split, draw_episode
from training.command import run_command
from training.episode import Episode, fly_episode
from training.pilots import GeometricPilot, Pilot, PolicyPilot
from training.provenance import git_hash
from training.scoring import Scores, score_episode, summarise

DEFAULT_CELLS = ("easy", "standard", "hard")
Simulator = Literal["batched", "pybullet"]
GEOMETRIC = "geometric"
GEOMETRIC_AIRFRAME = "crazyflie21"
EASY_LEAD = 2.0  # motor-lag lead of the calibration controller where it starts at the target
BATCH = {"pybullet": 10, "batched": 500}  # episodes a task of a worker process
ORIGIN = Reference(np.zeros(3))
TABLE = (
    ("return_start", "return start", "{:.1f}"),
    ("return_end", "return end", "{:.1f}"),
    ("survival", "survival", "{:.3f}"),
    ("rms_xy_m", "rms xy m", "{:.3f}"),
    ("steady_xy_m", "steady xy m", "{:.3f}"),
    ("rms_z_m", "rms z m", "{:.3f}"),
    ("action_step", "action step", "{:.3f}"),
    ("synaptic_ops", "synaptic ops", "{:.0f}"),
)


@dataclass(frozen=True)
class Args:
    """Score a policy on the fixed test: 100 Hz, 500 steps, crash outside a box of 0.6 m."""

    policy: str
    """A policy.onnx file, or `geometric` for the guide on the true state."""
    sim: Simulator = "batched"
    """Simulator: the compiled batched twin, or PyBullet, which is about a hundred times slower."""
    cells: tuple[str, ...] = DEFAULT_CELLS
    """Cells of the fixed test: easy, standard, hard, published, robust, noisy."""
    episodes: int = 200
    """Episodes per cell; `easy` has a single start and is flown once."""
    seed: int = 0
    """Seed of the starts."""
    split: Split = "test"
    """Episodes to fly: the test's, or the validation's, which policies are chosen by."""
    workers: int = 1
    """Processes to spread the episodes over."""
    reset_every_tick: bool = False
    """Take the policy's memory away, to see what it is worth."""
    json: Path | None = None
    """File for all scores with their confidence intervals."""


@dataclass(frozen=True)
class Job:
    """Some episodes of one cell."""

    args: Args
    cell: str
    episodes: range


def main(args: Args) -> None:
    """Score, print the table and save the scores."""
    report = evaluate(args)
    sys.stdout.write(format_table(report))
    if args.json is not None:
        try:
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
        except OSError as error:
            raise UserError(f"{args.json} cannot be written ({error}); choose another") from error


def evaluate(args: Args) -> dict[str, Any]:
    """Return the report: what was scored, and per cell each score with its 95 % interval.

    Raises:
        UserError: A cell is unknown, a number impossible or the policy unusable.
    """
    _check(args)
    load_pilot(args.policy, args.cells[0])  # an unusable policy is refused before any worker starts
    rows: dict[str, dict[int, Scores]] = {cell: {} for cell in args.cells}
    jobs = [job for cell in args.cells for job in _split(args, cell)]
    for job, scores in _run(jobs, args.workers):
        rows[job.cell].update(zip(job.episodes, scores, strict=True))
    return {
        "policy": args.policy,
        "sim": args.sim,
        "git": git_hash(),
        "split": args.split,
        "seed": args.seed,
        "episodes": args.episodes,
        "reset_every_tick": args.reset_every_tick,
        "cells": {
            cell: summarise([by_number[number] for number in sorted(by_number)])
            for cell, by_number in rows.items()
        },
    }


def run_job(job: Job) -> list[Scores]:
    """Fly the episodes of a job and return their scores in order."""
    args, cell = job.args, job.cell
    batch = len(job.episodes) if args.sim == "batched" else None
    pilot, quadrotor = load_pilot(args.policy, cell, batch=batch, forget=args.reset_every_tick)
    guide = GeometricPilot(quadrotor, GuideGains()) if CELLS[cell].guided_steps else None
    draws = [
        draw_episode(cell, args.seed, number, quadrotor, split=args.split)
        for number in job.episodes
    ]
    fly = fly_batch if args.sim == "batched" else _fly_in_pybullet
    episodes = fly(quadrotor, pilot, draws, guide=guide)
    return [
        score_episode(episode, ORIGIN, hover_throttle=quadrotor.hover_throttle)
        for episode in episodes
    ]


def load_pilot(
    policy: str, cell: str, *, batch: int | None = None, forget: bool = False
) -> tuple[Pilot, Quadrotor]:
    """Return what flies a cell, and the airframe it flies.

    Args:
        policy: A file, or `geometric`.
        cell: Cell of the fixed test.
        batch: Number of drones to fly at once; None flies one at a time.
        forget: Reset the policy every tick.

    Raises:
        UserError: The policy file is unusable or of another control rate than the test's.
    """
    if policy == GEOMETRIC:
        quadrotor = load_quadrotor(GEOMETRIC_AIRFRAME)
        rate = RateGains(lead=EASY_LEAD) if cell == "easy" else RateGains()
        return GeometricPilot(quadrotor, GuideGains(rate=rate)), quadrotor
    loaded = Policy.load(policy, control_rate=CONTROL_RATE)
    quadrotor = load_quadrotor(loaded.metadata.airframe)
    ticking = loaded if batch is None else BatchedPolicy(loaded, batch)
    return PolicyPilot(ticking, quadrotor, reset_every_tick=forget), quadrotor


def _fly_in_pybullet(
    quadrotor: Quadrotor, pilot: Pilot, draws: list[Draw], *, guide: Pilot | None = None
) -> list[Episode]:
    with Drone(quadrotor, control_rate=CONTROL_RATE, ground=False) as drone:
        return [
            fly_episode(
                drone,
                pilot,
                draw.state,
                draw.rotors,
                ORIGIN,
                conditions=draw.conditions,
                guide=guide,
            )
            for draw in draws
        ]


def format_table(report: dict[str, Any]) -> str:
    """Return the means of a report as a text table, one cell of the test a line."""
    lines = ["".join(f"{title:>14}" for title in ("cell", *(title for _, title, _ in TABLE)))]
    for cell, scores in report["cells"].items():
        means = [(scores[name]["mean"], form) for name, _, form in TABLE]
        texts = ["-" if mean is None else form.format(mean) for mean, form in means]
        lines.append("".join(f"{text:>14}" for text in (cell, *texts)))
    return "\n".join(lines) + "\n"


def _check(args: Args) -> None:
    if args.sim not in get_args(Simulator):
        raise UserError(f"unknown sim '{args.sim}'; choose from: {', '.join(get_args(Simulator))}")
    if args.split not in STREAMS:
        raise UserError(f"unknown split '{args.split}'; choose from: {', '.join(STREAMS)}")
    unknown = [cell for cell in args.cells if cell not in CELLS]
    if unknown or not args.cells:
        raise UserError(f"unknown cell {unknown}; choose from: {', '.join(CELLS)}")
    if args.episodes < 1 or args.workers < 1 or args.seed < 0:
        raise UserError("--episodes and --workers must be at least 1, and --seed at least 0")


def _split(args: Args, cell: str) -> list[Job]:
    count, batch = 1 if CELLS[cell].single_start else args.episodes, BATCH[args.sim]
    return [
        Job(args, cell, range(first, min(first + batch, count))) for first in range(0, count, batch)
    ]


def _run(jobs: list[Job], workers: int) -> Iterator[tuple[Job, list[Scores]]]:
    """Yield each job with its scores, in any order, behind a progress bar."""
    from tqdm import tqdm

    with tqdm(total=sum(len(job.episodes) for job in jobs), unit="episode") as progress:
        for job, scores in _run_here(jobs) if workers == 1 else _run_spread(jobs, workers):
            progress.update(len(job.episodes))
            yield job, scores


def _run_here(jobs: list[Job]) -> Iterator[tuple[Job, list[Scores]]]:
    for job in jobs:
        yield job, run_job(job)


def _run_spread(jobs: list[Job], workers: int) -> Iterator[tuple[Job, list[Scores]]]:
    # spawned, because a forked copy of a physics world or an ONNX session is not safe to use
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        submitted = _submit(executor, jobs)
        try:
            for future in as_completed(submitted):
                yield submitted[future], future.result()
        finally:
            executor.shutdown(cancel_futures=True)


def _submit(executor: Executor, jobs: list[Job]) -> dict[Future[list[Scores]], Job]:
    return {executor.submit(run_job, job): job for job in jobs}


if __name__ == "__main__":
    run_command(main, Args)

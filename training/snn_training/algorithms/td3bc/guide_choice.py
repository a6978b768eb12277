"""The guide that `--guide` names, trained first where it is to be, and how well it flies."""

from __future__ import annotations

import csv
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import ActionKind, Quadrotor
from snn_sim.envs import make_drones
from snn_sim.task import END_COEFFICIENTS, EPISODE_STEPS
from snn_training.algorithms.apg import train as apg
from snn_training.algorithms.td3 import train as td3
from snn_training.evaluation import ReportingConfig
from snn_training.rollouts import VALIDATION_SEED, Collector, open_guide
from snn_training.runs import CHECKPOINT, LOG, POLICY

GUIDE_FOLDER = "guide"  # in the run's folder, where the guide is trained
GUIDE_INTERVALS = {"apg": 18, "td3": 12}  # for how long, enough to guide


def train_guide(
    learner: str,
    folder: Path,
    *,
    intervals: int,
    seed: int,
    airframe: str,
    threads: int,
    action_kind: ActionKind = "motors",
) -> str:
    """Train a guide in a run's folder, or go on where it was interrupted.

    Args:
        learner: One of `GUIDE_INTERVALS`.
        folder: The run's folder.
        intervals: How long it learns; 0 takes the learner's number.
        seed: Of its training.
        airframe: That it flies.
        threads: Of PyTorch.
        action_kind: What it commands; an `apg` guide can command either kind.

    Returns:
        The guide to open.

    Raises:
        KeyboardInterrupt: Its training was interrupted, so there is nothing to go on with.
        UserError: The folder holds a guide that was trained otherwise, or TD3 cannot train it.
    """
    if learner != "apg" and action_kind != "motors":
        raise UserError(
            "TD3 guides command motors; choose --guide apg for --action-kind " + action_kind
        )
    guide = folder / GUIDE_FOLDER
    script: Any = apg if learner == "apg" else td3  # both have an Args with these options
    intervals = intervals or GUIDE_INTERVALS[learner]
    quiet = ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0)
    script.main(
        script.Args(
            name=GUIDE_FOLDER,
            folder=folder,
            resume=(guide / CHECKPOINT).exists(),
            intervals=intervals,
            seed=seed,
            airframe=airframe,
            threads=threads,
            reporting=quiet,
            **({"action_kind": action_kind} if learner == "apg" else {}),
        )
    )
    with (guide / LOG).open() as file:
        if len(list(csv.DictReader(file))) < intervals:
            raise KeyboardInterrupt
    return str(guide / POLICY if learner == "apg" else guide)


def guide_return(
    choice: str,
    quadrotor: Quadrotor,
    *,
    seed: int,
    episodes: int,
    action_kind: ActionKind = "motors",
) -> float:
    """Return the mean return (end coefficients) of a guide on a run's validation starts."""
    drones = make_drones(
        "batched",
        quadrotor,
        episodes,
        action_kind=action_kind,
        starts=("standard",),
        seed=VALIDATION_SEED + seed,
    )
    collector = Collector(
        drones, blank_share=1.0, rng=np.random.default_rng(0), action_kind=action_kind
    )
    guide, total = open_guide(choice, episodes, action_kind), 0.0
    flying, weights = np.ones(episodes, np.bool_), np.array(astuple(END_COEFFICIENTS))
    for _ in range(EPISODE_STEPS):
        flown = collector.step(guide.act(collector))
        total += float((flown.reward_parts[flying] @ weights).sum())
        guide.heed(flown.actions, flown.terminated | flown.truncated)
        flying &= ~flown.terminated
    return total / episodes

"""TD3BC without flights of its own: the spiking policy learns from a guide's flights alone.

    python training/td3bc.py --name my-run

A guide flies a data set, disturbed so that it has to recover; then the policy learns from it as in
`jsrl.py`, by the same gradient steps. What the data set never shows, it has to guess.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field

import numpy as np
from tqdm import tqdm

from snn_controller.vehicle import Quadrotor, load_quadrotor
from snn_sim.task import EPISODE_STEPS
from snn_training.algorithms.interval import say_stopped
from snn_training.algorithms.td3bc.options import (
    PYBULLET,
    SEQUENCE_STUDY,
    SequenceArgs,
    drones_of,
    sequence_rules,
    use_device,
)
from snn_training.algorithms.td3bc.run import SequenceRun, choose_guide, learn, make_run
from snn_training.common import require, with_budget, with_simulator
from snn_training.evaluation import Reporter
from snn_training.networks import numpy_stepper
from snn_training.rollouts import Exploration
from snn_training.runs import POLICY, open_run

STUDY = {**SEQUENCE_STUDY, "flown_ticks": 750}  # as many as a study's replay holds


@dataclass
class Args(SequenceArgs):
    """Train the spiking policy by TD3BC on a guide's flights."""

    name: str = "td3bc"
    """Name of the run; its folder is runs/NAME."""
    flown_ticks: int = 1500
    """Ticks that every drone flies for the data set."""
    exploration: Exploration = field(default_factory=lambda: Exploration(policy=0.0, guide=0.3))
    """Noise on the flown actions; only the guide's matters here."""


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps the last checkpoint, from which --resume goes on."""
    args = with_simulator(with_budget(args, STUDY), PYBULLET)
    check(args)
    use_device(args)
    quadrotor = load_quadrotor(args.airframe)
    try:
        guide = choose_guide(args)
        with closing(drones_of(args, quadrotor)) as drones:
            run = make_run(args, "td3bc", guide, drones, all_guided)
            open_run(run, asdict(args), seed=args.seed, resume=args.resume)
            with Reporter(run.folder, args.reporting, done=len(run.rows)) as reporter:
                train(args, run, quadrotor, reporter)
                tqdm.write(f"wrote {run.folder / POLICY}")
                reporter.finish()
    except KeyboardInterrupt:
        say_stopped(args.folder / args.name)


def train(args: Args, run: SequenceRun, quadrotor: Quadrotor, reporter: Reporter) -> None:
    """Let the guide fly the data set, then learn from it, from where the run stands."""
    network = run.learner.cpu_actor()
    for _ in tqdm(range(run.replay.added, args.flown_ticks), desc="data set", unit="tick"):
        run.replay.add(run.collector.step(network, numpy_stepper(network), all_guided))
    learn(args, run, quadrotor, reporter, lambda progress: None)


def all_guided(count: int) -> np.ndarray:
    """Return that the guide flies whole episodes (count,)."""
    return np.full(count, EPISODE_STEPS)


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    least, most = args.learner.sequence, args.replay // max(args.drones, 1)
    allowed = f"{least} (a window) to {most} (what --replay keeps of every drone)"
    flown = {"flown-ticks": (least <= args.flown_ticks <= most, allowed)}
    require({**sequence_rules(args), **flown})

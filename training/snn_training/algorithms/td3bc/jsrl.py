"""TD3BC with a jump start (JSRL): trains the spiking policy in flight, on the batched twin.

    python training/jsrl.py --name my-run

A guide flies the beginning of each episode and the spiking policy, its state warm, the rest; the
policy's share grows until it flies alone. It learns from all flights: to do what the guide would
have done, and what twin critics value. `--resume` goes on with an interrupted run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from snn_controller.vehicle import Quadrotor, load_quadrotor
from snn_sim.task import EPISODE_STEPS
from snn_training.algorithms.interval import say_stopped
from snn_training.algorithms.td3bc.guide_choice import guide_return
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
from snn_training.rollouts import JumpStart, gates_passed, guided_ticks, jump_start_rules
from snn_training.runs import POLICY, open_run

STUDY = {**SEQUENCE_STUDY, "drones": 256, "ticks": 4}  # room for the jump start to grow


@dataclass
class Args(SequenceArgs):
    """Train the spiking policy by TD3BC with a jump start."""

    name: str = "jsrl"
    """Name of the run; its folder is runs/NAME."""
    first_ticks: int = 200
    """Ticks that are flown before the first gradient step."""
    ticks: int = 2
    """Ticks that are flown before each further one."""
    jump_start: JumpStart = field(default_factory=JumpStart)
    """Who flies when."""


def main(args: Args) -> None:
    """Train as the arguments say; Ctrl-C keeps the last checkpoint, from which --resume goes on."""
    args = with_simulator(with_budget(args, STUDY), PYBULLET)
    check(args)
    use_device(args)
    quadrotor = load_quadrotor(args.airframe)
    try:
        guide = choose_guide(args)
        with closing(drones_of(args, quadrotor)) as drones:
            run = make_run(args, "jsrl", guide, drones, first_horizons(args))
            open_run(run, asdict(args), seed=args.seed, resume=args.resume)
            with Reporter(run.folder, args.reporting, done=len(run.rows)) as reporter:
                train(args, run, guide, quadrotor, reporter)
                tqdm.write(f"wrote {run.folder / POLICY}")
                reporter.finish()
    except KeyboardInterrupt:
        say_stopped(args.folder / args.name)


def train(
    args: Args, run: SequenceRun, guide: str, quadrotor: Quadrotor, reporter: Reporter
) -> None:
    """Fly a little, then fly and learn, from where the run stands."""
    level = guide_level(args, guide, quadrotor)

    def fly_on(progress: float) -> None:
        for _ in range(args.ticks):
            fly(args, run, progress, level)

    for _ in range(max(args.first_ticks - run.replay.added, 0)):
        fly(args, run, 0.0, level)
    learn(args, run, quadrotor, reporter, fly_on)


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    least = args.learner.sequence
    first = (least <= args.first_ticks <= 100_000, f"{least} (a window) to 100000")
    jump = jump_start_rules(args.jump_start, EPISODE_STEPS)
    ticks = (1 <= args.ticks <= 1000, "1 to 1000")
    require({**sequence_rules(args), **jump, "first-ticks": first, "ticks": ticks})


def first_horizons(args: Args) -> Callable[[int], NDArray[np.int64]]:
    """Return what draws the ticks that the guide flies in the run's very first episodes."""
    rng = np.random.default_rng(args.seed)
    return lambda count: horizons(args, [], 0.0, 0.0, count, rng)


def fly(args: Args, run: SequenceRun, progress: float, level: float) -> None:
    """Fly one tick with every drone and store it."""
    returns = [row["return_end"] for row in run.rows]
    network = run.learner.cpu_actor()
    flown = run.collector.step(
        network,
        numpy_stepper(network),
        lambda count: horizons(args, returns, level, progress, count, run.rng),
        progress=progress,
    )
    run.replay.add(flown)


def horizons(
    args: Args,
    returns: list[float],
    level: float,
    progress: float,
    count: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return how many ticks (count,) the guide flies in the episodes that begin now.

    Args:
        args: Options.
        returns: Those of the validations so far.
        level: Return of the guide, which gates the growth where growth is gated.
        progress: Share of the run that is done.
        count: Episodes.
        rng: Source of randomness.
    """
    passed = gates_passed(args.jump_start, returns, level)
    return guided_ticks(
        args.jump_start, progress, passed, episode=EPISODE_STEPS, count=count, rng=rng
    )


def guide_level(args: Args, guide: str, quadrotor: Quadrotor) -> float:
    """Return the guide's return on the validation starts, where the schedule asks for it."""
    if args.jump_start.schedule != "gated":
        return 0.0
    return guide_return(
        guide,
        quadrotor,
        seed=args.seed,
        episodes=args.validation,
        action_kind=args.action_kind,
    )

"""TD3BC with a jump start (JSRL): trains the spiking policy in flight, on the batched twin.

    python training/jsrl.py --name my-run

A guide flies the beginning of each episode and the spiking policy, its state warm, the rest; the
policy's share grows until it flies alone. It learns from all flights: to do what the guide would
have done, and what twin critics value. `--resume` goes on with an interrupted run.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray
from snn_controller.quadrotor import Quadrotor, load_quadrotor
from tqdm import tqdm

from sim.drones import Drones
from sim.rules import EPISODE_STEPS
from training.budget import with_budget, with_simulator
from training.collector import Collector
from training.command import run_command
from training.guide_choice import guide_return, open_guide
from training.jump_start import JumpStart, gates_passed, guided_ticks, jump_start_rules
from training.learner_run import LearnerRun, open_run
from training.networks import numpy_stepper
from training.replay import Replay
from training.reporting import Reporter, ReportingConfig
from training.rules import require
from training.runs import POLICY
from training.sequence_collector import PRIVILEGED_SIZE, SequenceCollector
from training.sequence_learner import SequenceLearner
from training.sequence_rules import sequence_rules
from training.sequence_run import (
    SequenceArgs,
    SequenceRun,
    choose_guide,
    drones_of,
    learn,
    say_stopped,
    tracks_of,
    use_device,
)

STUDY = {
    "intervals": 6,
    "updates": 150,
    "drones": 256,
    "replay": 300_000,
    "reporting": ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
}
PYBULLET = {"drones": 16, "replay": 200_000}


@dataclass
class Args(SequenceArgs):
    """Train the spiking policy by TD3BC with a jump start."""

    name: str = "jsrl"
    """Name of the run; its folder is runs/NAME."""
    first_ticks: int = 200
    """Ticks that are flown before the first gradient step."""
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
            run = make_run(args, guide, drones)
            open_run(run, asdict(args), seed=args.seed, resume=args.resume)
            with Reporter(run.folder, args.reporting, done=len(run.rows)) as reporter:
                train(args, run, guide, quadrotor, reporter)
                tqdm.write(f"wrote {run.folder / POLICY}")
                reporter.finish()
    except KeyboardInterrupt:
        say_stopped(args)


def train(
    args: Args, run: SequenceRun, guide: str, quadrotor: Quadrotor, reporter: Reporter
) -> None:
    """Fly a little, then fly and learn, from where the run stands."""
    level = guide_level(args, guide, quadrotor)
    for _ in range(max(args.first_ticks - run.replay.added, 0)):
        fly(args, run, 0.0, level)
    learn(args, run, quadrotor, reporter, lambda progress: fly(args, run, progress, level))


def check(args: Args) -> None:
    """Refuse impossible arguments.

    Raises:
        UserError: One of them is out of range; the sentence names it.
    """
    least = args.learner.sequence
    first = (least <= args.first_ticks <= 100_000, f"{least} (a window) to 100000")
    jump = jump_start_rules(args.jump_start, EPISODE_STEPS)
    require({**sequence_rules(args), **jump, "first-ticks": first})


def make_run(args: Args, guide: str, drones: Drones) -> SequenceRun:
    """Return the parts of a run, at its beginning."""
    rng = np.random.default_rng(args.seed)
    privileged = PRIVILEGED_SIZE[args.privileged]
    learner = SequenceLearner(
        args.learner, args.network, privileged=privileged, device=args.device, seed=args.seed
    )
    collector = SequenceCollector(
        Collector(drones, blank_share=0.0, rng=rng, tracks=tracks_of(args)),
        open_guide(guide, args.drones),
        learner.actor,
        exploration=args.exploration,
        privileged=args.privileged,
        guided=lambda count: horizons(args, [], 0.0, 0.0, count, rng),
    )
    return LearnerRun(
        script="jsrl",
        folder=args.folder / args.name,
        rng=rng,
        learner=learner,
        replay=Replay(args.drones, args.replay, labelled=True, privileged=privileged),
        collector=collector,
    )


def fly(args: Args, run: SequenceRun, progress: float, level: float) -> None:
    """Fly one tick with every drone and store it."""
    returns = [row["return_end"] for row in run.rows]
    network = run.learner.actor
    flown = run.collector.step(
        network,
        numpy_stepper(network),
        lambda count: horizons(args, returns, level, progress, count, run.rng),
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
    return guide_return(guide, quadrotor, seed=args.seed, episodes=args.validation)


if __name__ == "__main__":
    run_command(main, Args)

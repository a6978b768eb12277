"""What `jsrl.py` and `td3bc.py` share: options, the guide, schedules, validation.

The guide that `--guide` names is trained first where it is to be, in the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import ActionKind, Quadrotor, load_quadrotor
from snn_sim.envs import ConcatenatedDrones, Drones, RateVariation, Simulator, make_drones
from snn_sim.task import (
    EPISODE_STEPS,
    HISTORY_STEPS,
    EpisodeConfig,
    split_flights,
)
from snn_training.algorithms import td3
from snn_training.algorithms.apg import train as apg
from snn_training.algorithms.runner import RunOptions, Training, slope_of
from snn_training.algorithms.td3 import Curriculum, coefficients_at
from snn_training.algorithms.td3bc.learner import (
    Losses,
    LossWeights,
    SequenceConfig,
    SequenceLearner,
)
from snn_training.artifacts import ArtifactInfo, export_policy
from snn_training.common import (
    Budget,
    Rules,
    bounded,
    checked,
    some,
)
from snn_training.data import Replay
from snn_training.evaluation import ReportingConfig
from snn_training.networks import NetworkConfig
from snn_training.neurons import SlopeConfig
from snn_training.rollouts import (
    PRIVILEGED_SIZE,
    VALIDATION_SEED,
    Collector,
    Exploration,
    Privileged,
    SequenceCollector,
    open_guide,
    validate,
    validate_network,
)
from snn_training.runs import CHECKPOINT, POLICY, Row

GUIDE_FOLDER = "guide"  # in the run's folder, where the guide is trained
GUIDE_INTERVALS = {"apg": 18, "td3": 12}  # for how long, enough to guide
MIXES: dict[str, dict[str, float]] = {  # shares of `split_flights`
    "nominal": {"robust_share": 0.0, "noisy_share": 0.0},
    "robust": {"robust_share": 1.0, "noisy_share": 0.0},
    "mixed": {"robust_share": 0.5, "noisy_share": 0.15},
}
GROUP_SEEDS = 2**41  # between the seeds of groups, so that no two draw the same flights
# The published read-out takes the spikes as they come, and its action jumps with each of them.
SMOOTH_NETWORK = NetworkConfig(
    kernel="auto",
    readout="leaky",
    readout_time_constant=0.03,
    readout_gain=0.3,
    action_feedback=True,
)
SEQUENCE_STUDY = {  # what --budget study changes
    "guide": "geometric",
    "disturbances": "nominal",
    "moving_share": 0.0,
    "intervals": 6,
    "updates": 110,
    "replay": 400_000,
    "validation": 200,
    "reporting": ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
}
PYBULLET = {"drones": 16, "replay": 200_000}  # what --sim pybullet changes
PANELS = {
    "return_end": "return (end coefficients)",
    "survival": "survival",
    "steady_xy_m": "position error [m]",
    "action_step": "action step",
    "critic_loss": "critic loss",
}
HorizonDraw = Callable[[int], NDArray[np.int64]]  # episodes -> ticks that the guide flies of each


@dataclass
class SequenceArgs(RunOptions):
    """Options that the scripts share."""

    airframe: str = "crazyflie21"
    """Airframe to fly."""
    action_kind: ActionKind = "motors"
    """What the policy commands: rotors, or thrust and body rates of an autopilot's rate loop."""
    budget: Budget = "full"
    """`study` cuts the run to about a minute on one core, where options are defaults."""
    sim: Simulator = "batched"
    """Simulator to fly in: the compiled twin, or PyBullet, slower and with fewer drones."""
    guide: str = "apg"
    """Who guides: `geometric` (the controller on the true state), `apg` or `td3` (a perceptron that
    is trained first), a folder of a run of training/td3.py, or a policy.onnx file."""
    guide_intervals: int = bounded(0, 0, 100_000)
    """Intervals that train an `apg` or `td3` guide; 0 takes 18 or 12."""
    drones: int = bounded(512, 1, 65_536)
    """Drones that fly side by side."""
    intervals: int = bounded(30, 1, 100_000)
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = bounded(250, 1, 1_000_000)
    """Gradient steps an interval."""
    epochs: int = bounded(300, 1, 1_000_000)
    """Epochs of the run, the unit that the weight of cloning decays by."""
    replay: int = bounded(2_000_000, 1, 20_000_000)
    """Transitions that are kept."""
    starts: tuple[str, ...] = some(("standard", "hard", "hard", "hover"), "distributions")
    """Where episodes begin, drawn with equal chance; distributions of sim/starts.py."""
    disturbances: Literal["nominal", "robust", "mixed"] = checked(
        "mixed", MIXES.__contains__, f"one of {', '.join(MIXES)}"
    )
    """What disturbs flights: nothing, all that the robust cell has, or nothing in a third of them,
    that in half, and the noisy cell's sensors in the rest."""
    moving_share: float = bounded(0.3, 0, 1)
    """Share of episodes whose reference moves along sines."""
    step_share: float = bounded(0.0, 0, 1)
    """Share of episodes whose reference jumps once."""
    privileged: Privileged = "all"
    """What critics see beside observation and history: `rotors`, or `all`: rotors and the force
    and torque that disturb."""
    validation: int = bounded(400, 1, 65_536)
    """Episodes of the standard cell that validate an interval."""
    threads: int = bounded(1, 1, 64)
    """Threads of PyTorch; results are reproducible for the same number only."""
    device: str = "cpu"
    """Where PyTorch computes the gradient steps, `cpu` or `cuda`."""
    exploration: Exploration = field(default_factory=Exploration)
    """Noise on the flown actions."""
    network: NetworkConfig = field(default_factory=lambda: SMOOTH_NETWORK)
    """Shape of the policy."""
    slope: SlopeConfig = field(default_factory=SlopeConfig)
    """Slope of the surrogate gradient; the adaptive one follows the validation's return."""
    curriculum: Curriculum = field(default_factory=Curriculum)
    """How the reward tightens."""
    learner: SequenceConfig = field(default_factory=SequenceConfig)
    """Critics, windows and step sizes."""
    reporting: ReportingConfig = field(default_factory=ReportingConfig)
    """Logs, pictures and the scores at the end."""

    def relations(self) -> Rules:
        """Return what ties the options together."""
        smallest = (HISTORY_STEPS + self.learner.sequence + 1) * self.drones
        return {
            "replay": (
                smallest <= self.replay,
                f"{smallest} (for every drone a window and the history before it) to 20000000",
            ),
            "step-share": (
                self.moving_share + self.step_share <= 1.0,
                "0 or more, and with --moving-share at most 1",
            ),
            "network.control-rate": (
                self.network.control_rate == 100.0,
                "100 Hz, the rate of the batched simulator",
            ),
        }


class SequenceTraining(Training[SequenceLearner]):
    """Flies a little and takes a gradient step on windows of flight, again and again."""

    panels = PANELS

    def __init__(self, args: SequenceArgs, first_horizons: HorizonDraw) -> None:
        """Begin a run; a guide that is to be trained is trained now.

        Args:
            args: Options.
            first_horizons: Draws how many ticks of the first episodes the guide flies.

        Raises:
            UserError: There is no such airframe, start, guide or device.
            KeyboardInterrupt: The training of the guide was interrupted.
        """
        if args.device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError("PyTorch finds no CUDA device here; choose --device cpu")
        self.args, self.quadrotor, self.slope = args, load_quadrotor(args.airframe), 1.0
        self.guide = choose_guide(args)
        rng, privileged = np.random.default_rng(args.seed), PRIVILEGED_SIZE[args.privileged]
        self.drones = drones_of(args, self.quadrotor)
        learner = SequenceLearner(
            args.learner, args.network, privileged=privileged, device=args.device, seed=args.seed
        )
        self.collector = SequenceCollector(
            Collector(
                self.drones,
                blank_share=0.0,
                rng=rng,
                tracks=tracks_of(args),
                action_kind=args.action_kind,
            ),
            open_guide(self.guide, args.drones, args.action_kind),
            learner.actor,
            exploration=args.exploration,
            privileged=args.privileged,
            guided=first_horizons,
        )
        self.replay = Replay(args.drones, args.replay, labelled=True, privileged=privileged)
        super().__init__(learner, rng, {"replay": self.replay, "collector": self.collector})

    def fly(self, progress: float) -> None:
        """Fly what is flown before a gradient step at a progress of the run in [0, 1]."""

    def begin(self, progress: float) -> None:
        """Choose the surrogate slope."""
        self.slope = slope_of(self, self.args.slope, progress)

    def step(self, progress: float) -> Losses:
        """Fly, then take one gradient step; old transitions are paid by today's coefficients."""
        self.fly(progress)
        self.learner.set_progress(progress)
        coefficients = coefficients_at(self.args.curriculum, progress)
        weights = loss_weights(self.args, progress, self.slope)
        return self.learner.update(self.replay, coefficients, weights, self.rng)

    def summary(self, losses: Sequence[Sequence[float]]) -> Row:
        """Return the log's row, with the validation."""
        args, means = self.args, Losses(*np.mean(losses, axis=0))
        weights = loss_weights(args, len(self.rows) / args.intervals, self.slope)
        return {
            "interval": len(self.rows) + 1,
            "transitions": self.replay.added * self.replay.drones,
            "updates": self.learner.updates,
            **{f"{name}_loss": float(f"{x:.4g}") for name, x in means._asdict().items()},
            "bc_weight": round(weights.cloning, 4),
            "slope": round(self.slope, 2),
            **validate_network(
                self.learner.cpu_actor(),
                self.quadrotor,
                seed=args.seed,
                episodes=args.validation,
                action_kind=args.action_kind,
            ),
        }

    def export(self, path: Path, provenance: dict[str, Any]) -> None:
        """Write the policy as it is."""
        info = ArtifactInfo(self.args.airframe, self.args.action_kind, provenance)
        export_policy(self.learner.cpu_actor(), path, info)

    def close(self) -> None:
        """Let go of the simulator."""
        self.drones.close()


def loss_weights(args: SequenceArgs, progress: float, slope: float) -> LossWeights:
    """Return what the actor's loss weighs: value once critics have learnt, cloning ever less."""
    config = args.learner
    value = config.alpha if progress >= config.value_from else 0.0
    epoch = int(progress * args.epochs)
    return LossWeights(value, config.bc_weight * config.bc_decay**epoch, slope)


def drones_of(args: SequenceArgs, quadrotor: Quadrotor) -> Drones:
    """Return the drones to fly.

    Raises:
        UserError: A number is impossible or a start unknown.
    """
    groups = [
        make_drones(
            args.sim,
            quadrotor,
            count,
            action_kind=args.action_kind,
            rate_variation=RateVariation(),
            starts=args.starts,
            disturbances=disturbances,
            seed=args.seed + number * GROUP_SEEDS,
        )
        for number, (count, disturbances) in enumerate(
            split_flights(args.drones, **MIXES[args.disturbances])
        )
    ]
    return groups[0] if len(groups) == 1 else ConcatenatedDrones(groups)


def tracks_of(args: SequenceArgs) -> EpisodeConfig | None:
    """Return how references move; None holds them at the origin."""
    if args.moving_share == args.step_share == 0.0:
        return None
    return EpisodeConfig(
        ticks=EPISODE_STEPS, moving_share=args.moving_share, step_share=args.step_share
    )


def choose_guide(args: SequenceArgs) -> str:
    """Return the guide to open; one that is to be trained is trained now, in the run's folder.

    Raises:
        KeyboardInterrupt: Its training was interrupted, so there is nothing to go on with.
        UserError: The folder holds a guide that was trained otherwise, or TD3 cannot train it.
    """
    if args.guide not in GUIDE_INTERVALS:
        return args.guide
    if args.guide != "apg" and args.action_kind != "motors":
        raise UserError(
            "TD3 guides command motors; choose --guide apg for --action-kind " + args.action_kind
        )
    folder = args.folder / args.name
    guide = folder / GUIDE_FOLDER
    script: Any = apg if args.guide == "apg" else td3  # both have an Args with these options
    whole = script.main(
        script.Args(
            name=GUIDE_FOLDER,
            folder=folder,
            resume=(guide / CHECKPOINT).exists(),
            intervals=args.guide_intervals or GUIDE_INTERVALS[args.guide],
            seed=args.seed,
            airframe=args.airframe,
            threads=args.threads,
            reporting=ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
            **({"action_kind": args.action_kind} if args.guide == "apg" else {}),
        )
    )
    if not whole:
        raise KeyboardInterrupt
    return str(guide / POLICY if args.guide == "apg" else guide)


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
    return validate(drones, open_guide(choice, episodes, action_kind))["return_end"]

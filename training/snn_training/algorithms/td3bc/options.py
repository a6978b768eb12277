"""The options that `jsrl.py` and `td3bc.py` share, and what follows from them alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch

from snn_controller.errors import UserError
from snn_controller.vehicle import ActionKind, Quadrotor
from snn_sim.envs import ConcatenatedDrones, Drones, RateVariation, Simulator, make_drones
from snn_sim.task import EPISODE_STEPS, HISTORY_STEPS, EpisodeConfig, split_flights
from snn_training.algorithms.curriculum import Curriculum, curriculum_rules
from snn_training.algorithms.interval import run_rules
from snn_training.algorithms.td3bc.config import SequenceConfig, learner_rules
from snn_training.algorithms.td3bc.learner import Pressure
from snn_training.common import Budget, Rules
from snn_training.evaluation import ReportingConfig, reporting_rules
from snn_training.networks import NetworkConfig, network_rules
from snn_training.neurons import SlopeConfig, slope_rules
from snn_training.rollouts import Exploration, Privileged

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


@dataclass
class SequenceArgs:
    """Options that the scripts share."""

    name: str = "sequences"
    """Name of the run; its folder is runs/NAME."""
    folder: Path = Path("runs")
    """Where run folders go."""
    resume: bool = False
    """Go on with the run of that name from its last checkpoint; all else must be as it was."""
    seed: int = 0
    """Seed of all randomness; the same seed gives the same policy, bit by bit."""
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
    guide_intervals: int = 0
    """Intervals that train an `apg` or `td3` guide; 0 takes 18 or 12."""
    drones: int = 512
    """Drones that fly side by side."""
    intervals: int = 30
    """Parts of the run; each ends with a validation and a checkpoint."""
    updates: int = 250
    """Gradient steps an interval."""
    epochs: int = 300
    """Epochs of the run, the unit that the weight of cloning decays by."""
    replay: int = 2_000_000
    """Transitions that are kept."""
    starts: tuple[str, ...] = ("standard", "hard", "hard", "hover")
    """Where episodes begin, drawn with equal chance; distributions of sim/starts.py."""
    disturbances: Literal["nominal", "robust", "mixed"] = "mixed"
    """What disturbs flights: nothing, all that the robust cell has, or nothing in a third of them,
    that in half, and the noisy cell's sensors in the rest."""
    moving_share: float = 0.3
    """Share of episodes whose reference moves along sines."""
    step_share: float = 0.0
    """Share of episodes whose reference jumps once."""
    privileged: Privileged = "all"
    """What critics see beside observation and history: `rotors`, or `all`: rotors and the force
    and torque that disturb."""
    validation: int = 400
    """Episodes of the standard cell that validate an interval."""
    threads: int = 1
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


def pressure_at(args: SequenceArgs, progress: float, slope: float) -> Pressure:
    """Return what pulls on the actor: the value once critics have learnt, cloning less and less."""
    config = args.learner
    value = config.alpha if progress >= config.value_from else 0.0
    epoch = int(progress * args.epochs)
    return Pressure(value, config.bc_weight * config.bc_decay**epoch, slope)


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


def use_device(args: SequenceArgs) -> None:
    """Make PyTorch ready.

    Raises:
        UserError: The device is not there.
    """
    torch.set_num_threads(args.threads)
    if args.device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError("PyTorch finds no CUDA device here; choose --device cpu")


def sequence_rules(args: SequenceArgs) -> Rules:
    """Return the rules of all shared options."""
    return {
        **learner_rules(args.learner),
        **network_rules(args.network),
        **_run_rules(args),
        **_exploration_rules(args.exploration),
        **reporting_rules(args.reporting),
        **slope_rules(args.slope),
        **curriculum_rules(args.curriculum),
    }


def _run_rules(args: SequenceArgs) -> Rules:
    smallest = (HISTORY_STEPS + args.learner.sequence + 1) * args.drones
    moving = args.moving_share + args.step_share
    return {
        **run_rules(args),
        "guide-intervals": (0 <= args.guide_intervals <= 100_000, "0 to 100000"),
        "drones": (1 <= args.drones <= 65_536, "1 to 65536"),
        "updates": (1 <= args.updates <= 1_000_000, "1 to 1000000"),
        "epochs": (1 <= args.epochs <= 1_000_000, "1 to 1000000"),
        "replay": (
            smallest <= args.replay <= 20_000_000,
            f"{smallest} (for every drone a window and the history before it) to 20000000",
        ),
        "starts": (len(args.starts) >= 1, "one or more distributions"),
        "disturbances": (args.disturbances in MIXES, f"one of {', '.join(MIXES)}"),
        "moving-share": (0.0 <= args.moving_share <= 1.0, "0 to 1"),
        "step-share": (
            args.step_share >= 0.0 and moving <= 1.0,
            "0 or more, and with --moving-share at most 1",
        ),
        "network.control-rate": (
            args.network.control_rate == 100.0,
            "100 Hz, the rate of the batched twin",
        ),
    }


def _exploration_rules(exploration: Exploration) -> Rules:
    return {
        "exploration.policy": (0.0 <= exploration.policy <= 2.0, "0 to 2"),
        "exploration.guide": (0.0 <= exploration.guide <= 2.0, "0 to 2"),
        "exploration.until": (exploration.until > 0.0, "above 0"),
        "exploration.memory": (0.0 <= exploration.memory < 1.0, "0 or more and below 1"),
    }

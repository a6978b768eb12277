"""What the options of `jsrl.py` and `td3bc.py` may be."""

from __future__ import annotations

from training.curriculum import curriculum_rules
from training.history import HISTORY_STEPS
from training.intervals import run_rules
from training.reporting import reporting_rules
from training.rules import Rules, network_rules, slope_rules
from training.sequence_collector import Exploration
from training.sequence_config import learner_rules
from training.sequence_options import MIXES, SequenceArgs


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

"""What the options of `jsrl.py` and `td3bc.py` may be."""

from __future__ import annotations

from sim.rules import EPISODE_STEPS
from training.actor_critic import good_sizes
from training.curriculum import curriculum_rules
from training.history import HISTORY_STEPS
from training.network_pilot import VALIDATION_SEED
from training.rules import Rules, network_rules, slope_rules
from training.sequence_collector import Exploration
from training.sequence_learner import SequenceConfig
from training.sequence_run import SequenceArgs


def sequence_rules(args: SequenceArgs) -> Rules:
    """Return the rules of all shared options."""
    return {
        **network_rules(args.network),
        **_run_rules(args),
        **_exploration_rules(args.exploration),
        **slope_rules(args.slope),
        **curriculum_rules(args.curriculum),
        **_window_rules(args.learner),
        **_step_rules(args.learner),
    }


def _run_rules(args: SequenceArgs) -> Rules:
    smallest = (HISTORY_STEPS + args.learner.sequence + 1) * args.drones
    moving = args.moving_share + args.step_share
    return {
        "guide-intervals": (1 <= args.guide_intervals <= 100_000, "1 to 100000"),
        "drones": (1 <= args.drones <= 65_536, "1 to 65536"),
        "intervals": (1 <= args.intervals <= 100_000, "1 to 100000"),
        "updates": (1 <= args.updates <= 1_000_000, "1 to 1000000"),
        "epochs": (1 <= args.epochs <= 1_000_000, "1 to 1000000"),
        "replay": (
            smallest <= args.replay <= 20_000_000,
            f"{smallest} (for every drone a window and the history before it) to 20000000",
        ),
        "starts": (len(args.starts) >= 1, "one or more distributions"),
        "moving-share": (0.0 <= args.moving_share <= 1.0, "0 to 1"),
        "step-share": (
            args.step_share >= 0.0 and moving <= 1.0,
            "0 or more, and with --moving-share at most 1",
        ),
        "validation": (1 <= args.validation <= 65_536, "1 to 65536"),
        "threads": (1 <= args.threads <= 64, "1 to 64"),
        "seed": (0 <= args.seed < VALIDATION_SEED, "0 or more and below 2^40"),
        "name": (args.name not in ("", ".", "..") and "/" not in args.name, "a plain name"),
        "network.control-rate": (
            args.network.control_rate == 100.0,
            "100 Hz, the rate of the batched twin",
        ),
    }


def _exploration_rules(exploration: Exploration) -> Rules:
    return {
        "exploration.policy": (0.0 <= exploration.policy <= 2.0, "0 to 2"),
        "exploration.guide": (0.0 <= exploration.guide <= 2.0, "0 to 2"),
        "exploration.memory": (0.0 <= exploration.memory < 1.0, "0 or more and below 1"),
    }


def _window_rules(config: SequenceConfig) -> Rules:
    return {
        "learner.sequence": (
            2 <= config.sequence <= EPISODE_STEPS,
            f"2 to {EPISODE_STEPS}, the ticks of an episode",
        ),
        "learner.warm-up": (
            0 <= config.warm_up < config.sequence,
            "0 or more and shorter than --learner.sequence",
        ),
        "learner.start-share": (0.0 <= config.start_share <= 1.0, "0 to 1"),
        "learner.batch": (1 <= config.batch <= 100_000, "1 to 100000"),
        "learner.critic-batch": (0 <= config.critic_batch <= 1_000_000, "0 to 1000000"),
    }


def _step_rules(config: SequenceConfig) -> Rules:
    above, size = "above 0 and at most 1", "0 to 1000"
    return {
        "learner.critic-hidden": (
            good_sizes(config.critic_hidden),
            "one to eight layers of 1 to 4096 neurons",
        ),
        "learner.actor-rate": (0.0 < config.actor_rate <= 1.0, above),
        "learner.critic-rate": (0.0 < config.critic_rate <= 1.0, above),
        "learner.last-rate": (0.0 <= config.last_rate <= 1.0, "0 to 1"),
        "learner.time-constant-speed": (0.0 <= config.time_constant_speed <= 100.0, "0 to 100"),
        "learner.gamma": (0.0 <= config.gamma < 1.0, "0 or more and below 1"),
        "learner.tau": (0.0 < config.tau <= 1.0, above),
        "learner.policy-noise": (0.0 <= config.policy_noise <= 2.0, "0 to 2"),
        "learner.noise-clip": (0.0 <= config.noise_clip <= 2.0, "0 to 2"),
        "learner.delay": (1 <= config.delay <= 1000, "1 to 1000"),
        "learner.alpha": (0.0 <= config.alpha <= 1000.0, size),
        "learner.value-from": (0.0 <= config.value_from <= 1.0, "0 to 1"),
        "learner.bc-weight": (0.0 <= config.bc_weight <= 1000.0, size),
        "learner.bc-decay": (0.0 <= config.bc_decay <= 1.0, "0 to 1"),
        "learner.bc-huber": (0.0 <= config.bc_huber <= 10.0, "0 to 10"),
        "learner.smoothness": (0.0 <= config.smoothness <= 1000.0, size),
    }

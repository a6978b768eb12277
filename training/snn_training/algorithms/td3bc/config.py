"""The configuration of TD3BC on sequences, and what its numbers may be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from snn_sim.task import EPISODE_STEPS
from snn_training.common import Rules
from snn_training.networks import good_sizes
from snn_training.neurons import sparsity_rules


@dataclass(frozen=True)
class SequenceConfig:
    """Critics, windows and step sizes of TD3BC on sequences."""

    critic_hidden: tuple[int, ...] = (128, 128)
    """Neurons of each critic's hidden layers."""
    actor_rate: float = 3e-3
    """Adam's step size of the actor."""
    critic_rate: float = 1e-3
    """Adam's step size of the critics."""
    last_rate: float = 0.0
    """Share of both step sizes that is left at the end of the run; they fall linearly."""
    time_constant_speed: float = 10.0
    """How many times larger the step of the time constants is; they are learnt as logarithms."""
    gamma: float = 0.98
    """Discount of the next tick's value."""
    tau: float = 0.01
    """Share of the way that the targets follow the networks in an actor step."""
    policy_noise: float = 0.2
    """Noise on the target policy's actions (standard deviation)."""
    noise_clip: float = 0.5
    """Largest such noise."""
    delay: int = 1
    """Gradient steps to each actor step; critics take `critic_steps` in each."""
    batch: int = 64
    """Windows a gradient step."""
    sequence: int = 100
    """Ticks of a window."""
    warm_up: int = 50
    """Ticks that fill the state of a window that begins in mid-flight."""
    start_share: float = 0.6
    """Share of windows that begin with an episode, from zero states as in flight."""
    critic_batch: int = 1024
    """Ticks of the windows that a critic step sees, drawn at random; 0 takes all."""
    critic_steps: int = 2
    """Critic steps on each batch of windows."""
    steps: int = 5
    """Ticks whose rewards are summed before the value of what follows is added."""
    alpha: float = 0.3
    """Weight of the value, which is divided by its mean size; 0 only clones."""
    value_from: float = 0.1
    """Share of the run before the value counts, while the critics learn."""
    bc_weight: float = 2.0
    """Weight of the distance from the action to clone; 0 does not clone."""
    bc_decay: float = 1.0
    """Factor on that weight each epoch; 0.99, as published, lets the cloning fade."""
    bc_target: Literal["flown", "guide"] = "guide"
    """What is cloned: the actions flown, as published, or what the guide would have done there."""
    bc_huber: float = 0.05
    """Distance up to which cloning is quadratic, beyond it is linear; 0 is quadratic always, as
    published."""
    smoothness: float = 4.0
    """Weight of the squared change of the action from tick to tick, beyond the guide's own where
    that is cloned."""
    sparsity: float = 0.0
    """Weight of what spiking layers fire beyond `target-rate`; about 30 makes them sparse."""
    target_rate: float = 0.1
    """Share of a layer's neurons that may spike in a tick without cost."""


def learner_rules(config: SequenceConfig) -> Rules:
    """Return the rules of the learner's options."""
    return {**_window_rules(config), **_step_rules(config)}


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
        **sparsity_rules(config.sparsity, config.target_rate, prefix="learner."),
    }

"""What the options of a decision transformer may be."""

from __future__ import annotations

from snn_training.algorithms.decision_transformer.data import Stretches
from snn_training.algorithms.decision_transformer.learner import LearnerConfig
from snn_training.common import Rules
from snn_training.networks.transformer import TransformerConfig
from snn_training.neurons import PlasticityConfig


def transformer_rules(
    network: TransformerConfig,
    learner: LearnerConfig,
    stretches: Stretches,
    plasticity: PlasticityConfig,
) -> Rules:
    """Return the rules of all its options."""
    chunks = (
        stretches.ticks >= learner.chunk and stretches.ticks % learner.chunk == 0,
        "a multiple of --learner.chunk",
    )
    return {
        **_network_rules(network),
        **_learner_rules(learner),
        "stretches.ticks": chunks,
        "stretches.from-start": (0.0 <= stretches.from_start <= 1.0, "0 to 1"),
        "plasticity.rate": (0.0 <= plasticity.rate <= 1.0, "0 to 1"),
        "plasticity.trace": (0.0 <= plasticity.trace < 1.0, "0 or more and below 1"),
        "plasticity.mean": (0.0 <= plasticity.mean < 1.0, "0 or more and below 1"),
        "plasticity.bound": (0.0 <= plasticity.bound <= 1.0, "0 to 1"),
    }


def _network_rules(network: TransformerConfig) -> Rules:
    membranes, period = network.membranes, 1.0 / network.control_rate
    shortest, longest = membranes.min_time_constant, membranes.max_time_constant
    return {
        "network.width": (1 <= network.width <= 4096, "1 to 4096"),
        "network.heads": (
            network.heads >= 1 and network.width % network.heads == 0,
            "a divisor of --network.width",
        ),
        "network.layers": (1 <= network.layers <= 32, "1 to 32"),
        "network.hidden": (1 <= network.hidden <= 16384, "1 to 16384"),
        "network.window": (2 <= network.window <= 500, "2 to 500, which is an episode"),
        "network.control-rate": (network.control_rate == 100.0, "100 Hz, that of the twin"),
        "network.membranes.min-time-constant": (
            0.0 < shortest <= longest <= 100.0
            and not (membranes.integration == "euler" and shortest < period),
            "above 0 s, at most --network.membranes.max-time-constant, and a tick at least where "
            "the integration is euler",
        ),
        "network.membranes.resistance": (membranes.resistance > 0.0, "above 0"),
        "network.membranes.threshold": (
            membranes.threshold > membranes.rest,
            "above --network.membranes.rest",
        ),
    }


def _learner_rules(learner: LearnerConfig) -> Rules:
    return {
        "learner.batch": (1 <= learner.batch <= 65_536, "1 to 65536"),
        "learner.chunk": (2 <= learner.chunk <= 500, "2 to 500, which is an episode"),
        "learner.learning-rate": (0.0 < learner.learning_rate <= 1.0, "above 0 and at most 1"),
        "learner.warm-up": (0 <= learner.warm_up <= 1_000_000, "0 to 1000000"),
        "learner.weight-decay": (0.0 <= learner.weight_decay <= 10.0, "0 to 10"),
        "learner.gradient-limit": (learner.gradient_limit > 0.0, "above 0"),
        "learner.huber": (learner.huber > 0.0, "above 0"),
        "learner.initial-rate": (0.0 < learner.initial_rate < 0.5, "above 0 and below 0.5"),
        "learner.rate": (0.0 <= learner.rate <= 1.0, "0 to 1"),
        "learner.least-rate": (
            0.0 < learner.least_rate <= learner.rate or learner.silence_weight == 0.0,
            "above 0 and at most --learner.rate",
        ),
        "learner.silence-weight": (0.0 <= learner.silence_weight <= 1000.0, "0 to 1000"),
        "learner.rate-weight": (0.0 <= learner.rate_weight <= 1000.0, "0 to 1000"),
    }

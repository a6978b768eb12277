"""Flights flown to learn from: collectors, guides, jump starts, datasets."""

from snn_training.rollouts.batched_policy import BatchedPolicy, spike_counts
from snn_training.rollouts.collector import Collector, validate
from snn_training.rollouts.guided_collector import (
    PRIVILEGED_SIZE,
    Exploration,
    Privileged,
    SequenceCollector,
)
from snn_training.rollouts.guides import open_guide
from snn_training.rollouts.jump_start import JumpStart, gates_passed, guided_ticks, jump_start_rules
from snn_training.rollouts.network_pilot import VALIDATION_SEED, network_pilot, validate_network
from snn_training.rollouts.pybullet import TEACHER_GAINS, flight_score, fly_episodes

__all__ = [
    "PRIVILEGED_SIZE",
    "TEACHER_GAINS",
    "VALIDATION_SEED",
    "BatchedPolicy",
    "Collector",
    "Exploration",
    "JumpStart",
    "Privileged",
    "SequenceCollector",
    "flight_score",
    "fly_episodes",
    "gates_passed",
    "guided_ticks",
    "jump_start_rules",
    "network_pilot",
    "open_guide",
    "spike_counts",
    "validate",
    "validate_network",
]

"""Flights flown to learn from: actors, collectors, jump starts, demonstrations, datasets."""

from snn_training.rollouts.actors import (
    TEACHER_GAINS,
    Actor,
    GeometricActor,
    GuidedActor,
    HistoryActor,
    Memoryless,
    NetworkActor,
    Senses,
    open_guide,
)
from snn_training.rollouts.batched_policy import BatchedPolicy
from snn_training.rollouts.collector import (
    VALIDATION_SEED,
    Collector,
    validate,
    validate_network,
)
from snn_training.rollouts.jump_start import (
    PRIVILEGED_SIZE,
    Exploration,
    JumpStart,
    Privileged,
    SequenceCollector,
    gates_passed,
    guided_ticks,
)
from snn_training.rollouts.scripted import (
    BatchedWorlds,
    BulletWorlds,
    Moment,
    Worlds,
    demonstrate,
    flight_score,
    fly_script,
    motor_throttles,
    stack_states,
)

__all__ = [
    "PRIVILEGED_SIZE",
    "TEACHER_GAINS",
    "VALIDATION_SEED",
    "Actor",
    "BatchedPolicy",
    "BatchedWorlds",
    "BulletWorlds",
    "Collector",
    "Exploration",
    "GeometricActor",
    "GuidedActor",
    "HistoryActor",
    "JumpStart",
    "Memoryless",
    "Moment",
    "NetworkActor",
    "Privileged",
    "Senses",
    "SequenceCollector",
    "Worlds",
    "demonstrate",
    "flight_score",
    "fly_script",
    "gates_passed",
    "guided_ticks",
    "motor_throttles",
    "open_guide",
    "stack_states",
    "validate",
    "validate_network",
]

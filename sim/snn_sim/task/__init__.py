"""The task to learn: episodes, references, starts, disturbances and the reward."""

from snn_sim.task.action_history import (
    GUIDE_INPUT_SIZE,
    HISTORY_SIZE,
    HISTORY_STEPS,
    ActionHistory,
    append_action,
    constant_history,
)
from snn_sim.task.disturbances import (
    NOISY,
    NOMINAL,
    ROBUST,
    Disturbance,
    Disturbances,
    delay_shares,
    disturbance_from_row,
    draw_disturbance,
    measure,
    split_flights,
)
from snn_sim.task.episode import (
    CONTROL_RATE,
    CRASH_DISTANCE,
    EPISODE_STEPS,
    check_actions,
    check_batch,
    has_crashed,
    numbers_of,
)
from snn_sim.task.references import EpisodeConfig, References, draw_references
from snn_sim.task.reward import (
    END_COEFFICIENTS,
    START_COEFFICIENTS,
    RewardCoefficients,
    hover_reward,
    reward_parts,
)
from snn_sim.task.starts import sample_start, start_ranges

__all__ = [
    "CONTROL_RATE",
    "CRASH_DISTANCE",
    "END_COEFFICIENTS",
    "EPISODE_STEPS",
    "GUIDE_INPUT_SIZE",
    "HISTORY_SIZE",
    "HISTORY_STEPS",
    "NOISY",
    "NOMINAL",
    "ROBUST",
    "START_COEFFICIENTS",
    "ActionHistory",
    "Disturbance",
    "Disturbances",
    "EpisodeConfig",
    "References",
    "RewardCoefficients",
    "append_action",
    "check_actions",
    "check_batch",
    "constant_history",
    "delay_shares",
    "disturbance_from_row",
    "draw_disturbance",
    "draw_references",
    "has_crashed",
    "hover_reward",
    "measure",
    "numbers_of",
    "reward_parts",
    "sample_start",
    "split_flights",
    "start_ranges",
]

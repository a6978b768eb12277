"""Flights as data: episodes, windows of them, replay buffers, datasets."""

from snn_training.data.episodes import (
    PART_NAMES,
    EpisodeSet,
    Numbers,
    Rows,
    check_episodes,
    join_sets,
    relabel,
    returns_to_go,
    split_by_episode,
    take,
)
from snn_training.data.offline import (
    PolicyWindows,
    all_steps,
    critic_inputs,
    sample_policy_windows,
    transitions_at,
)
from snn_training.data.replay import NOTHING, Batch, Replay, Transitions
from snn_training.data.report import describe, plot_episodes
from snn_training.data.store import check_free, dataset_folder, load_episodes, save_episodes
from snn_training.data.windows import (
    Episodes,
    Windows,
    cut_sequences,
    join,
    sample_batch,
    sample_windows,
    splice,
    sum_rewards,
)

__all__ = [
    "NOTHING",
    "PART_NAMES",
    "Batch",
    "EpisodeSet",
    "Episodes",
    "Numbers",
    "PolicyWindows",
    "Replay",
    "Rows",
    "Transitions",
    "Windows",
    "all_steps",
    "check_episodes",
    "check_free",
    "critic_inputs",
    "cut_sequences",
    "dataset_folder",
    "describe",
    "join",
    "join_sets",
    "load_episodes",
    "plot_episodes",
    "relabel",
    "returns_to_go",
    "sample_batch",
    "sample_policy_windows",
    "sample_windows",
    "save_episodes",
    "splice",
    "split_by_episode",
    "sum_rewards",
    "take",
    "transitions_at",
]

"""Small parts of a run on sequences, for several tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from snn_controller.vehicle.airframe import Quadrotor
from snn_sim.batched.batch import DroneBatch
from snn_training.algorithms.td3bc.learner import LossWeights, SequenceConfig, SequenceLearner
from snn_training.data.replay import Replay
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import make_network
from snn_training.rollouts.actors import ResumableActor, Teacher
from snn_training.rollouts.collector import Collector
from snn_training.rollouts.jump_start import (
    PRIVILEGED_SIZE,
    Exploration,
    Privileged,
    SequenceCollector,
)

TINY = NetworkConfig(hidden=(12, 8), kernel="torch")
WEIGHTS = LossWeights(value=2.0, cloning=0.2, slope=5.0)


def config(**options: Any) -> SequenceConfig:
    small = {
        "bc_huber": 0.0,
        "delay": 2,
        "smoothness": 0.0,
        "critic_hidden": (8,),
        "batch": 6,
        "sequence": 20,
        "warm_up": 10,
        "critic_batch": 16,
    }
    return SequenceConfig(**{**small, **options})


def learner(network: NetworkConfig = TINY, **options: Any) -> SequenceLearner:
    return SequenceLearner(config(**options), network, seed=0)


def fliers(
    quadrotor: Quadrotor,
    count: int,
    *,
    network: NetworkConfig = TINY,
    start: str = "standard",
    guided: int = 0,
    guide: ResumableActor | None = None,
    privileged: Privileged = "none",
    exploration: Exploration | None = None,
    episode: int = 500,
) -> SequenceCollector:
    drones = DroneBatch(quadrotor, count, starts=(start,), episode_steps=episode, seed=4)
    return SequenceCollector(
        Collector(drones, blank_share=0.0, rng=np.random.default_rng(0)),
        guide or Teacher(),
        make_network(network),
        exploration=exploration or Exploration(0.0, 0.0),
        privileged=privileged,
        guided=lambda count: np.full(count, guided),
    )


def fly(
    collector: SequenceCollector,
    learner: SequenceLearner,
    replay: Replay,
    ticks: int,
    guided: int = 0,
) -> None:
    """Fly a learner's policy; the guide flies the first ticks of new episodes."""
    for _ in range(ticks):
        replay.add(collector.step(learner.actor, lambda count: np.full(count, guided)))


def flown(
    quadrotor: Quadrotor, learner: SequenceLearner, ticks: int, count: int = 4, **options: Any
) -> Replay:
    """Return the replay of some flights."""
    privileged: Privileged = options.get("privileged", "none")
    replay = Replay(count, count * 400, labelled=True, privileged=PRIVILEGED_SIZE[privileged])
    collector = fliers(quadrotor, count, network=learner.actor.config, **options)
    fly(collector, learner, replay, ticks, options.get("guided", 0))
    return replay

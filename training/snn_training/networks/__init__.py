"""Networks of neurons, baselines, and how they are unrolled and stepped."""

from snn_training.networks.actor_critic import (
    INPUT_SCALE,
    ActorKind,
    ActorOfGuide,
    GuideActor,
    SpikingGuideActor,
    SteppedNetwork,
    TwinCritic,
    make_actor,
    make_layers,
)
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import (
    BASELINES,
    Network,
    make_network,
    numpy_stepper,
    unroll,
    unroll_spiking,
)
from snn_training.networks.spiking import PolicyWeights, SpikingPolicy

__all__ = [
    "BASELINES",
    "INPUT_SCALE",
    "ActorKind",
    "ActorOfGuide",
    "GuideActor",
    "Network",
    "NetworkConfig",
    "PolicyWeights",
    "SpikingGuideActor",
    "SpikingPolicy",
    "SteppedNetwork",
    "TwinCritic",
    "make_actor",
    "make_layers",
    "make_network",
    "numpy_stepper",
    "unroll",
    "unroll_spiking",
]

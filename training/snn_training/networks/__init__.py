"""Networks of neurons, baselines, and how they are unrolled and stepped."""

from snn_training.networks.actor_critic import (
    INPUT_SCALE,
    GuideActor,
    TwinCritic,
    good_sizes,
    make_layers,
)
from snn_training.networks.config import NetworkConfig, network_rules
from snn_training.networks.make import Network, make_network, numpy_stepper
from snn_training.networks.spiking import SpikingPolicy
from snn_training.networks.stepped import (
    ActorKind,
    ActorOfGuide,
    SpikingGuideActor,
    SteppedNetwork,
    make_actor,
)
from snn_training.networks.unroll import unroll, unroll_spiking

__all__ = [
    "INPUT_SCALE",
    "ActorKind",
    "ActorOfGuide",
    "GuideActor",
    "Network",
    "NetworkConfig",
    "SpikingGuideActor",
    "SpikingPolicy",
    "SteppedNetwork",
    "TwinCritic",
    "good_sizes",
    "make_actor",
    "make_layers",
    "make_network",
    "network_rules",
    "numpy_stepper",
    "unroll",
    "unroll_spiking",
]

"""The kinds of actors that the guide's TD3 trains."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch

from training.actor_critic import GuideActor
from training.stepped_network import SpikingGuideActor

ActorKind = Literal["perceptron", "spiking"]
ActorOfGuide: TypeAlias = GuideActor | SpikingGuideActor


def make_actor(
    kind: ActorKind, hidden: tuple[int, ...], steps: int, generator: torch.Generator
) -> ActorOfGuide:
    """Return an actor with weights drawn from a generator; only a spiking one has steps."""
    if kind == "spiking":
        return SpikingGuideActor(hidden, steps, generator)
    return GuideActor(hidden, generator)

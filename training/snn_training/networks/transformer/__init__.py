"""The spiking decision transformer."""

from snn_training.networks.config import TransformerConfig, transformer_config
from snn_training.networks.transformer.blocks import TURN, NamedStates
from snn_training.networks.transformer.in_flight import (
    ERROR,
    HORIZON,
    Conditioning,
    FlyingTransformer,
    mean_returns_to_go,
)
from snn_training.networks.transformer.model import POSITION, DecisionTransformer

__all__ = [
    "ERROR",
    "HORIZON",
    "POSITION",
    "TURN",
    "Conditioning",
    "DecisionTransformer",
    "FlyingTransformer",
    "NamedStates",
    "TransformerConfig",
    "mean_returns_to_go",
    "transformer_config",
]

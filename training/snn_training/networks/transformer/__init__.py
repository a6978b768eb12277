"""The spiking decision transformer."""

from snn_training.networks.transformer.config import TransformerConfig, config_from
from snn_training.networks.transformer.in_flight import ERROR, Conditioning, FlyingTransformer
from snn_training.networks.transformer.model import POSITION, DecisionTransformer
from snn_training.networks.transformer.return_to_go import HORIZON, mean_returns_to_go
from snn_training.networks.transformer.spiking_block import TURN, States

__all__ = [
    "ERROR",
    "HORIZON",
    "POSITION",
    "TURN",
    "Conditioning",
    "DecisionTransformer",
    "FlyingTransformer",
    "States",
    "TransformerConfig",
    "config_from",
    "mean_returns_to_go",
]

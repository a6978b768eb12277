"""Networks to policy files and back."""

from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo
from snn_training.artifacts.guide import export_guide
from snn_training.artifacts.load import load_network
from snn_training.artifacts.transformer import export_transformer

__all__ = [
    "ArtifactInfo",
    "export_guide",
    "export_policy",
    "export_transformer",
    "load_network",
]

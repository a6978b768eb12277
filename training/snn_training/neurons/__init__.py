"""Spiking neurons: models, surrogate gradients, slope schedules, plasticity."""

from snn_training.neurons import plasticity
from snn_training.neurons.layer import KernelName, lif_layer, lif_loop, load_kernel, low_pass
from snn_training.neurons.lif import LayerWeights, PolicyWeights, lif_step, numpy_step, policy_step
from snn_training.neurons.membrane import MembraneConfig, Membranes
from snn_training.neurons.plasticity import PlasticityConfig
from snn_training.neurons.slope_schedule import (
    SlopeConfig,
    SlopeState,
    normalised_score,
    record_score,
    slope_after,
    slope_at,
    slope_rules,
)
from snn_training.neurons.sparsity import sparsity_loss, sparsity_rules
from snn_training.neurons.surrogate import (
    MAX_SLOPE,
    MIN_SLOPE,
    LIFSequence,
    heaviside,
    surrogate_gradient,
)

__all__ = [
    "MAX_SLOPE",
    "MIN_SLOPE",
    "KernelName",
    "LIFSequence",
    "LayerWeights",
    "MembraneConfig",
    "Membranes",
    "PlasticityConfig",
    "PolicyWeights",
    "SlopeConfig",
    "SlopeState",
    "heaviside",
    "lif_layer",
    "lif_loop",
    "lif_step",
    "load_kernel",
    "low_pass",
    "normalised_score",
    "numpy_step",
    "plasticity",
    "policy_step",
    "record_score",
    "slope_after",
    "slope_at",
    "slope_rules",
    "sparsity_loss",
    "sparsity_rules",
    "surrogate_gradient",
]

"""Spiking neurons: models, how a layer runs, surrogate gradients, plasticity."""

from snn_training.neurons import plasticity
from snn_training.neurons.cell import (
    Array,
    Arrays,
    CellRanges,
    Constant,
    KernelName,
    LayerWeights,
    Spike,
    has_kernel,
    run_layer,
    step_layer,
)
from snn_training.neurons.lif import LIF
from snn_training.neurons.membrane import MembraneConfig, Membranes
from snn_training.neurons.plasticity import PlasticityConfig
from snn_training.neurons.registry import (
    NeuronName,
    NeuronOptions,
    ReadoutName,
    SynapseName,
    make_cell,
    make_readout,
    make_synapse,
)
from snn_training.neurons.surrogate import (
    MAX_SLOPE,
    MIN_SLOPE,
    SlopeConfig,
    SlopeState,
    heaviside,
    record_score,
    slope_after,
    slope_at,
    sparsity_loss,
    surrogate_gradient,
)

__all__ = [
    "LIF",
    "MAX_SLOPE",
    "MIN_SLOPE",
    "Array",
    "Arrays",
    "CellRanges",
    "Constant",
    "KernelName",
    "LayerWeights",
    "MembraneConfig",
    "Membranes",
    "NeuronName",
    "NeuronOptions",
    "PlasticityConfig",
    "ReadoutName",
    "SlopeConfig",
    "SlopeState",
    "Spike",
    "SynapseName",
    "has_kernel",
    "heaviside",
    "make_cell",
    "make_readout",
    "make_synapse",
    "plasticity",
    "record_score",
    "run_layer",
    "slope_after",
    "slope_at",
    "sparsity_loss",
    "step_layer",
    "surrogate_gradient",
]

"""The neuron models, synapses and read-outs that a network may be made of, by their option.

A new model is a file of its own, a row of `NEURONS` with its name in `NeuronName`, and a test. What
it has options for is a frozen dataclass of its own among the bases of `NeuronOptions`: its fields
become `--network.<field>`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from snn_training.neurons.cell import Cell, CellRanges, LowPass, PassThrough, decay_constant
from snn_training.neurons.lif import make_lif

NeuronName = Literal["spiking"]
SynapseName = Literal["instant", "current"]
ReadoutName = Literal["spikes", "leaky"]


@dataclass(frozen=True)
class NeuronOptions:
    """Options of single models, beyond those that all share."""


NEURONS: dict[str, Callable[[CellRanges, NeuronOptions], Cell]] = {"spiking": make_lif}


def make_cell(name: str, ranges: CellRanges, options: NeuronOptions) -> Cell:
    """Return a neuron model by its `NeuronName`; `spiking` is the LIF neuron."""
    return NEURONS[name](ranges, options)


def make_synapse(name: SynapseName, control_rate: float, time_constant: float) -> PassThrough:
    """Return what input currents go through: nothing, or a decay with a time constant in s."""
    if name == "instant":
        return PassThrough()
    alpha = decay_constant("synapse_log_time_constants", control_rate, time_constant)
    return LowPass("current", alpha)


def make_readout(name: ReadoutName, control_rate: float, time_constant: float) -> PassThrough:
    """Return what the read-out goes through: nothing, or a low-pass with a time constant in s."""
    if name == "spikes":
        return PassThrough()
    beta = decay_constant("readout_log_time_constant", control_rate, time_constant)
    return LowPass("readout", beta)

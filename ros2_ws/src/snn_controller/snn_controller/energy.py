"""What a tick of a policy would cost on a chip: named constants times counted operations.

Estimates, not measurements. A spike of a neuron counts once per synapse that it drives (fan-out).
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_controller.artifact import PolicyMetadata

# Loihi, 14 nm: Davies et al. 2018, IEEE Micro 38(1).
LOIHI_SYNAPTIC_OP = 23.6  # pJ, one spike at one synapse
LOIHI_NEURON_UPDATE = 81.0  # pJ, one neuron that is active, one tick
# 45 nm at 0.9 V, 32-bit floats: Horowitz 2014, ISSCC, "Computing's energy problem".
CMOS_ADDITION = 0.9  # pJ, what one spike at one synapse takes: accumulate (AC)
CMOS_MULTIPLICATION = 3.7  # pJ
CMOS_MAC = CMOS_MULTIPLICATION + CMOS_ADDITION  # pJ, multiply and accumulate

CONSTANTS_PJ = {
    "loihi_synaptic_op": LOIHI_SYNAPTIC_OP,
    "loihi_neuron_update": LOIHI_NEURON_UPDATE,
    "cmos_45nm_addition": CMOS_ADDITION,
    "cmos_45nm_mac": CMOS_MAC,
}


@dataclass(frozen=True)
class NetworkSize:
    """What a network does every tick, whatever spikes."""

    neurons: int  # spiking ones, each updated once
    macs: int  # multiply-accumulates on real values; all of them where no layer spikes


def network_size(metadata: PolicyMetadata) -> NetworkSize:
    """Return the size that an artifact states."""
    return NetworkSize(sum(layer.neurons for layer in metadata.layers), metadata.input_macs)


def neuromorphic_energy(synaptic_ops: float, size: NetworkSize) -> float:
    """Return nJ a tick with spikes on Loihi and multiply-accumulates in 45 nm.

    Loihi has no operation for real-valued inputs, so these are charged to a processor beside it.
    """
    spiking = synaptic_ops * LOIHI_SYNAPTIC_OP + size.neurons * LOIHI_NEURON_UPDATE
    return 1e-3 * (spiking + size.macs * CMOS_MAC)


def cmos_energy(synaptic_ops: float, size: NetworkSize) -> float:
    """Return nJ a tick in 45 nm: additions for spikes, multiply-accumulates for the rest."""
    return 1e-3 * (synaptic_ops * CMOS_ADDITION + size.macs * CMOS_MAC)

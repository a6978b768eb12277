"""What a tick of a policy would cost on a chip: named constants times counted operations.

One counter for every network. A spike counts once per synapse that it drives (spikes of a layer
times its fan-out); what works on real values counts as multiply-accumulates a tick. An artifact
states both: `layers` and `input_macs`. Estimates, not measurements; all energies in nJ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from snn_controller.policy.artifact import PolicyMetadata
from snn_controller.vehicle import Array

Operations = TypeVar("Operations", float, Array)  # one tick's, or those of many

# Loihi, 14 nm: Davies et al. 2018, IEEE Micro 38(1).
LOIHI_SYNAPTIC_OP = 23.6  # pJ, one spike at one synapse
LOIHI_NEURON_UPDATE = 81.0  # pJ, one neuron that is active, one tick
# 45 nm at 0.9 V, 32-bit floats: Horowitz 2014, ISSCC, "Computing's energy problem".
CMOS_ADDITION = 0.9  # pJ, what one spike at one synapse takes: accumulate (AC)
CMOS_MULTIPLICATION = 3.7  # pJ
CMOS_MAC = CMOS_MULTIPLICATION + CMOS_ADDITION  # pJ, multiply and accumulate
# Teensy 4.0, a Cortex-M7 at 600 MHz: about 100 mA (PJRC, pjrc.com/store/teensy40.html) at 5 V. No
# operation on 32-bit floats takes less than a cycle, so each costs this at least.
CORTEX_M7_CYCLE = 1e12 * 5.0 * 0.100 / 600e6  # pJ, the whole board


@dataclass(frozen=True)
class NetworkSize:
    """What a network does every tick, whatever spikes."""

    neurons: int  # spiking ones, each updated once
    macs: int  # multiply-accumulates on real values; all of them where no layer spikes


@dataclass(frozen=True)
class Target:
    """What the operations of a network cost on a chip, in pJ."""

    synaptic_op: float  # one spike at one synapse
    neuron_update: float  # one spiking neuron, one tick
    mac: float  # one multiply-accumulate on real values

    def __call__(self, synaptic_ops: Operations, size: NetworkSize) -> Operations:
        """Return nJ of a tick with so many synaptic operations, or of many ticks (ticks,)."""
        always = size.neurons * self.neuron_update + size.macs * self.mac
        return 1e-3 * (synaptic_ops * self.synaptic_op + always)


TARGETS = {
    # Loihi has no operation for real values: these are charged to a 45 nm processor beside it.
    "loihi": Target(LOIHI_SYNAPTIC_OP, LOIHI_NEURON_UPDATE, CMOS_MAC),
    # The literature's convention: what neurons do by themselves is not counted.
    "cmos_45nm": Target(CMOS_ADDITION, 0.0, CMOS_MAC),
    "cortex_m7": Target(CORTEX_M7_CYCLE, CORTEX_M7_CYCLE, CORTEX_M7_CYCLE),
}
CONSTANTS_PJ = {
    "loihi_synaptic_op": LOIHI_SYNAPTIC_OP,
    "loihi_neuron_update": LOIHI_NEURON_UPDATE,
    "cmos_45nm_addition": CMOS_ADDITION,
    "cmos_45nm_mac": CMOS_MAC,
    "cortex_m7_cycle": CORTEX_M7_CYCLE,
}


def network_size(metadata: PolicyMetadata) -> NetworkSize:
    """Return the size that an artifact states."""
    return NetworkSize(sum(layer.neurons for layer in metadata.layers), metadata.input_macs)


def tick_energies(synaptic_ops: Operations, size: NetworkSize) -> dict[str, Operations]:
    """Return nJ of a tick on every target of TARGETS."""
    return {name: target(synaptic_ops, size) for name, target in TARGETS.items()}

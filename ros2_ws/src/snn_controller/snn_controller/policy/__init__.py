"""The policy: its file, the checks that the file must pass, and the runtime that ticks it."""

from snn_controller.policy.artifact import (
    FORMAT_VERSION,
    ZERO_DIGEST,
    PolicyMetadata,
    read_artifact,
    seal,
    sha256_of,
)
from snn_controller.policy.checks import FIXED_INPUTS
from snn_controller.policy.energy import (
    CMOS_ADDITION,
    CMOS_MAC,
    CONSTANTS_PJ,
    LOIHI_NEURON_UPDATE,
    LOIHI_SYNAPTIC_OP,
    TARGETS,
    NetworkSize,
    network_size,
    tick_energies,
)
from snn_controller.policy.runtime import Policy, import_onnxruntime

__all__ = [
    "CMOS_ADDITION",
    "CMOS_MAC",
    "CONSTANTS_PJ",
    "FIXED_INPUTS",
    "FORMAT_VERSION",
    "LOIHI_NEURON_UPDATE",
    "LOIHI_SYNAPTIC_OP",
    "TARGETS",
    "ZERO_DIGEST",
    "NetworkSize",
    "Policy",
    "PolicyMetadata",
    "import_onnxruntime",
    "network_size",
    "read_artifact",
    "seal",
    "sha256_of",
    "tick_energies",
]

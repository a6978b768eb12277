"""Checks of training options: what is allowed, said in the sentence that refuses the rest."""

from __future__ import annotations

from snn_controller.errors import UserError

from training.networks import NetworkConfig
from training.slopes import SlopeConfig
from training.surrogate import MAX_SLOPE, MIN_SLOPE

Rules = dict[str, tuple[bool, str]]  # option -> whether it is good, what is allowed


def require(rules: Rules) -> None:
    """Refuse the first option that breaks its rule.

    Raises:
        UserError: One does; the sentence names it and what is allowed.
    """
    for option, (good, allowed) in rules.items():
        if not good:
            raise UserError(f"--{option} is out of range; it must be {allowed}")


def network_rules(network: NetworkConfig) -> Rules:
    """Return the rules of a network's shape and of how it is initialised."""
    sizes = network.hidden
    return {
        "network.hidden": (len(sizes) > 0 and min(sizes) > 0, "one or more positive numbers"),
        "network.control-rate": (1.0 <= network.control_rate <= 1000.0, "1 to 1000 Hz"),
        "network.min-time-constant": (
            0.0 < network.min_time_constant <= network.max_time_constant <= 100.0,
            "above 0 s and at most --network.max-time-constant, which is at most 100 s",
        ),
        "network.min-threshold": (
            0.0 < network.min_threshold <= network.max_threshold <= 100.0,
            "above 0 and at most --network.max-threshold, which is at most 100",
        ),
        "network.input-gain": (0.0 < network.input_gain <= 1000.0, "above 0 and at most 1000"),
        "network.readout-gain": (0.0 < network.readout_gain <= 1000.0, "above 0 and at most 1000"),
        "network.readout-time-constant": (
            0.0 < network.readout_time_constant <= 100.0,
            "above 0 and at most 100 s",
        ),
        "network.synapse-time-constant": (
            0.0 < network.synapse_time_constant <= 100.0,
            "above 0 and at most 100 s",
        ),
    }


def slope_rules(slope: SlopeConfig) -> Rules:
    """Return the rules of a schedule of the surrogate slope."""
    allowed = f"{MIN_SLOPE:g} to {MAX_SLOPE:g}"
    return {
        "slope.start": (MIN_SLOPE <= slope.start <= MAX_SLOPE, allowed),
        "slope.end": (MIN_SLOPE <= slope.end <= MAX_SLOPE, allowed),
        "slope.intervals": (slope.intervals >= 1, "at least 1"),
    }

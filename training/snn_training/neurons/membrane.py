"""A layer of leaky integrate-and-fire membranes in physical terms, over sequences and by ticks.

    C_m dV/dt = -(V - V_rest) / R_m + I,    tau_m = R_m C_m,    spike if V > V_th, then V = V_rest

Forward Euler: V' = V + (dt / tau_m) (V_rest - V) + (dt / C_m) I. Exact for a current that is
constant over the tick: V' = V_rest + a (V - V_rest) + (1 - a) R_m I with a = exp(-dt / tau_m),
stable for any dt. Times are in s; with R_m in ohm, C_m in farad and I in ampere, V is in volt.

Both are U' = a U + I with a threshold: U = (V - V_rest) / g, g the volts that a tick of unit
current adds. So the compiled recurrence of the other networks runs them, and no gain is multiplied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from snn_training.common import Rules, bounded
from snn_training.neurons.cell import has_kernel, run_cell
from snn_training.neurons.lif import LIF
from snn_training.neurons.surrogate import heaviside

Integration = Literal["exact", "euler"]
Reset = Literal["hard", "soft"]
MIN_THRESHOLD = 0.02  # of U, when thresholds are set by data


@dataclass(frozen=True)
class MembraneConfig:
    """Constants of the neurons of a network; time constants and thresholds are learnt from here."""

    min_time_constant: float = bounded(0.005, above=0, note=" s")
    """Shortest initial tau_m in s; neurons of a layer are spread up to the longest."""
    max_time_constant: float = bounded(0.060, above=0, at_most=100, note=" s")
    """Longest initial tau_m in s."""
    resistance: float = bounded(1.0, above=0)
    """R_m; the capacitance is C_m = tau_m / R_m."""
    rest: float = 0.0
    """V_rest, which a hard reset returns to."""
    threshold: float = 1.0
    """V_th, above V_rest."""
    integration: Integration = "exact"
    """`exact` for a current that is constant over a tick, or forward `euler`."""
    reset: Reset = "hard"
    """`hard` returns to V_rest, `soft` lowers the membrane by V_th - V_rest; a tick later."""

    def relations(self) -> Rules:
        """Return what ties the constants together."""
        return {
            "min-time-constant": (
                self.min_time_constant <= self.max_time_constant,
                "above 0 s and at most --network.membranes.max-time-constant",
            ),
            "threshold": (self.threshold > self.rest, "above --network.membranes.rest"),
        }


def decay(time_constant: Any, period: float, integration: Integration) -> Any:
    """Return a, the share of V - V_rest that a tick of `period` s leaves of a tensor of tau_m."""
    ratio = period / time_constant
    if integration == "exact":
        return torch.exp(-ratio)
    return 1.0 - ratio


def gain(time_constant: Any, period: float, resistance: float, integration: Integration) -> Any:
    """Return g, the volts that a tick of unit current adds: (1 - a) R_m, or dt / C_m by Euler."""
    return resistance * (1.0 - decay(time_constant, period, integration))


class Membranes(nn.Module):
    """One layer of neurons. The state is U (batch, neurons) before the tick, zero at rest."""

    def __init__(
        self,
        neurons: int,
        config: MembraneConfig,
        *,
        period: float,
        generator: torch.Generator | None = None,
    ) -> None:
        """Spread the time constants; `period` is the time of a tick in s.

        Raises:
            ValueError: Euler would be unstable, or the threshold is not above rest.
        """
        super().__init__()
        shortest = config.min_time_constant
        if config.integration == "euler" and period > shortest:
            raise ValueError(f"Euler needs ticks below tau_m, not {period} s for {shortest} s")
        if not config.threshold > config.rest:
            raise ValueError("the threshold must be above the resting potential")
        self.neurons, self.config, self.period = neurons, config, period
        self.cell = LIF(hard=config.reset == "hard")
        low, high = math.log(shortest), math.log(config.max_time_constant)
        spread = low + (high - low) * torch.rand(neurons, generator=generator)
        self.log_time_constant = nn.Parameter(spread)
        self.log_threshold = nn.Parameter(
            torch.full((neurons,), math.log(config.threshold - config.rest))
        )
        self._frozen: tuple[Tensor, Tensor] | None = None
        self.wanted_rate: float | None = None  # while thresholds are set by data

    def constants(self) -> tuple[Tensor, Tensor]:
        """Return decay a and threshold of U, both (neurons,)."""
        if self._frozen is not None:
            return self._frozen
        config, tau = self.config, torch.exp(self.log_time_constant)
        added = gain(tau, self.period, config.resistance, config.integration)
        return decay(tau, self.period, config.integration), torch.exp(self.log_threshold) / added

    def freeze(self) -> None:
        """Compute the constants once and for all, so that a graph of a tick holds numbers."""
        self._frozen = None
        beta, threshold = self.constants()
        self._frozen = beta.detach().clone(), threshold.detach().clone()

    def forward(self, current: Tensor, membrane: Tensor, slope: float) -> tuple[Tensor, Tensor]:
        """Return the spikes of currents, of their shape, and the last U (batch, neurons).

        Args:
            current: I (T, batch, neurons), or (batch, neurons) of a single tick without gradient.
            membrane: U (batch, neurons) before the first tick.
            slope: Slope k of the surrogate gradient 1 / (1 + k |U - threshold|)^2.
        """
        if self.wanted_rate is not None:
            self._set_thresholds(current.detach(), self.wanted_rate)
        if current.dim() == 2:
            spikes, (last,) = self.cell.step(current, (membrane,), self.constants(), heaviside)
            return spikes, last
        compiled = has_kernel("auto")
        spikes, (last,) = run_cell(
            self.cell, current, (membrane,), self.constants(), slope, compiled=compiled
        )
        return spikes, last

    def _set_thresholds(self, current: Tensor, rate: float) -> None:
        """Put every threshold where the membrane, were it never reset, passes it at some rate."""
        tau, config = torch.exp(self.log_time_constant.detach()), self.config
        beta = decay(tau, self.period, config.integration)
        level, levels = torch.zeros_like(current[0]), []
        for now in current:
            level = beta * level + now
            levels.append(level)
        passed = torch.quantile(torch.stack(levels).flatten(0, 1), 1.0 - rate, dim=0)
        added = gain(tau, self.period, config.resistance, config.integration)
        with torch.no_grad():
            self.log_threshold.copy_(torch.log(passed.clamp(min=MIN_THRESHOLD) * added))

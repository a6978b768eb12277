"""The leaky integrate-and-fire neuron (LIF), which is reset a tick after its spike.

    U' = beta U + I - s(U) U_thr,   spike of the tick: s(U') = U' > U_thr

The reset is one tick late, so the membrane is the neuron's whole state. A hard reset forgets the
membrane instead: U' = beta U (1 - s(U)) + I. No gradient flows through the reset's own spike.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_training.neurons.cell import (
    Array,
    Arrays,
    Cell,
    CellRanges,
    Constant,
    Recurrence,
    Spike,
    decay_constant,
    threshold_constant,
)
from snn_training.neurons.surrogate import check_slope


class LIF(Cell):
    """State U; learnt are the decay beta a tick and the threshold."""

    name = "lif"
    states = ("membrane",)

    def __init__(self, *, hard: bool, constants: tuple[Constant, ...] = ()) -> None:
        """Take the reset and, unless whoever runs the cell has them, how constants are learnt."""
        self.hard, self.constants = hard, constants

    def step(
        self, current: Array, states: Arrays, constants: Arrays, spike: Spike
    ) -> tuple[Array, Arrays]:
        """Return spikes and membrane; see `Cell.step`."""
        (membrane,), (beta, threshold) = states, constants
        if self.hard:
            membrane = beta * (membrane * (membrane <= threshold)) + current
        else:
            reset = (membrane > threshold) * threshold
            membrane = beta * membrane + current - reset
        return spike(membrane, threshold), (membrane,)

    def levels(self, states: Arrays, constants: Arrays) -> tuple[Array, Array]:
        """Return membrane and threshold."""
        return states[0], constants[1]

    def gain(self, constants: Arrays) -> Array:
        """Return 1 - beta."""
        return 1.0 - constants[0]

    def sequence(
        self,
        currents: Tensor,
        states: Arrays,
        constants: Arrays,
        slope: float,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Arrays]:
        """Run a sequence several times faster than the loop of steps does; see `Cell.sequence`."""
        spikes, membrane = LIFSequence.apply(currents, *states, *constants, slope, keep, self.hard)  # type: ignore[misc]
        return spikes, (membrane,)

    def recurrence(self) -> Recurrence | None:
        """Return the compiled recurrence; None where numba is not installed."""
        try:
            from snn_training.neurons.lif_kernel import LIFRecurrence
        except ImportError:
            return None
        return LIFRecurrence(hard=self.hard)


def make_lif(ranges: CellRanges, options: object) -> LIF:
    """Return the neuron of a network; it has no options of its own."""
    name, rate = "log_time_constants", ranges.control_rate
    decay = decay_constant(name, rate, *ranges.time_constants, quick=True)
    threshold = threshold_constant("raw_thresholds", *ranges.thresholds)
    return LIF(hard=ranges.hard, constants=(decay, threshold))


class LIFSequence(torch.autograd.Function):
    """One LIF layer over a whole sequence, forward and backward written out in PyTorch's operators.

    `apply(current, membrane, beta, threshold, slope, keep, hard)` does what `LIF.step` does tick
    by tick.
    """

    @staticmethod
    def forward(
        ctx: Any,
        current: Tensor,
        membrane: Tensor,
        beta: Tensor,
        threshold: Tensor,
        slope: float,
        keep: Tensor | None = None,
        hard: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Return the spikes (T, B, N) and the last membrane (B, N).

        Args:
            ctx: Autograd's context.
            current: Input current (T, B, N).
            membrane: Membrane before the sequence (B, N).
            beta: Decay a tick (N,).
            threshold: Threshold (N,).
            slope: Slope k of the surrogate gradient.
            keep: 0 where the membrane is zeroed before a tick, else 1 (T, B); None keeps all.
            hard: Whether a spike zeroes the membrane instead of lowering it by the threshold.
        """
        check_slope(slope)
        membranes = current.new_empty((current.shape[0] + 1, *current.shape[1:]))
        spikes = torch.empty_like(current)
        membranes[0] = membrane
        befores, afters = membranes[:-1].unbind(), membranes[1:].unbind()
        for index, (now, before, after, spike) in enumerate(
            zip(current.unbind(), befores, afters, spikes.unbind(), strict=True)
        ):
            before, reset = _reset(before, threshold, keep, index, hard)
            torch.addcmul(now, before, beta, out=after)
            after.sub_(reset)
            torch.gt(after, threshold, out=spike)
        ctx.save_for_backward(membranes, beta, threshold, keep)
        ctx.slope, ctx.hard = slope, hard
        return spikes, membranes[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of current, first membrane, beta and threshold.

        Tick by tick backwards, so that everything but the result stays in the processor's cache.
        """
        membranes, beta, threshold, keep = ctx.saved_tensors
        grad_spikes, grad_last = grad_outputs
        grad_current = torch.empty_like(grad_spikes)
        sum_beta, sum_direct, sum_reset = (torch.zeros_like(grad_last) for _ in range(3))
        slope, later, work = ctx.slope, grad_last, torch.empty_like(grad_last)
        values = membranes.unbind()
        for index in range(len(grad_current) - 1, -1, -1):
            before, after, grad = values[index], values[index + 1], grad_current[index]
            torch.sub(after, threshold, out=work)
            work.abs_().mul_(slope).add_(1.0).square_().reciprocal_().mul_(grad_spikes[index])
            sum_direct.add_(work)
            torch.add(work, later, out=grad)
            later = grad * beta
            if keep is not None:
                before = before * keep[index][:, None]
                later.mul_(keep[index][:, None])
            fired = torch.gt(before, threshold, out=work)
            if ctx.hard:
                later.mul_(1.0 - fired)
                before = before * (1.0 - fired)
            else:
                sum_reset.addcmul_(grad, fired)
            sum_beta.addcmul_(grad, before)
        grad_threshold = -(sum_direct + sum_reset).sum(0)
        return grad_current, later, sum_beta.sum(0), grad_threshold, None, None, None


def _reset(
    membrane: Tensor, threshold: Tensor, keep: Tensor | None, tick: int, hard: bool
) -> tuple[Tensor, Tensor]:
    """Return the membrane that a tick starts from, and what its reset subtracts at the end."""
    if keep is not None:
        membrane = membrane * keep[tick][:, None]
    fired = membrane > threshold
    if hard:
        return membrane.masked_fill(fired, 0.0), torch.zeros_like(membrane)
    return membrane, fired * threshold

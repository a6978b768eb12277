"""Spikes that can be trained: a Heaviside step forward, a fast-sigmoid slope backward."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

MIN_SLOPE, MAX_SLOPE = 1.0, 100.0


def heaviside(membrane: Tensor, threshold: Tensor) -> Tensor:
    """Return 1 where the membrane is above its threshold, else 0; no gradient."""
    return (membrane > threshold).to(membrane.dtype)


def surrogate_gradient(distance: Tensor, slope: float) -> Tensor:
    """Return 1 / (1 + k |x|)^2 for x = membrane - threshold; it is 1 at the threshold."""
    return (1.0 + slope * distance.abs()).square_().reciprocal_()


def check_slope(slope: float) -> float:
    """Return the slope k if it lies in [1, 100].

    Raises:
        ValueError: It does not.
    """
    if not MIN_SLOPE <= slope <= MAX_SLOPE:
        raise ValueError(f"surrogate slope {slope} is outside {MIN_SLOPE:g} to {MAX_SLOPE:g}")
    return slope


class SurrogateSpike(torch.autograd.Function):
    """`apply(membrane, threshold, slope)`: heaviside whose gradient is the surrogate's."""

    @staticmethod
    def forward(ctx: Any, membrane: Tensor, threshold: Tensor, slope: float) -> Tensor:
        """Return spikes of the membrane's shape."""
        ctx.save_for_backward(membrane, threshold)
        ctx.slope = check_slope(slope)
        return heaviside(membrane, threshold)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, None]:
        """Return the gradients of membrane and threshold; the slope gets none."""
        membrane, threshold = ctx.saved_tensors
        grad = grad_outputs[0] * surrogate_gradient(membrane - threshold, ctx.slope)
        return grad, -grad.sum_to_size(threshold.shape), None


class LIFSequence(torch.autograd.Function):
    """One LIF layer over a whole sequence, forward and backward written out in PyTorch's operators.

    `apply(current, membrane, beta, threshold, slope, keep, hard)` does what `lif.lif_step` does
    tick by tick, several times faster than autograd through a loop. No gradient flows through the
    reset's spike.
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

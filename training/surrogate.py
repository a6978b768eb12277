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
    """One LIF layer over a whole sequence, forward and backward written out.

    `apply(current, membrane, beta, threshold, slope)` does what `networks.lif_step` does tick by
    tick, several times faster than autograd through a loop. No gradient flows through the reset's
    spike.
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, membrane: Tensor, beta: Tensor, threshold: Tensor, slope: float
    ) -> tuple[Tensor, Tensor]:
        """Return the spikes (T, B, N) and the last membrane (B, N).

        Args:
            ctx: Autograd's context.
            current: Input current (T, B, N).
            membrane: Membrane before the sequence (B, N).
            beta: Decay a tick (N,).
            threshold: Threshold (N,).
            slope: Slope k of the surrogate gradient.
        """
        check_slope(slope)
        membranes = torch.empty((current.shape[0] + 1, *current.shape[1:]), dtype=current.dtype)
        membranes[0] = membrane
        before = membranes[0]
        for now, after in zip(current.unbind(), membranes[1:].unbind(), strict=True):
            torch.mul(before, beta, out=after)
            after.add_(now)
            after.sub_((before > threshold) * threshold)
            before = after
        spikes = heaviside(membranes[1:], threshold)
        ctx.save_for_backward(membranes, beta, threshold)
        ctx.slope = slope
        return spikes, membranes[-1].clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None]:
        """Return the gradients of current, first membrane, beta and threshold."""
        membranes, beta, threshold = ctx.saved_tensors
        grad_spikes, grad_last = grad_outputs
        direct = surrogate_gradient(membranes[1:] - threshold, ctx.slope).mul_(grad_spikes)
        grad_current = direct.clone()
        later: Tensor = grad_last
        for index, grad in reversed(list(enumerate(grad_current.unbind()))):
            grad.add_(later) if index == len(grad_current) - 1 else grad.addcmul_(later, beta)
            later = grad
        before = membranes[:-1]
        resets = (before > threshold).to(before.dtype)
        grad_beta = torch.einsum("tbn,tbn->n", grad_current, before)
        grad_threshold = -direct.sum((0, 1)) - torch.einsum("tbn,tbn->n", grad_current, resets)
        return grad_current, later * beta, grad_beta, grad_threshold, None

"""One LIF layer over a sequence: one matrix product over all ticks, then a compiled recurrence."""

from __future__ import annotations

import threading
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from snn_controller.errors import UserError
from snn_training.neurons.kernel_c import load_c_kernel
from snn_training.neurons.lif import LayerWeights, lif_step
from snn_training.neurons.surrogate import LIFSequence, SurrogateSpike, check_slope

KernelName = Literal["auto", "c", "numba", "torch"]


class Kernel(Protocol):
    """A compiled recurrence; every tensor is float32, contiguous and on the CPU."""

    def forward(
        self,
        membranes: Tensor,
        spikes: Tensor,
        start: Tensor,
        beta: Tensor,
        threshold: Tensor,
        keep: Tensor | None,
        hard: bool,
    ) -> None:
        """Turn currents (ticks, rows, neurons) into membranes in place and fill in the spikes."""
        ...

    def backward(
        self,
        grad_current: Tensor,
        later: Tensor,
        sums: Tensor,
        grad_spikes: Tensor,
        membranes: Tensor,
        start: Tensor,
        beta: Tensor,
        threshold: Tensor,
        keep: Tensor | None,
        hard: bool,
        slope: float,
    ) -> None:
        """Fill grad_current and sums (3, neurons); turn later from the last to the first tick."""
        ...


def load_kernel(name: KernelName) -> Kernel | None:
    """Return a compiled recurrence; None stands for PyTorch's own operators.

    Args:
        name: `auto` takes the fastest there is: C, then numba, then PyTorch.

    Raises:
        UserError: The kernel asked for cannot be had.
    """
    if name == "torch":
        return None
    kernel = load_c_kernel() if name in ("auto", "c") else None
    if kernel is not None:
        return kernel
    if name == "c":
        raise UserError("there is no working C compiler for --network.kernel c; choose auto")
    try:
        from snn_training.neurons.kernel_numba import load_numba_kernel
    except ImportError as error:
        if name == "auto":
            return None
        raise UserError("numba is not installed; pip install numba or choose auto") from error
    return load_numba_kernel()


def lif_layer(
    kernel: Kernel | None,
    signal: Tensor,
    weight: Tensor,
    bias: Tensor,
    membrane: Tensor,
    beta: Tensor,
    threshold: Tensor,
    slope: float,
    *,
    keep: Tensor | None = None,
    hard: bool = False,
) -> tuple[Tensor, Tensor]:
    """Return the spikes (T, B, N) and the last membrane (B, N) of a layer.

    Args:
        kernel: Compiled recurrence, used where it can be: for float32 on the CPU.
        signal: Input (T, B, inputs).
        weight: (inputs, N).
        bias: (N,).
        membrane: Membrane before the sequence (B, N).
        beta: Decay a tick (N,).
        threshold: Threshold (N,).
        slope: Slope k of the surrogate gradient.
        keep: 0 where the membrane is zeroed before a tick, else 1 (T, B); None keeps all.
        hard: Whether a spike zeroes the membrane instead of lowering it by the threshold.
    """
    if kernel is None or signal.dtype != torch.float32 or signal.device.type != "cpu":
        current = functional.linear(signal, weight.T, bias)
        return LIFSequence.apply(current, membrane, beta, threshold, slope, keep, hard)  # type: ignore[misc]
    return CompiledLIFLayer.apply(
        signal, weight, bias, membrane, beta, threshold, slope, keep, hard, kernel
    )  # type: ignore[misc]


def lif_loop(
    current: Tensor,
    membrane: Tensor,
    layer: LayerWeights,
    slope: float,
    keep: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Return what `lif_layer` returns, tick by tick under autograd; recurrent layers need it.

    Args:
        current: Input current (T, B, N).
        membrane: Membrane before the sequence (B, N).
        layer: Weights.
        slope: Slope k of the surrogate gradient.
        keep: 0 where the membrane is zeroed before a tick, else 1 (T, B); None keeps all.
    """

    def spike(membrane: Tensor, threshold: Tensor) -> Any:
        return SurrogateSpike.apply(membrane, threshold, slope)

    spikes = []
    for tick, now in enumerate(current.unbind()):
        membrane = membrane if keep is None else membrane * keep[tick][:, None]
        fired, membrane = lif_step(now, membrane, layer, spike)
        spikes.append(fired)
    return torch.stack(spikes), membrane


def low_pass(drive: Tensor, state: Tensor, beta: Tensor, keep: Tensor | None = None) -> Tensor:
    """Return y_t = beta y_(t-1) + (1 - beta) x_t over the first axis of drive (T, batch, size)."""
    filtered = []
    for tick, now in enumerate(drive.unbind()):
        state = state if keep is None else state * keep[tick][:, None]
        state = beta * state + (1.0 - beta) * now
        filtered.append(state)
    return torch.stack(filtered)


class CompiledLIFLayer(torch.autograd.Function):
    """Product and recurrence in one, so that neither currents nor their gradients are kept."""

    @staticmethod
    def forward(
        ctx: Any,
        signal: Tensor,
        weight: Tensor,
        bias: Tensor,
        membrane: Tensor,
        beta: Tensor,
        threshold: Tensor,
        slope: float,
        keep: Tensor | None,
        hard: bool,
        kernel: Kernel,
    ) -> tuple[Tensor, Tensor]:
        """Return the spikes (T, B, N) and the last membrane (B, N); see `lif_layer`."""
        ctx.slope, ctx.hard, ctx.kernel = check_slope(slope), hard, kernel
        shape = (*signal.shape[:2], len(bias))
        membranes = torch.addmm(bias, signal.flatten(0, 1), weight).view(shape)
        spikes = torch.empty_like(membranes)
        start, beta, threshold = (x.contiguous() for x in (membrane, beta, threshold))
        keep = None if keep is None else keep.contiguous()
        kernel.forward(membranes, spikes, start, beta, threshold, keep, hard)
        ctx.save_for_backward(signal, weight, membranes, start, beta, threshold, keep)
        return spikes, membranes[-1].clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Return the gradients of signal, weight, bias, membrane, beta and threshold."""
        signal, weight, membranes, start, beta, threshold, keep = ctx.saved_tensors
        grad_spikes, later = grad_outputs[0].contiguous(), grad_outputs[1].clone()
        grad_current = _scratch(membranes)
        sums = membranes.new_empty(3, len(beta))
        ctx.kernel.backward(
            *(grad_current, later, sums, grad_spikes, membranes),
            *(start, beta, threshold, keep, ctx.hard, ctx.slope),
        )
        flat = grad_current.flatten(0, 1)
        to_signal = (flat @ weight.T).view_as(signal) if ctx.needs_input_grad[0] else None
        to_weight = signal.flatten(0, 1).T @ flat
        return to_signal, to_weight, sums[0], later, sums[1], sums[2], None, None, None, None


_buffers = threading.local()


def _scratch(like: Tensor) -> Tensor:
    """Return a buffer of a tensor's shape that the thread's next call overwrites.

    Gradients of currents are used up at once; fresh pages for them would cost more than the
    recurrence.
    """
    buffer = getattr(_buffers, "values", None)
    if buffer is None or buffer.numel() < like.numel():
        buffer = _buffers.values = like.new_empty(like.numel())
    return buffer[: like.numel()].view_as(like)

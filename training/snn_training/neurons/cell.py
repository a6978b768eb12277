"""What a neuron model is, and how a layer of any model runs: by ticks, over sequences, compiled.

A cell says which numbers a neuron learns, which states it keeps, and one step, written with
operators only, so that training, the ONNX export and roll-outs in NumPy all run that definition. A
cell may bring a compiled recurrence over time; where it does not, its step is looped.
"""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from snn_controller.errors import UserError
from snn_training.neurons.surrogate import SurrogateSpike, check_slope

Array: TypeAlias = Any  # of torch or NumPy
Arrays: TypeAlias = tuple[Array, ...]
Spike: TypeAlias = Callable[[Array, Array], Array]  # (membrane, threshold) -> zeros and ones
KernelName = Literal["auto", "c", "numba", "torch"]


@dataclass(frozen=True)
class CellRanges:
    """What a network's configuration says of its neurons, whatever their model."""

    control_rate: float  # Hz
    time_constants: tuple[float, float]  # s, shortest and longest at first
    thresholds: tuple[float, float]  # lowest and highest at first
    hard: bool  # a spike zeroes the membrane instead of lowering it by the threshold


@dataclass(frozen=True)
class Constant:
    """A number that each neuron learns: how it is drawn and stored, and what a tick uses."""

    parameter: str
    """Name of the parameter, as checkpoints have it."""
    draw: Callable[[int, torch.Generator | None], Tensor]
    """Gives the parameter's first values (neurons,)."""
    used: Callable[[Tensor], Tensor]
    """Turns the parameter into what a tick uses, with gradients."""
    stored: Callable[[Tensor], Tensor]
    """Turns that into the parameter again."""
    quick: bool = False
    """Whether the parameter wants a larger step than weights do."""


def decay_constant(
    parameter: str,
    control_rate: float,
    low: float,
    high: float | None = None,
    *,
    quick: bool = False,
) -> Constant:
    """Return a decay a tick, stored as the logarithm of a time constant in s.

    Args:
        parameter: Name of the parameter.
        control_rate: Ticks a second.
        low: Shortest time constant at first.
        high: Longest; None begins all at `low`.
        quick: Whether it wants a larger step than weights do.
    """

    def draw(size: int, generator: torch.Generator | None) -> Tensor:
        if high is None:
            return torch.full((size,), math.log(low))
        return _spread(math.log(low), math.log(high), size, generator)

    return Constant(
        parameter,
        draw=draw,
        used=lambda stored: torch.exp(-torch.exp(-stored) / control_rate),
        stored=lambda decay: -torch.log(-torch.log(decay.double()) * control_rate).float(),
        quick=quick,
    )


def threshold_constant(parameter: str, low: float, high: float) -> Constant:
    """Return a threshold, stored before softplus, so that it stays positive."""
    return Constant(
        parameter,
        draw=lambda size, generator: _inverse_softplus(_spread(low, high, size, generator)),
        used=functional.softplus,
        stored=_inverse_softplus,
    )


def _spread(low: float, high: float, size: int, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(size, generator=generator)


def _inverse_softplus(value: Tensor) -> Tensor:
    return torch.log(torch.expm1(value))


class Recurrence(Protocol):
    """A cell's recurrence over time, compiled; every tensor is float32, contiguous, on the CPU."""

    def forward(
        self, traces: list[Tensor], spikes: Tensor, constants: list[Tensor], keep: Tensor | None
    ) -> None:
        """Fill in the states after each tick and the spikes.

        Args:
            traces: One (1 + ticks, rows, neurons) a state, which begins with that before the
                sequence; the first state's holds the input currents after that.
            spikes: (ticks, rows, neurons).
            constants: (neurons,), as the cell orders them.
            keep: 0 where states are zeroed before a tick, else 1 (ticks, rows); None keeps all.
        """
        ...

    def backward(
        self,
        grad_currents: Tensor,
        grad_states: list[Tensor],
        sums: Tensor,
        grad_spikes: Tensor,
        traces: list[Tensor],
        constants: list[Tensor],
        keep: Tensor | None,
        slope: float,
    ) -> None:
        """Fill in the gradients of the currents and the sums (1 + constants, neurons).

        The sums are the gradients of the bias and of each constant. `grad_states` (rows, neurons)
        go from those of the last states to those of the first. Slope k is the surrogate's.
        """
        ...


class Cell(ABC):
    """A neuron model. States and spikes are (rows, neurons), constants (neurons,)."""

    name: str
    """Begins the names of layers in an artifact, which count from 1."""
    states: tuple[str, ...]
    """Names of the states; layers' names are appended. All are zero after a reset."""
    constants: tuple[Constant, ...] = ()
    """What neurons learn, in the order in which the methods take it."""

    @abstractmethod
    def step(
        self, current: Array, states: Arrays, constants: Arrays, spike: Spike
    ) -> tuple[Array, Arrays]:
        """Return spikes and states after a tick with an input current (rows, neurons).

        Only operators that torch and NumPy share; `spike` is the surrogate's in training.
        """

    @abstractmethod
    def levels(self, states: Arrays, constants: Arrays) -> tuple[Array, Array]:
        """Return membrane and threshold after a tick: it spiked where the first was above."""

    @abstractmethod
    def gain(self, constants: Arrays) -> Array:
        """Return by how much of the level that it holds a constant current moves the membrane."""

    def sequence(
        self,
        currents: Tensor,
        states: Arrays,
        constants: Arrays,
        slope: float,
        keep: Tensor | None = None,
    ) -> tuple[Tensor, Arrays]:
        """Return the spikes of currents (T, rows, neurons) and the last states, by PyTorch.

        Args:
            currents: Input currents.
            states: Before the sequence.
            constants: As `constants` orders them.
            slope: Slope k of the surrogate gradient.
            keep: 0 where states are zeroed before a tick, else 1 (T, rows); None keeps all.
        """
        return loop_steps(self, currents, states, constants, slope, keep)

    def recurrence(self) -> Recurrence | None:
        """Return the compiled recurrence, if the model has one; it needs numba."""
        return None


class PassThrough:
    """A synapse or a read-out without a state: what comes in goes out."""

    states: tuple[str, ...] = ()
    constants: tuple[Constant, ...] = ()

    def step(self, value: Array, states: Arrays, constants: Arrays) -> tuple[Array, Arrays]:
        """Return the output (rows, size) of a tick and the next states."""
        return value, ()

    def sequence(
        self, values: Tensor, states: Arrays, constants: Arrays, keep: Tensor | None
    ) -> tuple[Tensor, Arrays]:
        """Return the outputs (T, rows, size) of a sequence and the last states."""
        return values, ()


class LowPass(PassThrough):
    """y' = a y + (1 - a) x: a synaptic current that decays (CuBa), a leaky read-out."""

    def __init__(self, state: str, constant: Constant) -> None:
        """Take the name of the state y and the decay a."""
        self.states, self.constants = (state,), (constant,)

    def step(self, value: Array, states: Arrays, constants: Arrays) -> tuple[Array, Arrays]:
        """Return y', which is the next state, too."""
        (before,), (alpha,) = states, constants
        after = alpha * before + (1.0 - alpha) * value
        return after, (after,)

    def sequence(
        self, values: Tensor, states: Arrays, constants: Arrays, keep: Tensor | None
    ) -> tuple[Tensor, Arrays]:
        """Return y after each tick, and the last."""
        filtered = []
        for tick, value in enumerate(values.unbind()):
            after, states = self.step(value, _kept(states, keep, tick), constants)
            filtered.append(after)
        return torch.stack(filtered), states


class LayerWeights(NamedTuple):
    """Arrays of one layer, of torch or NumPy."""

    weight: Array  # (inputs, neurons)
    bias: Array  # (neurons,)
    neuron: Arrays  # constants of the cell
    synapse: Arrays = ()  # constants of the synapse
    recurrent: Array | None = None  # (neurons, neurons) from the layer's last spikes to itself


def step_layer(
    cell: Cell,
    synapse: PassThrough,
    layer: LayerWeights,
    current: Array,
    states: Arrays,
    spike: Spike,
) -> tuple[Array, Arrays]:
    """Advance a layer by one tick and return spikes (rows, neurons) and states.

    Args:
        cell: Model of its neurons.
        synapse: What its input current goes through.
        layer: Weights; all but those of the input are used.
        current: W x + b (rows, neurons).
        states: Of the cell, then of the synapse.
        spike: Maps (membrane, threshold) to zeros and ones; here training puts its surrogate.
    """
    own, others = states[: len(cell.states)], states[len(cell.states) :]
    current, others = synapse.step(current, others, layer.synapse)
    if layer.recurrent is not None:
        current = current + spike(*cell.levels(own, layer.neuron)) @ layer.recurrent
    spikes, own = cell.step(current, own, layer.neuron, spike)
    return spikes, (*own, *others)


def run_layer(
    cell: Cell,
    synapse: PassThrough,
    layer: LayerWeights,
    signal: Tensor,
    states: Arrays,
    slope: float,
    *,
    keep: Tensor | None = None,
    compiled: bool = False,
) -> tuple[Tensor, Arrays]:
    """Return the spikes (T, rows, neurons) of a sequence and the last states.

    Args:
        cell: Model of its neurons.
        synapse: What its input current goes through.
        layer: Weights.
        signal: Input (T, rows, inputs).
        states: Of the cell, then of the synapse, before the sequence.
        slope: Slope k of the surrogate gradient.
        keep: 0 where states are zeroed before a tick, else 1 (T, rows); None keeps all.
        compiled: Whether to use the cell's compiled recurrence where it can be used.
    """
    own, others = states[: len(cell.states)], states[len(cell.states) :]
    if not synapse.states and layer.recurrent is None:
        recurrence = _usable(cell, signal) if compiled else None
        if recurrence is not None:  # with the product in it, so that no current is kept
            inputs = signal, layer.weight, layer.bias
            return _run_compiled(recurrence, inputs, own, layer.neuron, slope, keep)
    current = functional.linear(signal, layer.weight.T, layer.bias)
    current, others = synapse.sequence(current, others, layer.synapse, keep)
    if layer.recurrent is not None:
        spikes, own = loop_steps(cell, current, own, layer.neuron, slope, keep, layer.recurrent)
    else:
        spikes, own = run_cell(cell, current, own, layer.neuron, slope, keep, compiled=compiled)
    return spikes, (*own, *others)


def run_cell(
    cell: Cell,
    currents: Tensor,
    states: Arrays,
    constants: Arrays,
    slope: float,
    keep: Tensor | None = None,
    *,
    compiled: bool,
) -> tuple[Tensor, Arrays]:
    """Do what `Cell.sequence` does, compiled where that is wanted and can be."""
    recurrence = _usable(cell, currents) if compiled else None
    if recurrence is None:
        return cell.sequence(currents, states, constants, slope, keep)
    return _run_compiled(recurrence, (currents, None, None), states, constants, slope, keep)


def loop_steps(
    cell: Cell,
    currents: Tensor,
    states: Arrays,
    constants: Arrays,
    slope: float,
    keep: Tensor | None = None,
    recurrent: Tensor | None = None,
) -> tuple[Tensor, Arrays]:
    """Do what `Cell.sequence` does by the cell's step, under autograd.

    With recurrent weights (neurons, neurons), the layer's last spikes add to its currents.
    """

    def spike(membrane: Tensor, threshold: Tensor) -> Any:
        return SurrogateSpike.apply(membrane, threshold, slope)

    spikes = []
    for tick, current in enumerate(currents.unbind()):
        states = _kept(states, keep, tick)
        if recurrent is not None:
            current = current + spike(*cell.levels(states, constants)) @ recurrent
        fired, states = cell.step(current, states, constants, spike)
        spikes.append(fired)
    return torch.stack(spikes), states


def has_kernel(name: KernelName) -> bool:
    """Return whether recurrences are to be run compiled, else by PyTorch's own operators.

    Args:
        name: `auto` compiles where numba is installed; `c` is what runs of before C was dropped
            say, and means numba.

    Raises:
        UserError: numba is asked for and not installed.
    """
    if name == "torch":
        return False
    try:
        import numba  # noqa: F401
    except ImportError as error:
        if name == "auto":
            return False
        raise UserError("numba is not installed; pip install numba or choose auto") from error
    return True


def _kept(states: Arrays, keep: Tensor | None, tick: int) -> Arrays:
    """Return the states, zeroed where a sequence restarts before a tick."""
    return states if keep is None else tuple(x * keep[tick][:, None] for x in states)


def _usable(cell: Cell, values: Tensor) -> Recurrence | None:
    fits = values.dtype == torch.float32 and values.device.type == "cpu"
    return cell.recurrence() if fits else None


def _run_compiled(
    recurrence: Recurrence,
    inputs: tuple[Tensor, Tensor | None, Tensor | None],
    states: Arrays,
    constants: Arrays,
    slope: float,
    keep: Tensor | None,
) -> tuple[Tensor, Arrays]:
    spikes, *last = CompiledSequence.apply(
        recurrence, slope, keep, *inputs, len(states), *states, *constants
    )  # type: ignore[misc]
    return spikes, tuple(last)


class CompiledSequence(torch.autograd.Function):
    """A compiled recurrence, with the product before it where weights are given.

    With the product, neither currents nor their gradients are kept.
    """

    @staticmethod
    def forward(
        ctx: Any,
        recurrence: Recurrence,
        slope: float,
        keep: Tensor | None,
        signal: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        count: int,
        *arrays: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the spikes (T, rows, neurons) and the last states (rows, neurons).

        Args:
            ctx: Autograd's context.
            recurrence: What to run.
            slope: Slope k of the surrogate gradient.
            keep: 0 where states are zeroed before a tick, else 1 (T, rows); None keeps all.
            signal: Input (T, rows, inputs), or currents (T, rows, neurons) without weights.
            weight: (inputs, neurons) or None.
            bias: (neurons,) or None.
            count: States of the cell.
            arrays: Its states before the sequence, then its constants.
        """
        ctx.recurrence, ctx.slope, ctx.count = recurrence, check_slope(slope), count
        starts, constants = arrays[:count], [x.contiguous() for x in arrays[count:]]
        shape = len(signal), *starts[0].shape
        traces = [signal.new_empty(1 + shape[0], *shape[1:]) for _ in starts]
        for trace, start in zip(traces, starts, strict=True):
            trace[0] = start
        currents = traces[0][1:]
        if weight is None or bias is None:
            currents.copy_(signal)
        else:
            torch.addmm(bias, signal.flatten(0, 1), weight, out=currents.view(-1, shape[-1]))
        keep = None if keep is None else keep.contiguous()
        spikes = signal.new_empty(shape)
        recurrence.forward(traces, spikes, constants, keep)
        product = (None, None) if weight is None else (signal, weight)
        ctx.save_for_backward(*product, keep, *traces, *constants)
        return spikes, *(trace[-1].clone() for trace in traces)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - decorated, so by position
        ctx: Any, *grad_outputs: Tensor
    ) -> tuple[Tensor | None, ...]:
        """Return the gradients of signal, weight, bias, states and constants."""
        signal, weight, keep, *arrays = ctx.saved_tensors
        traces, constants = arrays[: ctx.count], arrays[ctx.count :]
        grad_spikes = grad_outputs[0].contiguous()
        grad_states = [x.clone(memory_format=torch.contiguous_format) for x in grad_outputs[1:]]
        grad_currents = torch.empty_like(grad_spikes) if weight is None else _scratch(grad_spikes)
        sums = grad_currents.new_empty(1 + len(constants), grad_currents.shape[-1])
        ctx.recurrence.backward(
            *(grad_currents, grad_states, sums, grad_spikes),
            *(traces, constants, keep, ctx.slope),
        )
        rest = None, *grad_states, *sums[1:]
        if weight is None:
            return None, None, None, grad_currents, None, None, *rest
        flat = grad_currents.flatten(0, 1)
        to_signal = (flat @ weight.T).view_as(signal) if ctx.needs_input_grad[3] else None
        to_weight = signal.flatten(0, 1).T @ flat
        return None, None, None, to_signal, to_weight, sums[0], *rest


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

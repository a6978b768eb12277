"""The recurrence of a LIF layer over a whole sequence, forward and backward, compiled by numba.

A block of rows runs through all ticks before the next block starts, so that its state stays in the
first cache. What is the same in every row lies in one array of a fixed width, column by column: so
the compiler sees that these rows cannot overlap, and need not check it for each row. No slice is
taken in a loop: each would cost as much as a row of a small layer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]
BLOCK_FLOATS = 4096  # 16 kB a stream: the streams of a block fit the first two caches
WIDTH = 1024  # neurons that run side by side
# Contraction and signs of zero only: everything else would let the compiler forget about NaN.
OPTIONS: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": {"nsz", "contract"}}
ZERO, ONE = np.float32(0.0), np.float32(1.0)
NO_MASK = np.empty((0, 0), np.float32)


class LIFRecurrence:
    """Forward and backward of one layer; releases Python's lock meanwhile. See `Recurrence`."""

    def __init__(self, *, hard: bool) -> None:
        """Take the reset: hard zeroes the membrane, else it is lowered by the threshold."""
        self.hard = hard

    def forward(
        self, traces: list[Tensor], spikes: Tensor, constants: list[Tensor], keep: Tensor | None
    ) -> None:
        """Turn the currents in the trace into membranes and fill in the spikes."""
        _forward(*_arrays(*traces, spikes, *constants), _mask(keep), self.hard)

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
        """Fill in gradients of currents and sums; turn those of the last membrane to the first."""
        arrays = _arrays(grad_currents, *grad_states, sums, grad_spikes, *traces, *constants)
        _backward(*arrays, _mask(keep), self.hard, np.float32(slope))


def _arrays(*tensors: Tensor) -> tuple[Floats, ...]:
    return tuple(x.detach().numpy() for x in tensors)


def _mask(keep: Tensor | None) -> Floats:
    return NO_MASK if keep is None else keep.detach().numpy()


def _compiled(function: Callable[..., None]) -> Callable[..., None]:
    """Compile a pass; the machine code is kept on disk where some folder can be written."""
    try:
        return numba.njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # numba found no place for its cache
        return numba.njit(**OPTIONS)(function)


@_compiled
def _forward(
    membranes: Floats, spikes: Floats, beta: Floats, threshold: Floats, keep: Floats, hard: bool
) -> None:
    ticks, rows, neurons = spikes.shape
    block = max(1, BLOCK_FLOATS // neurons)
    own = np.empty((2, WIDTH), np.float32)  # beta, threshold
    for begin in range(0, neurons, WIDTH):
        width = min(WIDTH, neurons - begin)
        for n in range(width):
            own[0, n], own[1, n] = beta[begin + n], threshold[begin + n]
        for first in range(0, rows, block):
            for tick in range(ticks):
                for row in range(first, min(first + block, rows)):
                    kept = keep[tick, row] if keep.size else ONE
                    for n in range(width):
                        column = np.uintp(begin + n)  # unsigned: no index counts from the end
                        u = kept * membranes[tick, row, column]
                        fired = u > own[1, n]
                        left = ZERO if hard and fired else u
                        reset = own[1, n] if fired and not hard else ZERO
                        after = own[0, n] * left + membranes[tick + 1, row, column] - reset
                        membranes[tick + 1, row, column] = after
                        spikes[tick, row, column] = ONE if after > own[1, n] else ZERO


@_compiled
def _backward(
    grad_currents: Floats,
    later: Floats,
    sums: Floats,
    grad_spikes: Floats,
    membranes: Floats,
    beta: Floats,
    threshold: Floats,
    keep: Floats,
    hard: bool,
    slope: Any,
) -> None:
    """Sums of bias, beta, threshold are gathered by block: rounding does not grow with rows."""
    ticks, rows, neurons = grad_spikes.shape
    block = max(1, BLOCK_FLOATS // neurons)
    sums[:] = ZERO
    own = np.empty((5, WIDTH), np.float32)  # beta, threshold, and what a block adds to the sums
    for begin in range(0, neurons, WIDTH):
        width = min(WIDTH, neurons - begin)
        for n in range(width):
            own[0, n], own[1, n] = beta[begin + n], threshold[begin + n]
        for first in range(0, rows, block):
            own[2:] = ZERO
            for back in range(ticks):
                tick = ticks - 1 - back
                for row in range(first, min(first + block, rows)):
                    kept = keep[tick, row] if keep.size else ONE
                    for n in range(width):
                        column = np.uintp(begin + n)
                        distance = membranes[tick + 1, row, column] - own[1, n]
                        spread = ONE + slope * abs(distance)
                        direct = grad_spikes[tick, row, column] / (spread * spread)
                        total = direct + later[row, column]
                        u = kept * membranes[tick, row, column]
                        fired = u > own[1, n]
                        grad_currents[tick, row, column] = total
                        passed = ZERO if hard and fired else kept
                        later[row, column] = passed * (total * own[0, n])
                        own[2, n] += total
                        own[3, n] += total * (ZERO if hard and fired else u)
                        own[4, n] -= direct + (total if fired and not hard else ZERO)
            for n in range(width):
                for part in range(3):
                    sums[part, begin + n] += own[2 + part, n]

"""The LIF recurrence compiled by numba, where there is no C compiler; see lif_kernel.c."""

from __future__ import annotations

from functools import cache
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[np.float32]
BLOCK_FLOATS = 4096  # 16 kB a stream: the streams of a block fit the first two caches


class NumbaKernel:
    """Forward and backward of one layer's recurrence; same methods as CKernel."""

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
        _forward(
            _array(membranes),
            _array(spikes),
            _array(start),
            _array(beta),
            _array(threshold),
            _keep(keep),
            hard,
        )

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
        _backward(
            _array(grad_current),
            _array(later),
            _array(sums),
            _array(grad_spikes),
            _array(membranes),
            _array(start),
            _array(beta),
            _array(threshold),
            _keep(keep),
            hard,
            np.float32(slope),
        )


@cache
def load_numba_kernel() -> NumbaKernel:
    """Return the kernel; it compiles on its first call and is cached on disk after that."""
    return NumbaKernel()


@numba.njit(cache=True, error_model="numpy", fastmath={"nsz", "contract"})
def _forward(
    membranes: Array,
    spikes: Array,
    start: Array,
    beta: Array,
    threshold: Array,
    keep: Array,
    hard: bool,
) -> None:
    ticks, rows, neurons = membranes.shape
    block = max(1, BLOCK_FLOATS // neurons)
    for first in range(0, rows, block):
        for tick in range(ticks):
            for row in range(first, min(first + block, rows)):
                kept = keep[tick, row] if keep.size else np.float32(1.0)
                before = membranes[tick - 1, row] if tick else start[row]
                after, spike = membranes[tick, row], spikes[tick, row]
                for n in range(neurons):
                    u = kept * before[n]
                    fired = u > threshold[n]
                    left = np.float32(0.0) if hard and fired else u
                    reset = threshold[n] if fired and not hard else np.float32(0.0)
                    following = beta[n] * left + after[n] - reset
                    after[n] = following
                    spike[n] = np.float32(1.0) if following > threshold[n] else np.float32(0.0)


@numba.njit(cache=True, error_model="numpy", fastmath={"nsz", "contract"})
def _backward(
    grad_current: Array,
    later: Array,
    sums: Array,
    grad_spikes: Array,
    membranes: Array,
    start: Array,
    beta: Array,
    threshold: Array,
    keep: Array,
    hard: bool,
    slope: Any,
) -> None:
    ticks, rows, neurons = membranes.shape
    block = max(1, BLOCK_FLOATS // neurons)
    sums[:] = 0.0
    parts = np.empty((3, neurons), np.float32)
    to_bias, to_beta, to_threshold = parts[0], parts[1], parts[2]
    for first in range(0, rows, block):
        parts[:] = 0.0
        for back in range(ticks):
            tick = ticks - 1 - back
            for row in range(first, min(first + block, rows)):
                kept = keep[tick, row] if keep.size else np.float32(1.0)
                before = membranes[tick - 1, row] if tick else start[row]
                after, outer = membranes[tick, row], grad_spikes[tick, row]
                grad, carried = grad_current[tick, row], later[row]
                for n in range(neurons):
                    width = np.float32(1.0) + slope * abs(after[n] - threshold[n])
                    direct = outer[n] / (width * width)
                    total = direct + carried[n]
                    u = kept * before[n]
                    fired = u > threshold[n]
                    grad[n] = total
                    to_bias[n] += total
                    to_beta[n] += np.float32(0.0) if hard and fired else total * u
                    to_threshold[n] -= direct + (total if fired and not hard else np.float32(0.0))
                    passed = np.float32(0.0) if hard and fired else kept
                    carried[n] = passed * (total * beta[n])
        sums += parts


def _array(tensor: Tensor) -> Array:
    return tensor.detach().numpy()


def _keep(keep: Tensor | None) -> Array:
    return np.empty((0, 0), np.float32) if keep is None else _array(keep)

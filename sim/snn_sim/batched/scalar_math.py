"""Compiled scalar helpers of the batched simulator: branch-free angles, each drone's randomness."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from snn_controller.errors import UserError

try:
    from numba import njit
    from numba.core.caching import FunctionCache
except ImportError as error:
    raise UserError(
        f"the batched simulator needs numba ({error}): pip install -e '.[training]', or "
        "use the simulator pybullet"
    ) from error

# No flag that lets the compiler forget about NaN: that is how a crash may look.
FAST = {"contract", "nsz", "arcp"}
OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": FAST}
Function = Callable[..., Any]
inlined: Callable[[Function], Function] = njit(forceinline=True, **OPTIONS)
# Compiled by itself where it is seldom called; kept on disk only as a part of its callers.
called: Callable[[Function], Function] = njit(**OPTIONS)


class _OptionalCache(FunctionCache):
    """Machine code on disk that nothing depends on: what fails there is compiled again."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return what is kept for a signature, None for nothing, or nothing that can be read."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file raises anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep what was compiled, if the disk takes it."""
        with suppress(Exception):
            super().save_overload(sig, data)


def compile_kept(function: Function, **options: Any) -> Function:
    """Compile a function on its first call; the machine code is kept on disk where that works.

    Where no folder can be written, the disk is full or what is there is damaged, every process
    compiles for itself.

    Args:
        function: What to compile.
        options: Of numba's `njit`.
    """
    dispatcher: Any = njit(**options)(function)
    with suppress(RuntimeError):  # numba finds no place for its cache
        dispatcher._cache = _OptionalCache(function)
    return dispatcher


def compiled(function: Function) -> Function:
    """Compile a whole pass, kept on disk."""
    return compile_kept(function, **OPTIONS)


_TURN = math.tan(math.pi / 8.0)
_TINY = 1e-300


def _fit_arctangent(terms: int) -> tuple[float, ...]:
    """Return c with atan(t) = t (c0 + c1 t^2 + ...) for |t| <= tan(22.5 deg), by interpolation."""
    squares = _TURN**2 * (0.5 - 0.5 * np.cos((np.arange(terms) + 0.5) * np.pi / terms))
    values = np.arctan(np.sqrt(squares)) / np.sqrt(squares)
    scaled = np.polynomial.Polynomial.fit(squares, values, terms - 1, domain=[0.0, _TURN**2])
    return tuple(float(c) for c in scaled.convert().coef)


_C0, _C1, _C2, _C3, _C4, _C5, _C6, _C7, _C8 = _fit_arctangent(9)


@inlined
def clamp(value: float, low: float, high: float) -> float:
    """Limit a value; NaN stays NaN."""
    value = low if value < low else value
    return high if value > high else value


@inlined
def angle_between_axes(opposite: float, adjacent: float) -> float:
    """Return |atan2(opposite, adjacent)| in [0, pi] without a branch, to 1e-12 rad."""
    y, x = math.fabs(opposite), math.fabs(adjacent)
    small = y if y < x else x
    large = x if y < x else y
    t = small / (large + _TINY)
    shifted = t > _TURN
    t = (t - 1.0) / (t + 1.0) if shifted else t
    s = t * t
    series = _C4 + s * (_C5 + s * (_C6 + s * (_C7 + s * _C8)))
    angle = t * (_C0 + s * (_C1 + s * (_C2 + s * (_C3 + s * series))))
    angle = angle + 0.25 * math.pi if shifted else angle
    angle = 0.5 * math.pi - angle if y > x else angle
    return math.pi - angle if adjacent < 0.0 else angle


@inlined
def scramble(value: int) -> int:
    """Mix the bits of a 64-bit number (the finaliser of SplitMix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@inlined
def stream_of(seed: int, drone: int, episode: int) -> int:
    """Return the random state that an episode of a drone begins with: it depends on these only."""
    step = np.uint64(0x9E3779B97F4A7C15)
    first = scramble(np.uint64(seed) + step)
    second = scramble(first ^ (np.uint64(drone) + np.uint64(1)) * step)
    return scramble(second ^ (np.uint64(episode) + np.uint64(1)) * step)


@inlined
def uniform(streams: Any, drone: int, low: float, high: float) -> float:
    """Draw a number in [low, high) from a drone's stream."""
    streams[drone] += np.uint64(0x9E3779B97F4A7C15)
    bits = scramble(streams[drone]) >> np.uint64(11)
    return low + (high - low) * (np.float64(bits) * 2.0**-53)


@inlined
def normal_pair(streams: Any, drone: int) -> tuple[float, float]:
    """Draw two standard normal numbers from a drone's stream."""
    radius = math.sqrt(-2.0 * math.log(1.0 - uniform(streams, drone, 0.0, 1.0)))
    angle = uniform(streams, drone, 0.0, 2.0 * math.pi)
    return radius * math.cos(angle), radius * math.sin(angle)

"""What a flight leaves behind, tick by tick: in memory, and as rows of numbers. ROS-free.

A row is what the topic `snn_controller/tick` carries: all that the policy saw, answered and caused
in a tick, so that a recorded flight can be judged, replayed and learned from without anything else.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.safety import Mode
from snn_controller.vehicle import Array, Reference, State

CAPACITY = 60_000  # ticks kept: the last ten minutes at 100 Hz, so that memory stays bounded
TICK_VERSION = 1
MODES = tuple(mode.value for mode in Mode)  # a row holds the index
# Name and how many numbers, in the order of a row. Names are the labels of the message's layout.
TICK_FIELDS: tuple[tuple[str, int], ...] = (
    ("flight", 1),  # 1 for the first flight of the controller's process, then 2, ...
    ("index", 1),  # 0 for the first tick of the flight
    ("stamp_seconds", 1),  # of the odometry that the tick answers, else of the flight's clock
    ("stamp_nanoseconds", 1),
    ("time", 1),  # s since the flight began
    ("mode", 1),  # after the tick, as an index into MODES
    ("ran", 1),  # 1 if the network ran in the tick, even if its action was refused
    ("reset", 1),  # 1 if the neurons were reset just before it ran
    ("stopped", 1),  # 1 if motors were off, or a pilot flew
    ("missed", 1),  # control periods without odometry just before
    ("synaptic_ops", 1),
    ("latency", 1),  # s of wall time from odometry in to command out; NaN where none was measured
    ("position", 3),  # m, world
    ("quaternion", 4),  # xyzw, body to world
    ("velocity", 3),  # m/s, world
    ("body_rates", 3),  # rad/s, body
    ("reference_position", 3),  # m, world
    ("reference_velocity", 3),  # m/s, world
    ("action", 4),  # as the network gave it; NaN where it did not run
    ("last_action", 4),  # as the network was told it; NaN where it did not run
    ("command", 4),  # throttle, or thrust and rates; zeros where stopped
)
TICK_SIZE = sum(size for _, size in TICK_FIELDS)
SPIKE_RATE = "spike_rate_"  # with a layer's name: share of its neurons that fired; after the rest
_NO_ACTION = (float("nan"),) * 4
_SECOND = 1_000_000_000


@dataclass(frozen=True)
class Decision:
    """What the policy answered in a tick."""

    action: NDArray[np.float32]  # (4,) as the network gave it
    last_action: NDArray[np.float32]  # (4,) what it was told of the action before
    reset: bool  # whether it began with resting neurons


@dataclass(frozen=True)
class Tick:
    """One control tick: what came in, what was decided, what went out."""

    time: float  # s since the flight began, from the odometry's stamps
    mode: str  # the state machine's mode after the tick
    verdict: str  # why the policy is not in control, "" while all is well
    state: State
    reference: Reference
    command: NDArray[np.float64]  # (4,) throttle or thrust and rates; zeros when stopped
    spikes: dict[str, NDArray[np.bool_]] = field(default_factory=dict)  # layer -> (neurons,)
    membranes: dict[str, NDArray[np.float32]] = field(default_factory=dict)  # layer -> (neurons,)
    synaptic_ops: int = 0
    missed: int = 0  # control periods without odometry just before this tick
    stamp: int = 0  # ns, of the odometry that was answered, or the time where there was none
    decision: Decision | None = None  # None where the network did not run
    stopped: bool = False  # motors off, or a pilot flies


@dataclass
class FlightLog:
    """The latest ticks in order, with the wall-clock timing that the node measures around each."""

    ticks: list[Tick] = field(default_factory=list)
    periods: list[float] = field(default_factory=list)  # s of wall time between ticks
    latencies: list[float] = field(default_factory=list)  # s from odometry in to command out
    count: int = 0  # ticks ever added

    def append(self, tick: Tick) -> None:
        """Add one tick."""
        self.count += 1
        _append_bounded(self.ticks, tick)

    def append_timing(self, *, period: float | None, latency: float) -> None:
        """Add the wall-clock timing of the latest tick in s; the first tick has no period."""
        if period is not None:
            _append_bounded(self.periods, period)
        _append_bounded(self.latencies, latency)


def _append_bounded(values: list[Any], value: Any) -> None:
    values.append(value)
    if len(values) > CAPACITY:
        del values[: CAPACITY // 10]  # rarely and many at once: deleting at the front is slow


@dataclass(frozen=True)
class FlightColumns:
    """A whole flight as arrays with one row a tick, for figures and pictures."""

    time: Array  # (ticks,) s
    mode: NDArray[np.str_]  # (ticks,)
    verdict: NDArray[np.str_]  # (ticks,)
    position: Array  # (ticks, 3) m, world
    quaternion: Array  # (ticks, 4) xyzw, body to world
    velocity: Array  # (ticks, 3) m/s, world
    body_rates: Array  # (ticks, 3) rad/s, body
    reference_position: Array  # (ticks, 3) m, world
    reference_velocity: Array  # (ticks, 3) m/s, world
    command: Array  # (ticks, 4)
    synaptic_ops: NDArray[np.int64]  # (ticks,)
    missed: NDArray[np.int64]  # (ticks,)
    network_ran: NDArray[np.bool_]  # (ticks,) whether the tick holds spikes or membranes
    spikes: dict[str, NDArray[np.bool_]]  # layer -> (ticks, neurons), False where it did not run
    membranes: dict[str, NDArray[np.float32]]  # layer -> (ticks, neurons), NaN where it did not run


def columns(log: FlightLog) -> FlightColumns:
    """Return the ticks of a log as arrays; an empty log gives arrays of no rows."""
    ticks = log.ticks
    return FlightColumns(
        time=np.array([tick.time for tick in ticks], dtype=np.float64),
        mode=np.array([tick.mode for tick in ticks], dtype=np.str_),
        verdict=np.array([tick.verdict for tick in ticks], dtype=np.str_),
        position=_rows([tick.state.position for tick in ticks], 3),
        quaternion=_rows([tick.state.quaternion for tick in ticks], 4),
        velocity=_rows([tick.state.velocity for tick in ticks], 3),
        body_rates=_rows([tick.state.body_rates for tick in ticks], 3),
        reference_position=_rows([tick.reference.position for tick in ticks], 3),
        reference_velocity=_rows([tick.reference.velocity for tick in ticks], 3),
        command=_rows([tick.command for tick in ticks], 4),
        synaptic_ops=np.array([tick.synaptic_ops for tick in ticks], dtype=np.int64),
        missed=np.array([tick.missed for tick in ticks], dtype=np.int64),
        network_ran=np.array([bool(tick.spikes or tick.membranes) for tick in ticks], dtype=bool),
        spikes=_layers([tick.spikes for tick in ticks], np.dtype(np.bool_), False),
        membranes=_layers([tick.membranes for tick in ticks], np.dtype(np.float32), np.nan),
    )


def _rows(values: Sequence[Array], width: int) -> Array:
    return np.array(values, dtype=np.float64).reshape(-1, width)


def _layers(
    ticks: Sequence[Mapping[str, NDArray[Any]]], dtype: np.dtype[Any], absent: float
) -> dict[str, NDArray[Any]]:
    """Stack what layers recorded; layers come in the order in which they first appear."""
    layers: dict[str, NDArray[Any]] = {}
    for row, tick in enumerate(ticks):
        for layer, values in tick.items():
            if layer not in layers:
                layers[layer] = np.full((len(ticks), np.size(values)), absent, dtype=dtype)
            layers[layer][row] = values
    return layers


def tick_fields(layers: Sequence[str]) -> tuple[tuple[str, int], ...]:
    """Return what a row holds of a policy with these layers."""
    return (*TICK_FIELDS, *((f"{SPIKE_RATE}{layer}", 1) for layer in layers))


def tick_row(
    tick: Tick, *, flight: int, index: int, latency: float, layers: Sequence[str] = ()
) -> array[float]:
    """Return the row of a tick, whose latency in s is NaN where none was measured."""
    decision, state, reference = tick.decision, tick.state, tick.reference
    seconds, nanoseconds = divmod(tick.stamp, _SECOND)
    row = array("d", (flight, index, seconds, nanoseconds, tick.time, MODES.index(tick.mode)))
    row.extend((decision is not None, decision is not None and decision.reset, tick.stopped))
    row.extend((tick.missed, tick.synaptic_ops, latency))
    for part in (state.position, state.quaternion, state.velocity, state.body_rates):
        row.extend(part.tolist())
    row.extend(reference.position.tolist())
    row.extend(reference.velocity.tolist())
    row.extend(_NO_ACTION if decision is None else decision.action.tolist())
    row.extend(_NO_ACTION if decision is None else decision.last_action.tolist())
    row.extend(tick.command.tolist())
    spikes = tick.spikes
    row.extend(spikes[layer].mean() if layer in spikes else float("nan") for layer in layers)
    return row


def split_rows(rows: Array, labels: Sequence[str], sizes: Sequence[int]) -> dict[str, Array]:
    """Return the columns of rows (ticks, n) by label; those of one number as (ticks,)."""
    ends = np.cumsum(sizes)
    return {
        label: rows[:, end - size] if size == 1 else rows[:, end - size : end]
        for label, size, end in zip(labels, sizes, ends, strict=True)
    }


def stamps_of(columns: dict[str, Array]) -> NDArray[np.int64]:
    """Return the stamps (ticks,) in ns; as one number they would not fit a double."""
    seconds = columns["stamp_seconds"].astype(np.int64)
    return seconds * _SECOND + columns["stamp_nanoseconds"].astype(np.int64)

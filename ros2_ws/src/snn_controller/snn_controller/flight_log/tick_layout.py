"""One control tick as a row of numbers, as the topic `snn_controller/tick` carries it. ROS-free.

Everything that the policy saw, answered and caused in a tick is in its row, so that a recorded
flight can be judged, replayed and learned from without anything else.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from snn_controller.flight_log.log import Tick
from snn_controller.safety import Mode
from snn_controller.vehicle import Array

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

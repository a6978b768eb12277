"""Built-in tasks: what to fly, as a reference over time around a hover point. SI units, ENU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import Array, Reference

STEP_TIME = 2.0  # s after the start at which the step is commanded
STEP_LENGTH = 1.0  # m
SQUARE_SIDE = 1.0  # m
SQUARE_SPEED = 0.5  # m/s
FIGURE8_PERIODS = {"figure8": 12.0, "figure8_fast": 5.5}  # s


@dataclass(frozen=True)
class Task:
    """One thing to fly: offsets from the hover point over the time since the policy took over."""

    name: str
    description: str
    offset: Callable[[float], tuple[Array, Array]]  # s -> position m (3,), velocity m/s (3,)
    period: float = 0.0  # s, of repeating tasks
    from_ground: bool = False  # the guide takes off before and lands after

    def reference(self, time: float, hover_point: Array) -> Reference:
        """Return the reference at a time in s since the start around a hover point (3,)."""
        position, velocity = self.offset(time)
        return Reference(hover_point + position, velocity)


def _still(_: float) -> tuple[Array, Array]:
    return np.zeros(3), np.zeros(3)


def _step(time: float) -> tuple[Array, Array]:
    return np.array([STEP_LENGTH if time >= STEP_TIME else 0.0, 0.0, 0.0]), np.zeros(3)


def _figure8(period: float) -> Callable[[float], tuple[Array, Array]]:
    def offset(time: float) -> tuple[Array, Array]:
        phase = 2.0 * np.pi * time / period
        rate = 2.0 * np.pi / period
        position = np.array([np.sin(phase), 0.5 * np.sin(2.0 * phase), 0.0])
        return position, rate * np.array([np.cos(phase), np.cos(2.0 * phase), 0.0])

    return offset


def _square(time: float) -> tuple[Array, Array]:
    corners = SQUARE_SIDE * np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    sides = SQUARE_SPEED * time / SQUARE_SIDE
    edge, along = int(sides) % 4, sides - int(sides)
    start, end = corners[edge], corners[(edge + 1) % 4]
    return start + along * (end - start), SQUARE_SPEED * (end - start) / SQUARE_SIDE


TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task("hover", "hold the hover point", _still),
        Task("step", "hold, then jump 1 m along x after 2 s", _step),
        Task(
            "figure8",
            "figure-eight of 2 x 1 m, 12 s a lap",
            _figure8(FIGURE8_PERIODS["figure8"]),
            period=FIGURE8_PERIODS["figure8"],
        ),
        Task(
            "figure8_fast",
            "figure-eight of 2 x 1 m, 5.5 s a lap",
            _figure8(FIGURE8_PERIODS["figure8_fast"]),
            period=FIGURE8_PERIODS["figure8_fast"],
        ),
        Task(
            "square",
            "square of 1 m at 0.5 m/s",
            _square,
            period=4.0 * SQUARE_SIDE / SQUARE_SPEED,
        ),
        Task(
            "takeoff_land",
            "guide takes off, policy hovers, guide lands",
            _still,
            from_ground=True,
        ),
    )
}


def find_task(name: str) -> Task:
    """Return the task of that name.

    Raises:
        UserError: There is none.
    """
    if name not in TASKS:
        raise UserError(f"unknown task '{name}'; choose one of: {', '.join(TASKS)}")
    return TASKS[name]

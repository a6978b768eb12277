"""Bags as the recorder leaves them, written from flights in memory, for tests without ROS."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.typesys import Stores, get_typestore

from snn_controller.flight.flight import Flight
from snn_controller.flight.parameters import ControllerSettings
from snn_controller.flight_log.log import TICK_FIELDS, Tick, tick_row
from snn_controller.flight_log.writer import Bag
from snn_controller.report.summary import flight_info
from snn_controller.vehicle.state import State

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types


def text(value: str) -> bytes:
    return bytes(STORE.serialize_cdr(TYPES["std_msgs/msg/String"](value), "std_msgs/msg/String"))


def tick_message(row: Sequence[float], fields: Any = TICK_FIELDS) -> bytes:
    dims = [TYPES["std_msgs/msg/MultiArrayDimension"](name, size, size) for name, size in fields]
    layout = TYPES["std_msgs/msg/MultiArrayLayout"](dims, 0)
    message = TYPES["std_msgs/msg/Float64MultiArray"](layout, np.array(row, dtype=np.float64))
    return bytes(STORE.serialize_cdr(message, "std_msgs/msg/Float64MultiArray"))


def odometry_message(stamp: int, state: State) -> bytes:
    """Serialise odometry whose twist is in the body."""
    point, vector = TYPES["geometry_msgs/msg/Point"], TYPES["geometry_msgs/msg/Vector3"]
    pose = TYPES["geometry_msgs/msg/Pose"](
        point(*state.position), TYPES["geometry_msgs/msg/Quaternion"](*state.quaternion)
    )
    twist = TYPES["geometry_msgs/msg/Twist"](
        vector(*(state.rotation.T @ state.velocity)), vector(*state.body_rates)
    )
    time = TYPES["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
    message = TYPES["nav_msgs/msg/Odometry"](
        TYPES["std_msgs/msg/Header"](time, "odom"),
        "base_link",
        TYPES["geometry_msgs/msg/PoseWithCovariance"](pose, np.zeros(36)),
        TYPES["geometry_msgs/msg/TwistWithCovariance"](twist, np.zeros(36)),
    )
    return bytes(STORE.serialize_cdr(message, "nav_msgs/msg/Odometry"))


def write_bag(
    folder: Path,
    flights: Sequence[Flight],
    settings: ControllerSettings | None = None,
    *,
    changed: dict[str, Any] | None = None,
    without: tuple[str, ...] = (),
    lost: Sequence[int] = (),
    fields: Any = TICK_FIELDS,
    prefix: str = "",
) -> Path:
    """Write flights into a bag.

    Args:
        folder: Of the bag.
        flights: In their order.
        settings: Parameters they flew with.
        changed: Facts of the flights to change.
        without: Topics to leave out: `tick`, `flight_info`, `odom`.
        lost: Indices of ticks to leave out.
        fields: Layout of the ticks.
        prefix: Namespace.
    """
    bag = Bag(folder)
    for number, flight in enumerate(flights, 1):
        info = flight_info(flight.policy, settings or ControllerSettings())
        message = text(json.dumps({**info, "flight": number, **(changed or {})}))
        if "flight_info" not in without:
            name = f"{prefix}/snn_controller/flight_info"
            bag.write(name, "std_msgs/msg/String", 0, message)
        for index, tick in enumerate(flight.log.ticks):
            _write_tick(bag, tick, number, index, without, index in lost, fields, prefix)
    bag.close()
    return folder


def _write_tick(
    bag: Bag,
    tick: Tick,
    number: int,
    index: int,
    without: tuple[str, ...],
    lost: bool,
    fields: Any,
    prefix: str,
) -> None:
    if "odom" not in without and np.isfinite(tick.state.position).all():
        message = odometry_message(tick.stamp, tick.state)
        bag.write(f"{prefix}/odom", "nav_msgs/msg/Odometry", tick.stamp, message)
    if "tick" not in without and not lost:
        row = tick_row(tick, flight=number, index=index, latency=math.nan)
        topic, kind = f"{prefix}/snn_controller/tick", "std_msgs/msg/Float64MultiArray"
        bag.write(topic, kind, tick.stamp, tick_message(row, fields))

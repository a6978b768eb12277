"""The controller tells every tick to who listens, and the facts also to who comes later."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

pytest.importorskip("rclpy")

from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float64MultiArray, String

from snn_controller.flight_log.log import (
    MODES,
    SPIKE_RATE,
    TICK_SIZE,
    split_rows,
    stamps_of,
)

LASTING = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def listen(g) -> tuple[list, list]:
    ticks: list = []
    infos: list = []
    node = g.estimator
    node.create_subscription(Float64MultiArray, "snn_controller/tick", ticks.append, 100)
    node.create_subscription(String, "snn_controller/flight_info", infos.append, LASTING)
    return ticks, infos


def split(ticks: list) -> dict:
    labels = [dim.label for dim in ticks[0].layout.dim]
    sizes = [dim.size for dim in ticks[0].layout.dim]
    return split_rows(np.array([message.data for message in ticks]), labels, sizes)


@pytest.mark.slow
def test_ticks_and_facts_of_two_flights_are_told_apart(graph) -> None:
    g = graph("tick_listeners:=1", "seed:=5", "duration:=20.0")
    ticks, infos = listen(g)
    g.activate()
    stamps = [g.tick(number) for number in range(4)]
    g.controller.trigger_deactivate()
    g.controller.trigger_activate()
    assert g.spin_until(lambda: g.estimator.odometry.get_subscription_count() == 1)
    stamps += [g.tick(number) for number in range(10, 13)]
    assert g.spin_until(lambda: len(ticks) >= 7 and len(infos) >= 2)
    columns = split(ticks)
    assert columns["flight"].tolist() == [1, 1, 1, 1, 2, 2, 2]
    assert columns["index"].tolist() == [0, 1, 2, 3, 0, 1, 2]
    assert stamps_of(columns).tolist() == stamps
    assert columns["reset"].tolist() == [1, 0, 0, 0, 1, 0, 0]
    assert {MODES[int(mode)] for mode in columns["mode"]} == {"policy"}
    assert np.isfinite(columns["latency"]).all() and (np.abs(columns["action"]) <= 1.0).all()
    facts = [json.loads(message.data) for message in infos]
    assert [x["flight"] for x in facts] == [1, 2]
    assert facts[0]["seed"] == facts[0]["parameters"]["seed"] == 5
    assert "signing_key" not in facts[0]["parameters"]
    rates = [name for name in columns if name.startswith(SPIKE_RATE)]
    assert rates == [f"{SPIKE_RATE}{layer}" for layer in facts[0]["layers"]]
    assert all(0.0 <= columns[name].min() <= columns[name].max() <= 1.0 for name in rates)
    assert len(ticks[0].data) == TICK_SIZE + 2


def test_facts_reach_who_comes_late_and_ticks_say_where_no_network_ran(graph) -> None:
    g = graph("auto_start:=never", "duration:=20.0")
    g.activate()
    ticks, infos = listen(g)
    assert g.spin_until(lambda: infos)
    topic = "/snn_controller/tick"
    assert g.spin_until(lambda: g.controller.count_subscribers(topic) == 1)
    g.tick(0)
    assert g.spin_until(lambda: ticks)
    columns = split(ticks)
    assert columns["ran"][0] == 0.0 and columns["stopped"][0] == 1.0
    assert all(math.isnan(x) for x in columns["action"][0])
    assert MODES[int(columns["mode"][0])] == "disarmed"

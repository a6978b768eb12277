"""Quality of service in lockstep, and the listeners that time waits for."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("rclpy")
from rclpy.qos import ReliabilityPolicy

from snn_controller.nodes.ros import qos
from snn_controller.nodes.ros.qos import (
    Audience,
    publishing_commands,
    publishing_odometry,
    taking_odometry,
)


class Publisher:
    """Counts as many subscriptions as it is told."""

    count = 0

    def get_subscription_count(self) -> int:
        return self.count


def audience(count: int) -> tuple[Any, Audience]:
    publisher: Any = Publisher()
    return publisher, Audience(publisher, count)


def test_an_audience_is_complete_once_all_have_come() -> None:
    publisher, two = audience(2)
    assert not two.is_complete()
    publisher.count = 1
    assert not two.is_complete()
    publisher.count = 2
    assert two.is_complete()
    publisher.count = 0  # who leaves does not stop time
    assert two.is_complete()


def test_nobody_is_waited_for_in_vain_or_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    assert audience(0)[1].is_complete()
    clock = [100.0]
    monkeypatch.setattr(qos, "monotonic", lambda: clock[0])
    _, one = audience(1)
    clock[0] += qos.PATIENCE - 0.1
    assert not one.is_complete()
    clock[0] += 0.2
    assert one.is_complete()


def test_only_lockstep_keeps_what_somebody_has_not_taken() -> None:
    for lockstep in (True, False):
        publishes = publishing_odometry(lockstep=lockstep), publishing_commands(lockstep=lockstep)
        takes = taking_odometry(lockstep=lockstep)
        wanted = ReliabilityPolicy.RELIABLE if lockstep else ReliabilityPolicy.BEST_EFFORT
        assert publishes[0].reliability == takes.reliability == wanted
        assert publishes[1].reliability == ReliabilityPolicy.RELIABLE
        assert (publishes[1].depth > 100) == lockstep
    assert publishing_odometry(lockstep=True).depth > 100

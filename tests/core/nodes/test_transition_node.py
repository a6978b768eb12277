"""Lifecycle transitions asked of a node, also where DDS loses a request or an answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

pytest.importorskip("rclpy")
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future

from snn_controller.nodes import transition_node
from snn_controller.nodes.transition_node import TransitionNode


class Subject(LifecycleNode):
    """A managed node that counts its transitions."""

    def __init__(self) -> None:
        super().__init__("subject")
        self.made: list[str] = []
        self.refuses = False

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.made.append("configure")
        success = TransitionCallbackReturn.SUCCESS
        return TransitionCallbackReturn.FAILURE if self.refuses else success

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        self.made.append("activate")
        return super().on_activate(state)


class Lossy:
    """A client of a service, some of whose requests or answers get lost."""

    def __init__(self, client: Any, lost: list[str]) -> None:
        self._client, self._lost = client, lost

    def service_is_ready(self) -> bool:
        return self._client.service_is_ready()

    def call_async(self, request: Any) -> Future:
        lost = self._lost.pop(0) if self._lost else ""
        answer = Future() if lost == "request" else self._client.call_async(request)
        return Future() if lost == "answer" else answer


@pytest.fixture
def subject(ros_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Subject]:
    monkeypatch.setattr(transition_node, "LATE", 0.3)
    rclpy.init()
    made = Subject()
    yield made
    made.destroy_node()
    rclpy.shutdown()


def drive(
    subject: Subject, prepare: Callable[[TransitionNode], None], timeout: float = 10.0
) -> int | None:
    node = TransitionNode("/subject", ["configure", "activate"], timeout)
    prepare(node)
    executor = SingleThreadedExecutor()
    executor.add_node(subject)
    executor.add_node(node)
    deadline = monotonic() + 10.0
    while node.exit_code is None and monotonic() < deadline:
        executor.spin_once(timeout_sec=0.02)
    executor.shutdown()
    node.destroy_node()
    return node.exit_code


@pytest.mark.parametrize("lost", [[], ["request"], ["answer"], ["", "request"], ["", "answer"]])
def test_a_node_is_brought_to_activity_once_whatever_gets_lost(
    subject: Subject, lost: list[str]
) -> None:
    def lose(node: TransitionNode) -> None:
        node._client = Lossy(node._client, lost)

    assert drive(subject, lose) == 0
    assert subject.made == ["configure", "activate"]


def test_a_refusal_is_not_asked_for_again(subject: Subject) -> None:
    subject.refuses = True
    assert drive(subject, lambda _: None) == 1
    assert subject.made == ["configure"]


def test_a_node_that_never_answers_is_given_up(subject: Subject) -> None:
    def lose(node: TransitionNode) -> None:
        node._client = Lossy(node._client, ["request"] * 9)
        node._states = Lossy(node._states, ["request"] * 9)

    assert drive(subject, lose, timeout=0.9) == 1
    assert subject.made == []

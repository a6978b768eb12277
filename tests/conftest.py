"""Fixtures that several tests share: the airframe, the shipped policy, isolated ROS domains."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from snn_controller.paths import policy_path
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.airframe import Quadrotor, load_quadrotor
from support.places import ROOT
from support.ros_domain import own_domain

# the same examples every run, and no failure because a machine is busy
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None)
hypothesis.settings.load_profile("repeatable")


SYSTEM_FOLDER = ROOT / "tests" / "system"
SYSTEM_FIXTURES = {"graph", "ros_environment", "lasting_ros_environment", "firmware"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a graph, firmware or containers: by where it is, and by what it asks for."""
    for item in items:
        if "runs" in getattr(item, "fixturenames", ()):  # that fixture is a whole training
            item.add_marker(pytest.mark.slow)
        asked = SYSTEM_FIXTURES & set(getattr(item, "fixturenames", ()))
        if asked or item.path.is_relative_to(SYSTEM_FOLDER):
            item.add_marker(pytest.mark.system)


@pytest.fixture(scope="session")
def quadrotor() -> Quadrotor:
    return load_quadrotor("crazyflie21")


@pytest.fixture
def policy() -> Policy:
    return Policy.load(policy_path(""))


@pytest.fixture
def ros_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A ROS domain of its own on loopback, with logs in a temporary folder."""
    with own_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "ros_log"))
        yield dict(os.environ)


@pytest.fixture(scope="module")
def lasting_ros_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The same for a flight that all tests of a module look at."""
    with own_domain() as domain:
        yield {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
            "ROS_LOG_DIR": str(tmp_path_factory.mktemp("ros_log")),
        }


@pytest.fixture
def loop(policy: Policy, quadrotor: Quadrotor) -> Iterator[Callable[..., Any]]:
    """Make closed loops of a flight and a PyBullet drone."""
    from support.flight_loop import Loop

    made: list[Loop] = []

    def make(task: str = "hover", duration: float = 5.0, **options: Any) -> Loop:
        made.append(Loop(policy, quadrotor, task, duration, **options))
        return made[-1]

    yield make
    for each in made:
        each.drone.close()


@pytest.fixture
def graph(ros_environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Make graphs of a controller node and an estimator."""
    rclpy = pytest.importorskip("rclpy")
    from support.node_graph import Graph

    made: list[Graph] = []

    def make(*parameters: str) -> Graph:
        made.append(Graph(tmp_path / "report", parameters))
        return made[-1]

    yield make
    for each in made:
        each.close()
    rclpy.try_shutdown()

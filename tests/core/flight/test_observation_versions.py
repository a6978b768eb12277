"""Policies of two observation versions fly side by side, each on what it was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from snn_controller.control.trajectories import find_task
from snn_controller.errors import UserError
from snn_controller.flight.flight import Flight
from snn_controller.flight.parameters import SimulatorSettings
from snn_controller.flight.plan import FlightPlan
from snn_controller.policy.runtime import Policy
from snn_controller.safety.guards import Limits
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import (
    OBSERVATION_SIZE,
    OBSERVATIONS,
    POSITION_ERROR,
    VELOCITY_ERROR,
    ObservationVersion,
    observe,
)
from snn_controller.vehicle.state import Reference, State
from snn_sim.bullet.world import Simulation
from support.linear_policy import write_linear_policy
from support.states import TICK_NS, sample


def _unclipped_with_height(state: State, reference: Reference) -> NDArray[np.float32]:
    """Return version 1 without its clipping, and the height above the world's origin."""
    seen = np.append(observe(state, reference), np.float32(state.position[2]))
    seen[POSITION_ERROR] = state.position - reference.position
    seen[VELOCITY_ERROR] = state.velocity - reference.velocity
    return seen


@pytest.fixture
def second_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know a version 2."""
    open_ended, unit = np.full(OBSERVATION_SIZE + 1, np.inf), np.ones(OBSERVATION_SIZE + 1)
    version = ObservationVersion(_unclipped_with_height, limits=open_ended, scale=unit)
    monkeypatch.setitem(OBSERVATIONS, 2, version)


@pytest.mark.usefixtures("second_version")
def test_two_versions_fly_side_by_side(tmp_path: Path) -> None:
    quadrotor = load_quadrotor("crazyflie21")
    plan = FlightPlan(task=find_task("hover"), duration=1.5)
    settings = SimulatorSettings(airframe="crazyflie21", seed=3)
    seen: dict[int, list[NDArray[np.float32]]] = {1: [], 2: []}
    flights, worlds = [], []
    for version, kept in seen.items():
        path = write_linear_policy(tmp_path / f"{version}.onnx", version=version)
        policy = Policy.load(path, observation_version=version)
        step = policy.step

        def watch(observation, *, step=step, kept=kept, **options):
            kept.append(np.array(observation))
            return step(observation, **options)

        policy.step = watch
        flights.append(Flight(policy, quadrotor, plan, Limits()))
        worlds.append(Simulation(settings))
    for tick in range(1, 150):
        for flight, world in zip(flights, worlds, strict=True):
            now = tick * TICK_NS
            world.step(flight.tick(sample(world.state, now), now))
    for flight, world in zip(flights, worlds, strict=True):
        assert flight.log.ticks[-1].mode == "policy"
        assert np.abs(world.state.position - plan.hover_point).max() < 0.1
        world.close()
    assert {len(row) for row in seen[1]} == {OBSERVATION_SIZE}
    assert {len(row) for row in seen[2]} == {OBSERVATION_SIZE + 1}
    assert abs(seen[2][-1][-1] - plan.hover_point[2]) < 0.1
    np.testing.assert_array_equal(seen[1][0], seen[2][0][:OBSERVATION_SIZE])  # the same start


@pytest.mark.usefixtures("second_version")
def test_an_unknown_version_is_refused_with_those_that_are_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OBSERVATIONS, 3, OBSERVATIONS[2])
    path = write_linear_policy(tmp_path / "3.onnx", version=3)
    monkeypatch.delitem(OBSERVATIONS, 3)
    with pytest.raises(UserError, match=r"observation version 3, this runtime gives 1, 2; train"):
        Policy.load(path)


@pytest.mark.usefixtures("second_version")
def test_a_graph_of_another_size_than_its_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_linear_policy(tmp_path / "2.onnx", version=2)
    monkeypatch.setitem(OBSERVATIONS, 2, OBSERVATIONS[1])
    with pytest.raises(UserError, match=r"wrong shape or type at input .observation.*\(1, 19\)"):
        Policy.load(path)


@pytest.mark.usefixtures("second_version")
def test_who_gives_one_version_refuses_a_policy_of_another(tmp_path: Path) -> None:
    path = write_linear_policy(tmp_path / "2.onnx", version=2)
    with pytest.raises(UserError, match="trained on observation version 2, and here it would see"):
        Policy.load(path, observation_version=1)

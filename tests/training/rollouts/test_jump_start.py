"""Jump start: who flies when, as the schedule says; warm states, labels, what critics may see."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.paths import policy_path
from snn_controller.vehicle.airframe import Quadrotor
from snn_sim.batched.batch import DroneBatch
from snn_sim.envs.drones import Simulator
from snn_sim.envs.make import make_drones
from snn_sim.task.disturbances import ROBUST, draw_disturbance
from snn_sim.task.episode import EpisodeConfig
from snn_training.data.replay import Replay
from snn_training.networks.actor_critic import GuideActor
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import unroll
from snn_training.rollouts.actors import HistoryActor, Teacher, open_guide
from snn_training.rollouts.collector import Collector
from snn_training.rollouts.jump_start import (
    Exploration,
    JumpStart,
    Schedule,
    SequenceCollector,
    gates_passed,
    guided_ticks,
)
from support.sequence_samples import TINY, fliers, flown, fly, learner


def test_the_guide_flies_first_and_the_policy_goes_on_warm(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = flown(quadrotor, policy, 60, count=3, start="hover", guided=40)
    rows, drones = np.meshgrid(np.arange(60), np.arange(3), indexing="ij")
    actions, labels = (replay.take(x, rows, drones) for x in ("actions", "labels"))
    np.testing.assert_array_equal(actions[:40], labels[:40])
    assert (np.abs(actions[40:] - labels[40:]).max(axis=(1, 2)) > 1e-3).all()
    observations = torch.from_numpy(replay.take("observations", rows, drones))
    restarts = torch.zeros(60, 3, dtype=torch.bool)
    whole = unroll(policy.actor, observations, torch.from_numpy(actions), restarts, 5.0)
    np.testing.assert_allclose(actions[40:], whole[40:].detach().numpy(), atol=1e-5)


def test_exploration_wanders_and_differs_between_drones(quadrotor: Quadrotor) -> None:
    noise = Exploration(policy=0.1, guide=0.1, memory=0.9)
    replay = flown(quadrotor, learner(), 300, count=4, start="hover", guided=300, exploration=noise)
    rows, drones = np.meshgrid(np.arange(300), np.arange(4), indexing="ij")
    wander = replay.take("actions", rows, drones) - replay.take("labels", rows, drones)
    np.testing.assert_array_equal(wander[:, 0], 0.0)
    sizes = wander.std(axis=(0, 2))
    assert sizes[2] < sizes[1] < sizes[3]
    assert sizes[1] == pytest.approx(0.124, rel=0.25)
    steps = wander[1:, 1].ravel(), wander[:-1, 1].ravel()
    assert np.corrcoef(*steps)[0, 1] == pytest.approx(0.9, abs=0.05)


@pytest.mark.parametrize(("progress", "share"), [(0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)])
def test_exploration_fades(quadrotor: Quadrotor, progress: float, share: float) -> None:
    spread = []
    for now in (0.0, progress):
        noise = Exploration(policy=0.1, guide=0.1, until=0.5)
        collector = fliers(quadrotor, 3, start="hover", guided=5, exploration=noise)
        flown = collector.step(learner().actor, lambda n: np.zeros(n, int), progress=now)
        spread.append(flown.actions - flown.labels)
    np.testing.assert_allclose(spread[1], share * spread[0], atol=1e-6)


def test_a_history_policy_sees_what_the_guide_flew(quadrotor: Quadrotor) -> None:
    network = NetworkConfig(kind="mlp_history", hidden=(12,))
    policy = learner(network)
    collector = fliers(quadrotor, 3, network=network, start="hover", guided=40)
    replay = Replay(3, 600, labelled=True)
    fly(collector, policy, replay, 40)
    rows, drones = np.meshgrid(np.arange(8, 40), np.arange(3), indexing="ij")
    actions = replay.take("actions", rows, drones).transpose(1, 0, 2).reshape(3, -1)
    np.testing.assert_array_equal(collector.student.states[0], actions)
    fly(collector, policy, replay, 10)
    rows, drones = np.meshgrid(np.arange(50), np.arange(3), indexing="ij")
    observations, everything = (
        torch.from_numpy(replay.take(x, rows, drones)) for x in ("observations", "actions")
    )
    restarts = torch.zeros(50, 3, dtype=torch.bool)
    whole = unroll(policy.actor, observations, everything, restarts, 5.0)
    np.testing.assert_allclose(everything[40:], whole[40:].detach(), atol=1e-5)


def test_critics_may_see_the_true_rotors(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = flown(quadrotor, policy, 30, count=3, start="hard", guided=30, privileged="rotors")
    rows, drones = np.arange(30), np.ones(30, np.int64)
    now, after = replay.inputs(rows, drones)[:, 146:], replay.next_inputs(rows, drones)[:, 146:]
    np.testing.assert_array_equal(now[1:], after[:-1])
    np.testing.assert_allclose(now[0], replay.take("start_commands", rows, drones)[0], atol=1e-6)
    assert (np.abs(now) <= 1.0).all()
    everything = flown(quadrotor, policy, 3, count=3, privileged="all")
    np.testing.assert_array_equal(everything.inputs(rows[:3], drones[:3])[:, 150:], 0.0)


@pytest.mark.parametrize("kind", ["geometric", "actor", "policy"])
def test_every_guide_flies_and_resumes(quadrotor: Quadrotor, kind: str) -> None:
    def guide():
        if kind == "geometric":
            return Teacher()
        if kind == "actor":
            return HistoryActor(GuideActor((8,), torch.Generator().manual_seed(0)))
        return open_guide(str(policy_path("")), 4)

    policy = learner()
    one = fliers(quadrotor, 4, guide=guide(), guided=30)
    other = fliers(quadrotor, 4, guide=guide(), guided=30, start="hard")
    replay, copy = (Replay(4, 2000, labelled=True) for _ in range(2))
    fly(one, policy, replay, 90, 30)
    kept = one.snapshot()
    other.restore(kept)
    other.collector.drones._settings = one.collector.drones._settings  # starts of its own
    other.collector.rng.bit_generator.state = one.collector.rng.bit_generator.state
    copy.restore(replay.snapshot())
    for collector, store in ((one, replay), (other, copy)):
        fly(collector, policy, store, 60, 30)
    for array, same in zip(
        replay.snapshot()["arrays"].values(), copy.snapshot()["arrays"].values(), strict=True
    ):
        np.testing.assert_array_equal(array, same)


def test_a_policy_file_guides_from_a_fresh_state_in_every_episode(quadrotor: Quadrotor) -> None:
    guide = open_guide(str(policy_path("")), 3)
    replay = flown(quadrotor, learner(), 400, count=3, guide=guide, guided=500, start="hover")
    drones = DroneBatch(quadrotor, 3, starts=("hover",), seed=4)
    alone = open_guide(str(policy_path("")), 3)
    collector = Collector(drones, blank_share=0.0, rng=np.random.default_rng(0))
    labels = []
    for _ in range(20):
        labels.append(alone.act(collector).copy())
        collector.step(labels[-1])
    rows, columns = np.meshgrid(np.arange(20), np.arange(3), indexing="ij")
    np.testing.assert_allclose(replay.take("labels", rows, columns), labels, atol=1e-6)


def test_references_move_on_continuously_within_an_episode(quadrotor: Quadrotor) -> None:
    drones = DroneBatch(quadrotor, 20, starts=("hover",), seed=1)
    tracks = EpisodeConfig(moving_share=1.0, step_share=0.0)
    collector = Collector(drones, blank_share=0.0, rng=np.random.default_rng(0), tracks=tracks)
    following = SequenceCollector(
        collector,
        Teacher(),
        learner().actor,
        exploration=Exploration(0.0, 0.0),
        privileged="none",
        guided=lambda count: np.full(count, 500),
    )
    policy, moved = learner(), []
    for _ in range(200):
        before = collector.reference.position
        flown = following.step(policy.actor, lambda count: np.full(count, 500))
        np.testing.assert_array_equal(
            drones.observations[~flown.terminated], flown.next_observations[~flown.terminated]
        )
        moved.append(np.abs(collector.reference.position - before)[~flown.terminated].max())
        assert not flown.terminated.any()  # the guide holds on to them
    assert 0.001 < max(moved) < 0.05
    error = drones.state.position - collector.reference.position
    np.testing.assert_allclose(error, drones.observations[:, :3], atol=1e-5)


def test_without_tracks_the_reference_is_the_origin(quadrotor: Quadrotor) -> None:
    collector = fliers(quadrotor, 2, network=TINY).collector
    np.testing.assert_array_equal(collector.reference.position, np.zeros(3))


@pytest.mark.parametrize("sim", ["batched", "pybullet"])
def test_the_loads_of_an_episode_are_those_that_disturb_it(
    quadrotor: Quadrotor, sim: Simulator
) -> None:
    if sim == "pybullet":
        pytest.importorskip("pybullet")
    with closing(make_drones(sim, quadrotor, 3, disturbances=ROBUST, seed=1)) as drones:
        draws = [
            draw_disturbance(
                ROBUST, np.random.default_rng(x), quadrotor=quadrotor, period=0.01, steps=500
            )
            for x in range(3)
        ]
        drones.set_disturbances(draws)
        expected = [[*x.force, *x.torque] for x in draws]
        np.testing.assert_allclose(drones.loads, expected)


def guided(jump: JumpStart, progress: float, passed: int = 0, count: int = 1) -> np.ndarray:
    rng = np.random.default_rng(0)
    return guided_ticks(jump, progress, passed, episode=500, count=count, rng=rng)


def test_linear_growth_ends_with_the_warm_up() -> None:
    jump = JumpStart(until=0.5, cold_from=1.0)
    assert [int(guided(jump, x)[0]) for x in (0.0, 0.25, 0.5, 0.99)] == [450, 250, 50, 50]


def test_cold_flights_come_last() -> None:
    jump = JumpStart(until=0.5, cold_from=0.8)
    assert [int(guided(jump, x)[0]) for x in (0.79, 0.8, 1.0)] == [50, 0, 0]


def test_random_horizons_lie_in_what_linear_growth_has_reached() -> None:
    jump = JumpStart("random", until=0.5, cold_from=1.0)
    drawn = guided(jump, 0.25, count=5000)
    assert (drawn.min(), drawn.max()) == (250, 450)
    assert drawn.mean() == pytest.approx(350, abs=3)
    np.testing.assert_array_equal(guided(jump, 0.0, count=9), 450)


def test_gated_growth_waits_for_success() -> None:
    jump = JumpStart("gated", stages=4, cold_from=0.5)
    assert int(guided(jump, 0.9, passed=0)[0]) == 450
    assert int(guided(jump, 0.9, passed=2)[0]) == 250
    assert int(guided(jump, 0.4, passed=7)[0]) == 50
    assert int(guided(jump, 0.9, passed=4)[0]) == 0
    assert gates_passed(jump, [100.0, 330.0, 319.0, 400.0], guide=400.0) == 2


def test_without_a_jump_start_the_policy_flies_everything() -> None:
    np.testing.assert_array_equal(guided(JumpStart("none"), 0.0, count=7), 0)


@given(
    st.sampled_from(["linear", "random", "gated", "none"]),
    st.floats(0.0, 1.0),
    st.integers(0, 30),
    st.integers(0, 600),
    st.integers(1, 600),
)
def test_the_guide_never_flies_more_than_an_episode(
    schedule: Schedule, progress: float, passed: int, first: int, episode: int
) -> None:
    jump = JumpStart(schedule, first=first, last_guided=50)
    drawn = guided_ticks(
        jump, progress, passed, episode=episode, count=20, rng=np.random.default_rng(0)
    )
    assert (drawn >= 0).all()
    assert (drawn <= max(episode - first, 0)).all()

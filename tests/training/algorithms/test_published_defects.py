"""The public code's defects, one test each; numbers as in the list of defects in docs/jsrl.md."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.frames import axis_angle_to_quaternion
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS, hover_reward
from snn_training.algorithms.runner import slope_of
from snn_training.algorithms.td3bc.learner import choose_ticks
from snn_training.algorithms.td3bc.training import SequenceArgs, loss_weights
from snn_training.data.replay import Replay
from snn_training.data.segments import sample_replay
from snn_training.networks.make import unroll
from snn_training.neurons.surrogate import SlopeConfig, SlopeState, record_score, slope_at
from support.sequence_samples import WEIGHTS, fliers, flown, fly, learner


def test_1_the_value_has_a_gradient_into_the_actor(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = flown(quadrotor, policy, 60)
    windows = sample_replay(
        replay, 6, ticks=20, warm_up=10, start_share=0.5, rng=np.random.default_rng(0)
    )
    chosen = choose_ticks(windows.counted, 32, np.random.default_rng(0))
    parts = (windows.observations, windows.actions, windows.restarts)
    actions = unroll(policy.actor, *map(torch.from_numpy, parts), slope=5.0)
    inputs = torch.from_numpy(replay.inputs(windows.steps[chosen], windows.flights[chosen]))
    policy.value_loss(inputs, actions[chosen]).backward()
    for name, parameter in policy.actor.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0.0, name


def test_2_an_update_leaves_the_replay_as_it_is(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = flown(quadrotor, policy, 100, start="hard", episode=25)
    kept = {name: x.copy() for name, x in replay.snapshot()["arrays"].items()}
    for _ in range(4):
        policy.update(replay, END_COEFFICIENTS, WEIGHTS, np.random.default_rng(0))
    for name, array in replay.snapshot()["arrays"].items():
        np.testing.assert_array_equal(array, kept[name])


def test_2_only_a_crash_ends_the_future_and_no_target_crosses_a_reset(
    quadrotor: Quadrotor,
) -> None:
    policy = learner(steps=1, gamma=0.9, policy_noise=0.0)
    replay = flown(quadrotor, policy, 150, count=8, start="hard", episode=25)
    windows = sample_replay(
        replay, 40, ticks=20, warm_up=0, start_share=0.5, rng=np.random.default_rng(0)
    )
    ahead = policy.n_step_target(windows, START_COEFFICIENTS)
    chosen = choose_ticks(windows.counted, 0, np.random.default_rng(0))
    targets = policy.target_values(replay, windows, ahead, chosen).numpy()
    crashed, cut = windows.terminated[chosen], windows.truncated[chosen]
    assert crashed.sum() > 3
    assert cut.sum() > 3
    rewards = ahead.sums[chosen]
    np.testing.assert_array_equal(targets[crashed], rewards[crashed])
    inputs = torch.from_numpy(replay.next_inputs(windows.steps[chosen], windows.flights[chosen]))
    following = following_by_hand(policy, windows, chosen)
    with torch.no_grad():
        value = torch.minimum(*policy.target_critic(inputs, following)).numpy()
    np.testing.assert_allclose(targets[~crashed], (rewards + 0.9 * value)[~crashed], rtol=1e-4)
    assert (np.abs(targets - rewards)[cut] > 1e-3).all()  # a time-out bootstraps


def following_by_hand(policy, windows, chosen) -> torch.Tensor:
    """Return the target actor's action at what follows each tick, window by window."""
    actions = []
    for tick, window in zip(*chosen, strict=True):
        own = np.concatenate(
            [
                windows.observations[: tick + 1, window],
                windows.next_observations[tick : tick + 1, window],
            ]
        )
        restarts = np.append(windows.restarts[: tick + 1, window], False)
        with torch.no_grad():
            answer = unroll(
                policy.target_actor,
                torch.from_numpy(own)[:, None],
                torch.zeros(len(own), 1, 4),
                torch.from_numpy(restarts)[:, None],
                1.0,
            )
        actions.append(answer[-1, 0])
    return torch.stack(actions)


def test_3_transitions_stored_are_transitions_flown(quadrotor: Quadrotor) -> None:
    replay = flown(quadrotor, learner(), 120, count=5, start="hard", episode=50)
    assert len(replay) == 5 * 120
    rows, drones = np.meshgrid(np.arange(120), np.arange(5), indexing="ij")
    steps = replay.take("steps", rows, drones)
    ended = replay.take("terminated", rows, drones) | replay.take("truncated", rows, drones)
    np.testing.assert_array_equal(steps[1:], np.where(ended[:-1], 0, steps[:-1] + 1))
    assert replay.take("truncated", rows, drones).any()  # flights without a crash are there too


def test_4_states_are_fresh_in_every_episode(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = Replay(3, 600, labelled=True)
    collector = fliers(quadrotor, 3, start="easy", episode=40)  # one start, always the same
    fly(collector, policy, replay, 80)
    rows, drones = np.meshgrid(np.arange(80), np.arange(3), indexing="ij")
    actions = replay.take("actions", rows, drones)
    np.testing.assert_array_equal(actions[:40], actions[40:])
    assert (actions[0] != actions[1]).any()


def test_5_old_rewards_follow_the_curriculum(quadrotor: Quadrotor) -> None:
    policy = learner(steps=1)
    replay = flown(quadrotor, policy, 60, count=3, start="hard")
    windows = sample_replay(
        replay, 6, ticks=20, warm_up=0, start_share=0.0, rng=np.random.default_rng(0)
    )
    for coefficients in (START_COEFFICIENTS, END_COEFFICIENTS):
        sums = policy.n_step_target(windows, coefficients).sums
        batch = replay.gather(windows.steps[3], windows.flights[3], coefficients)
        scale = 1.0 - policy.config.gamma
        np.testing.assert_allclose(sums[3], scale * batch.rewards, rtol=1e-4)


def test_6_hover_earns_everything_and_roll_costs_what_pitch_does(quadrotor: Quadrotor) -> None:
    def reward(axis: tuple[float, float, float], angle: float) -> float:
        quaternion = axis_angle_to_quaternion(np.array(axis), np.array(angle))
        state = State(np.zeros(3), quaternion, np.zeros(3), np.zeros(3))
        hover = np.full(4, quadrotor.hover_throttle)
        return float(
            hover_reward(
                state,
                Reference(np.zeros(3)),
                hover,
                hover_throttle=quadrotor.hover_throttle,
                coefficients=END_COEFFICIENTS,
            )
        )

    assert reward((1.0, 0.0, 0.0), 0.0) == END_COEFFICIENTS.survival
    roll, pitch = (reward(axis, 0.17) for axis in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    assert roll == pytest.approx(pitch)
    assert roll < END_COEFFICIENTS.survival - 1e-3


def test_7_all_slopes_stay_in_their_range_and_are_pure_functions() -> None:
    for schedule in ("fixed", "interval", "adaptive"):
        config, state = SlopeConfig(schedule, start=2.0), SlopeState()
        for number in range(30):
            state = record_score(state, 1.0)
            slope = slope_at(config, number / 29, state)
            assert 1.0 <= slope <= 100.0
            assert slope == slope_at(config, number / 29, state)


def test_7_a_run_takes_its_slope_from_its_log(quadrotor: Quadrotor) -> None:
    from types import SimpleNamespace

    config, training = SlopeConfig("adaptive", start=2.0), SimpleNamespace(rows=[])
    assert slope_of(training, config, 0.0) == 2.0
    training.rows = [{"return_end": -80.0}] * 3
    assert slope_of(training, config, 0.1) == 1.0
    training.rows = [{"return_end": 425.0}] * 12
    assert slope_of(training, config, 0.4) == pytest.approx(42.5)


def test_8_stored_states_do_not_change_when_the_simulator_steps(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = Replay(3, 900, labelled=True, privileged=4)
    collector = fliers(quadrotor, 3, start="hard", privileged="rotors")
    fly(collector, policy, replay, 40)
    rows, drones = np.meshgrid(np.arange(40), np.arange(3), indexing="ij")
    fields = ("observations", "next_observations", "actions", "labels", "privileged")
    kept = [replay.take(x, rows, drones) for x in fields]
    fly(collector, policy, replay, 60)
    for name, copy in zip(fields, kept, strict=True):
        np.testing.assert_array_equal(replay.take(name, rows, drones), copy)


def test_9_the_weight_of_cloning_decays_by_epochs_of_the_run() -> None:
    args = SequenceArgs(epochs=300)
    args.learner = replace(args.learner, bc_weight=0.2, bc_decay=0.99, value_from=0.1)
    assert loss_weights(args, 0.0, 5.0) == (0.0, 0.2, 5.0)
    halfway = loss_weights(args, 0.5, 5.0)
    assert halfway.cloning == pytest.approx(0.2 * 0.99**150)
    assert halfway.value == args.learner.alpha
    assert loss_weights(args, 1.0, 5.0).cloning == pytest.approx(0.2 * 0.99**300)


def test_10_the_seed_decides_everything(quadrotor: Quadrotor) -> None:
    def outcome(seed: int) -> list[torch.Tensor]:
        policy = learner()
        replay = flown(quadrotor, policy, 40)
        for _ in range(2):
            policy.update(replay, END_COEFFICIENTS, WEIGHTS, np.random.default_rng(seed))
        return [x.detach() for x in policy.actor.parameters()]

    one, same, other = outcome(0), outcome(0), outcome(1)
    assert all(map(torch.equal, one, same))
    assert not all(map(torch.equal, one, other))

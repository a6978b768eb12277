"""One gradient step of TD3BC on windows: what pulls on the actor, and where values come from."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_controller.vehicle.airframe import Quadrotor
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.algorithms.td3bc.learner import SequenceLearner, choose_ticks, mean_over
from snn_training.data.replay import Replay
from snn_training.data.segments import Segments, sample_replay, sum_rewards
from snn_training.networks.config import Kind, NetworkConfig
from support.sequence_samples import TINY, WEIGHTS, flown, learner


def windows_of(replay: Replay, count: int = 12, ticks: int = 20) -> Segments:
    rng = np.random.default_rng(1)
    return sample_replay(replay, count, ticks=ticks, warm_up=10, start_share=0.5, rng=rng)


def run(learner: SequenceLearner, replay: Replay, updates: int) -> list:
    rng = np.random.default_rng(2)
    return [learner.update(replay, END_COEFFICIENTS, WEIGHTS, rng) for _ in range(updates)]


def weights(learner: SequenceLearner, name: str) -> list[torch.Tensor]:
    return [x.detach().clone() for x in getattr(learner, name).parameters()]


def moved(before: list[torch.Tensor], after: list[torch.Tensor]) -> bool:
    return any(not torch.equal(x, y) for x, y in zip(before, after, strict=True))


def by_hand(
    windows: Segments, rewards: np.ndarray, tick: int, window: int, steps: int, gamma: float
) -> tuple[float, float, int]:
    total, discount, last = 0.0, 1.0, tick
    for now in range(tick, min(tick + steps, len(rewards))):
        total += discount * float(rewards[now, window])
        discount, last = discount * gamma, now
        if windows.terminated[now, window] or windows.truncated[now, window]:
            break
    return total, discount, last


@pytest.mark.parametrize("steps", [1, 4, 50])
def test_rewards_are_summed_up_to_the_end_of_the_episode(quadrotor: Quadrotor, steps: int) -> None:
    replay = flown(quadrotor, learner(), 150, start="hard", episode=25)
    windows = windows_of(replay)
    assert windows.terminated.any()
    assert windows.truncated.any()
    rewards = np.random.default_rng(0).normal(size=windows.counted.shape).astype(np.float32)
    sums, discounts, last = sum_rewards(windows, rewards, steps=steps, gamma=0.9)
    for tick, window in np.ndindex(*rewards.shape):
        expected = by_hand(windows, rewards, tick, window, steps, 0.9)
        got = sums[tick, window], discounts[tick, window], last[tick, window]
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_the_target_takes_the_lower_value_of_the_target_networks(quadrotor: Quadrotor) -> None:
    policy = learner(policy_noise=0.0, steps=3, gamma=0.9)
    replay = flown(quadrotor, policy, 150, start="hard", episode=25)
    windows = windows_of(replay)
    with torch.no_grad():  # only the targets count
        for parameter in (*policy.actor.parameters(), *policy.critic.parameters()):
            parameter.add_(1.0)
    ahead = policy.n_step_target(windows, START_COEFFICIENTS)
    chosen = choose_ticks(windows.counted, 0, np.random.default_rng(0))
    got = policy.target_values(replay, windows, ahead, chosen).numpy()
    last = ahead.last[chosen], chosen[1]
    inputs = torch.from_numpy(replay.next_inputs(windows.steps[last], windows.flights[last]))
    with torch.no_grad():
        value = torch.minimum(*policy.target_critic(inputs, ahead.following[last])).numpy()
    alive = ~windows.terminated[last]
    expected = ahead.sums[chosen] + ahead.discounts[chosen] * alive * value
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_smoothing_noise_is_on_the_target_and_nowhere_else(quadrotor: Quadrotor) -> None:
    policy = learner(policy_noise=0.5)
    replay = flown(quadrotor, policy, 100)
    windows = windows_of(replay)
    ahead = policy.n_step_target(windows, START_COEFFICIENTS)
    kept = ahead.following.clone()
    chosen = choose_ticks(windows.counted, 0, np.random.default_rng(0))
    one, other = (policy.target_values(replay, windows, ahead, chosen) for _ in range(2))
    assert not torch.equal(one, other)
    assert torch.equal(ahead.following, kept)


def test_actor_and_targets_move_with_every_second_update_only(quadrotor: Quadrotor) -> None:
    policy = learner()
    replay = flown(quadrotor, policy, 100)
    names = ("actor", "target_actor", "target_critic")
    before = {name: weights(policy, name) for name in (*names, "critic")}
    run(policy, replay, 1)
    assert not any(moved(before[name], weights(policy, name)) for name in names)
    assert moved(before["critic"], weights(policy, "critic"))
    run(policy, replay, 1)
    assert all(moved(before[name], weights(policy, name)) for name in names)


@pytest.mark.parametrize("kind", ["spiking", "gru", "mlp", "mlp_history"])
def test_every_network_learns_to_clone(quadrotor: Quadrotor, kind: Kind) -> None:
    network = NetworkConfig(kind=kind, hidden=(32, 16), kernel="torch")
    policy = learner(network, actor_rate=1e-2, delay=1, alpha=0.0)
    replay = flown(quadrotor, policy, 150, count=8, guided=150)
    losses = [x.cloning for x in run(policy, replay, 60)]
    assert np.mean(losses[-5:]) < 0.4 * losses[0]


@pytest.mark.parametrize(
    "options",
    [
        {"memory": False},
        {"recurrent": True},
        {"synapse": "current"},
        {"readout": "leaky"},
        {"reset": "hard"},
        {"kernel": "auto"},
    ],
)
def test_every_variant_takes_a_step(quadrotor: Quadrotor, options: dict) -> None:
    policy = learner(NetworkConfig(**{"hidden": (12, 8), "kernel": "torch", **options}))
    replay = flown(quadrotor, policy, 60, count=3)
    before = weights(policy, "actor")
    losses = run(policy, replay, 2)
    assert np.isfinite(losses).all()
    assert moved(before, weights(policy, "actor"))


def test_cloning_follows_what_was_flown_or_the_guide(quadrotor: Quadrotor) -> None:
    flights = flown(quadrotor, learner(), 60)
    windows = windows_of(flights)
    counted = torch.from_numpy(windows.counted)
    actions = torch.zeros(*counted.shape, 4)
    for target, array in (("flown", windows.actions), ("guide", windows.labels)):
        loss = learner(bc_target=target).cloning_loss(actions, windows)
        expected = mean_over(torch.from_numpy(array).square().sum(-1), counted)
        torch.testing.assert_close(loss, expected)
    assert not np.array_equal(windows.actions, windows.labels)


def test_huber_cloning_is_quadratic_then_linear(quadrotor: Quadrotor) -> None:
    windows = windows_of(flown(quadrotor, learner(), 60))
    policy = learner(bc_huber=0.1, bc_target="guide")
    small, large = (torch.from_numpy(windows.labels) + x for x in (0.05, 1.0))
    assert policy.cloning_loss(small, windows).item() == pytest.approx(4 * 0.05**2 / 0.1, rel=1e-3)
    assert policy.cloning_loss(large, windows).item() == pytest.approx(4 * (2 - 0.1), rel=1e-3)


def test_changes_count_within_an_episode_only(quadrotor: Quadrotor) -> None:
    policy = learner(bc_target="flown")
    windows = windows_of(flown(quadrotor, policy, 100, start="hard", episode=25))
    assert windows.restarts[1:].any()
    episodes = np.cumsum(windows.restarts, axis=0)  # one action an episode
    actions = torch.from_numpy(episodes.astype(np.float32))[..., None].expand(-1, -1, 4)
    assert policy.change_loss(actions, windows).item() == 0.0
    assert policy.change_loss(torch.arange(20.0)[:, None, None] + actions, windows).item() == 4.0


def test_changes_that_the_cloned_guide_makes_are_free(quadrotor: Quadrotor) -> None:
    windows = windows_of(flown(quadrotor, learner(), 60))
    labels = torch.from_numpy(windows.labels)
    assert learner(bc_target="guide").change_loss(labels + 0.3, windows).item() < 1e-10
    for options in ({"bc_target": "flown"}, {"bc_target": "guide", "bc_weight": 0.0}):
        assert learner(**options).change_loss(labels, windows).item() > 1e-4


def test_privileged_numbers_reach_the_critics(quadrotor: Quadrotor) -> None:
    policy = SequenceLearner(learner().config, TINY, privileged=4, seed=0)
    replay = flown(quadrotor, policy, 60, privileged="rotors")
    run(policy, replay, 2)
    assert policy.critic.first[0].weight.shape[1] == 146 + 4 + 4


def test_a_restored_learner_goes_on_identically(quadrotor: Quadrotor) -> None:
    one, other = learner(), SequenceLearner(learner().config, TINY, seed=5)
    replay = flown(quadrotor, one, 60)
    run(one, replay, 3)
    other.restore(one.snapshot())
    assert run(one, replay, 3) == run(other, replay, 3)
    assert not moved(weights(one, "actor"), weights(other, "actor"))


def test_all_or_some_ticks_are_chosen_and_they_count() -> None:
    counted = np.random.default_rng(0).random((10, 7)) < 0.5
    everything = choose_ticks(counted, 0, np.random.default_rng(0))
    assert len(everything[0]) == counted.sum()
    some = choose_ticks(counted, 200, np.random.default_rng(0))
    assert len(some[0]) == 200
    assert counted[some].all()


def test_critics_learn_what_hovering_is_worth(quadrotor: Quadrotor) -> None:
    policy = learner(critic_rate=3e-3, gamma=0.9, steps=5, critic_batch=64)
    replay = flown(quadrotor, policy, 200, start="easy", guided=200)
    values = [x.value for x in run(policy, replay, 150)]
    assert values[-1] == pytest.approx(1.0, abs=0.05)  # rewards are scaled by 1 - gamma

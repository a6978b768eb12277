"""One gradient step of TD3: where values come from, and what an update may not touch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_sim.task.action_history import GUIDE_INPUT_SIZE
from snn_training.algorithms.td3.learner import Learner, LearnerConfig, follow
from snn_training.data.replay import Batch

SMALL = LearnerConfig(actor_hidden=(8,), critic_hidden=(8,))


def make_batch(count: int = 16, **changes: np.ndarray) -> Batch:
    rng = np.random.default_rng(0)
    flags = np.zeros(count, np.bool_)
    batch = Batch(
        inputs=rng.normal(size=(count, GUIDE_INPUT_SIZE)).astype(np.float32),
        actions=rng.uniform(-1, 1, (count, 4)).astype(np.float32),
        rewards=rng.normal(size=count).astype(np.float32),
        next_inputs=rng.normal(size=(count, GUIDE_INPUT_SIZE)).astype(np.float32),
        terminated=flags,
        truncated=flags,
    )
    return batch._replace(**changes)


def test_an_update_leaves_its_batch_as_it_is() -> None:
    learner, batch = Learner(SMALL, seed=0), make_batch()
    kept = [x.copy() for x in batch]
    for _ in range(4):
        learner.update(batch)
    for one, other in zip(batch, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_crash_has_no_future_and_a_time_out_has() -> None:
    learner = Learner(SMALL, seed=0)
    ends = np.ones(16, np.bool_)
    plain, crashed = make_batch(), make_batch(terminated=ends)
    cut = make_batch(truncated=ends)
    values = []
    for batch in (plain, crashed, cut):
        learner.generator.manual_seed(1)
        values.append(learner.target_values(batch).numpy())
    np.testing.assert_array_equal(values[1], crashed.rewards)
    np.testing.assert_array_equal(values[2], values[0])
    assert (np.abs(values[2] - cut.rewards) > 1e-4).all()


def test_target_takes_the_lower_value_of_the_target_networks() -> None:
    learner = Learner(LearnerConfig((8,), (8,), policy_noise=0.0), seed=0)
    batch = make_batch()
    following = torch.from_numpy(batch.next_inputs)
    with torch.no_grad():
        for network in (learner.actor, learner.critic):  # only the targets count
            for parameter in network.parameters():
                parameter.add_(1.0)
        actions = learner.target_actor(following)
        lower = torch.minimum(*learner.target_critic(following, actions)).numpy()
    expected = batch.rewards + 0.99 * lower
    np.testing.assert_allclose(learner.target_values(batch).numpy(), expected, rtol=1e-6)


def test_smoothing_noise_is_clipped_and_has_its_size() -> None:
    learner = Learner(LearnerConfig((8,), (8,), policy_noise=0.2, noise_clip=0.3), seed=0)
    inputs = torch.zeros(4000, GUIDE_INPUT_SIZE)
    noise = learner.smoothed_actions(inputs) - learner.target_actor(inputs)
    assert noise.abs().max() == pytest.approx(0.3, abs=1e-6)
    assert noise.std() == pytest.approx(0.18, abs=0.01)  # 0.2, clipped at 1.5 deviations


def test_the_value_has_a_gradient_into_the_actor() -> None:
    learner = Learner(SMALL, seed=0)
    learner.actor_loss(torch.from_numpy(make_batch().inputs)).backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in learner.actor.parameters())


def test_actor_and_targets_move_with_every_second_update_only() -> None:
    learner, batch = Learner(SMALL, seed=0), make_batch()

    def weights() -> list[np.ndarray]:
        parts = (learner.actor, learner.target_actor, learner.target_critic)
        return [x.detach().numpy().copy() for part in parts for x in part.parameters()]

    start = weights()
    learner.update(batch)
    assert all((one == other).all() for one, other in zip(start, weights(), strict=True))
    learner.update(batch)
    assert all((one != other).any() for one, other in zip(start, weights(), strict=True))


def test_targets_follow_by_their_share() -> None:
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = one.weight.detach() * 0.9 + other.weight.detach() * 0.1
    follow(one, other, 0.1)
    torch.testing.assert_close(one.weight.detach(), expected)


def test_critics_learn_what_a_batch_is_worth() -> None:
    learner = Learner(LearnerConfig((8,), (32,), critic_rate=3e-3), seed=0)
    batch = make_batch(terminated=np.ones(16, np.bool_))
    losses = [learner.update(batch)[0] for _ in range(300)]
    assert losses[-1] < 0.02 * losses[0]


def test_a_restored_learner_goes_on_identically() -> None:
    learner, other, batch = Learner(SMALL, seed=0), Learner(SMALL, seed=1), make_batch()
    for _ in range(3):
        learner.update(batch)
    other.restore(learner.snapshot())
    assert [learner.update(batch) for _ in range(3)] == [other.update(batch) for _ in range(3)]


def test_step_sizes_fall_to_their_last_share() -> None:
    learner = Learner(LearnerConfig((8,), (8,), actor_rate=1e-3, last_rate=0.2), seed=0)
    rates = []
    for progress in (0.0, 0.5, 1.0):
        learner.set_progress(progress)
        rates.append(learner.actor_optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 6e-4, 2e-4])

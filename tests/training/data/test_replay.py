"""The replay: histories, rewards paid anew, no aliasing, a ring that forgets the oldest."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_sim.task.action_history import (
    GUIDE_INPUT_SIZE,
    HISTORY_STEPS,
    append_action,
    constant_history,
)
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.data.replay import Replay, Transitions


def fly(replay: Replay, ticks: int, seed: int, end_share: float = 0.05) -> dict[float, np.ndarray]:
    """Add made-up flights; return the input each transition should show, by its first number."""
    rng, drones = np.random.default_rng(seed), replay.drones
    steps, expected = np.zeros(drones, np.int32), {}
    starts = rng.uniform(-1, 1, (drones, 4)).astype(np.float32)
    histories = [deque([x] * HISTORY_STEPS, HISTORY_STEPS) for x in starts]
    for tick in range(ticks):
        observations = rng.normal(size=(drones, 18)).astype(np.float32)
        observations[:, 0] = tick * drones + np.arange(drones)
        actions = rng.uniform(-1, 1, (drones, 4)).astype(np.float32)
        ended = rng.random(drones) < end_share
        crashed = ended & (rng.random(drones) < 0.5)
        parts = rng.normal(size=(drones, 5)).astype(np.float32)
        replay.add(
            Transitions(
                observations,
                actions,
                observations + 0.5,
                parts,
                crashed,
                ended & ~crashed,
                steps,
                starts,
            )
        )
        for drone, history in enumerate(histories):
            expected[float(observations[drone, 0])] = np.concatenate([*history, actions[drone]])
            history.append(actions[drone])
            if ended[drone]:
                starts[drone] = rng.uniform(-1, 1, 4)
                history.extend([starts[drone].copy()] * HISTORY_STEPS)
        steps = np.where(ended, 0, steps + 1).astype(np.int32)
    return expected


@given(st.integers(0, 1000), st.integers(1, 130), st.sampled_from([0.0, 0.05, 0.5, 1.0]))
def test_histories_are_those_flown_and_never_cross_a_reset(
    seed: int, ticks: int, end_share: float
) -> None:
    replay = Replay(3, 150)
    expected = fly(replay, ticks, seed, end_share)
    batch = replay.sample(60, START_COEFFICIENTS, np.random.default_rng(seed))
    assert batch.inputs.shape == (60, GUIDE_INPUT_SIZE)
    for now, following in zip(batch.inputs, batch.next_inputs, strict=True):
        history = expected[float(now[0])]
        np.testing.assert_array_equal(now[18:], history[:128])
        np.testing.assert_array_equal(following[18:], history[4:])
        assert following[0] == now[0] + 0.5  # the next state is of the same episode


def test_batches_are_paid_by_the_coefficients_in_force() -> None:
    replay = Replay(2, 200)
    fly(replay, 50, 0)
    for coefficients in (START_COEFFICIENTS, END_COEFFICIENTS):
        batch = replay.sample(40, coefficients, np.random.default_rng(1))
        parts = replay.snapshot()["arrays"]["reward_parts"].reshape(-1, 5)
        number = batch.inputs[:, 0].astype(int)
        c = coefficients
        weights = [c.position, c.velocity, c.throttle, c.attitude, c.survival]
        np.testing.assert_allclose(batch.rewards, parts[number] @ weights, rtol=1e-5, atol=1e-6)


def test_what_is_stored_is_no_view_of_what_was_given() -> None:
    replay = Replay(2, 100)
    observations, actions = np.ones((2, 18), np.float32), np.ones((2, 4), np.float32)
    flags, steps = np.zeros(2, np.bool_), np.zeros(2, np.int32)
    parts = np.ones((2, 5), np.float32)
    replay.add(
        Transitions(observations, actions, observations, parts, flags, flags, steps, actions)
    )
    before = replay.sample(4, START_COEFFICIENTS, np.random.default_rng(0))
    for array in (observations, actions, parts, flags, steps):
        array[...] = 7
    after = replay.sample(4, START_COEFFICIENTS, np.random.default_rng(0))
    for array in before:
        array[...] = array  # may be written to: it is no view either
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_batch_may_be_changed_without_changing_the_replay() -> None:
    replay = Replay(2, 100)
    fly(replay, 40, 0)
    batch = replay.sample(30, START_COEFFICIENTS, np.random.default_rng(0))
    kept = [x.copy() for x in batch]
    for array in batch:
        array[...] = 0
    for one, other in zip(
        replay.sample(30, START_COEFFICIENTS, np.random.default_rng(0)), kept, strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_a_full_ring_forgets_the_oldest_and_samples_all_the_rest() -> None:
    replay = Replay(2, 100)  # 50 rows
    fly(replay, 70, 0)
    assert len(replay) == 100
    batch = replay.sample(2000, START_COEFFICIENTS, np.random.default_rng(0))
    # of the 50 rows, the oldest 32 no longer have the row their history begins with
    assert set(batch.inputs[:, 0]) == set(range(2 * (70 - 18), 2 * 70))


def test_the_generator_alone_decides_the_batch() -> None:
    replay = Replay(2, 100)
    fly(replay, 40, 0)
    one, same, other = (
        replay.sample(30, START_COEFFICIENTS, np.random.default_rng(x)) for x in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.inputs, same.inputs)
    assert not np.array_equal(one.inputs, other.inputs)


def test_a_restored_replay_is_the_same() -> None:
    replay, other = Replay(2, 200), Replay(2, 200)
    fly(replay, 120, 0)
    other.restore(replay.snapshot())
    for one, two in zip(
        replay.sample(50, START_COEFFICIENTS, np.random.default_rng(0)),
        other.sample(50, START_COEFFICIENTS, np.random.default_rng(0)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(UserError, match="another size"):
        Replay(2, 300).restore(replay.snapshot())


def test_too_small_or_empty_replays_are_refused() -> None:
    with pytest.raises(UserError, match="too small"):
        Replay(10, 320)
    with pytest.raises(ValueError, match="empty"):
        Replay(2, 100).sample(1, START_COEFFICIENTS, np.random.default_rng(0))


def test_appending_drops_the_oldest_action() -> None:
    history = constant_history(np.full((1, 4), 0.5, np.float32))
    after = append_action(history, np.full((1, 4), -1.0, np.float32))
    np.testing.assert_array_equal(after[0, :124], 0.5)
    np.testing.assert_array_equal(after[0, 124:], -1.0)

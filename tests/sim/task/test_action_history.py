"""The ring of last actions, by itself and in the batched twin."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_controller.vehicle.airframe import load_quadrotor
from snn_sim.batched.batch import DroneBatch
from snn_sim.task.action_history import ActionHistory

QUADROTOR = load_quadrotor("crazyflie21")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.integers(0, 20), st.integers(0, 2**32))
def test_shows_the_last_actions_oldest_first(steps: int, flown: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    actions = rng.uniform(-1.5, 1.5, (flown, 3, 4))
    history = ActionHistory(3, steps)
    for row in actions:
        history.append(row)
    padded = np.concatenate([np.zeros((steps, 3, 4)), np.clip(actions, -1.0, 1.0)])
    expected = padded[len(padded) - steps :].transpose(1, 0, 2)
    np.testing.assert_array_equal(history.actions, expected.astype(np.float32))
    again = ActionHistory(3, steps)
    again.append(rng.uniform(size=(3, 4)))
    again.restore(history.snapshot())
    again.append(np.zeros((3, 4)))
    history.append(np.zeros((3, 4)))
    np.testing.assert_array_equal(again.actions, history.actions)


def test_reading_copies_nothing() -> None:
    history = ActionHistory(2, 32)
    assert np.shares_memory(history.actions, history.actions)


@pytest.mark.parametrize("auto_reset", [True, False])
def test_an_episode_of_the_twin_begins_with_what_its_rotors_show(auto_reset: bool) -> None:
    drones = DroneBatch(QUADROTOR, 40, starts=("hard",), history_steps=8, seed=1)
    assert drones.histories.shape == (40, 8, 4)
    shown = np.broadcast_to(2.0 * drones.rotors[:, None] - 1.0, (40, 8, 4))
    np.testing.assert_allclose(drones.histories, shown, atol=1e-6)
    ended, actions = np.zeros(40, np.bool_), np.zeros((0, 40, 4))
    while not ended.any():
        actions = np.concatenate([actions, np.random.default_rng(0).uniform(-2, 0, (1, 40, 4))])
        drones.step(actions[-1], auto_reset=auto_reset)
        ended = drones.terminated | drones.truncated
    if not auto_reset:
        drones.restart(ended)
    expected = np.clip(actions[-8:], -1.0, 1.0).transpose(1, 0, 2)
    np.testing.assert_allclose(drones.histories[~ended], expected[~ended], atol=1e-6)
    shown = np.broadcast_to(2.0 * drones.rotors[:, None] - 1.0, (40, 8, 4))
    np.testing.assert_allclose(drones.histories[ended], shown[ended], atol=1e-6)


def test_without_a_history_there_is_none() -> None:
    assert DroneBatch(QUADROTOR, 3).histories.shape == (3, 0, 4)

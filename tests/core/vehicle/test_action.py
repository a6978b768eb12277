"""Actions and the commands they stand for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snn_controller.vehicle.action import (
    ACTION_KINDS,
    ACTION_MAPPINGS,
    RATE_LIMITS,
    ActionKind,
    action_from_command,
    action_from_throttle,
    command_from_action,
    stop_command,
    throttle_from_action,
    thrust_rates_from_action,
)
from snn_controller.vehicle.frames import GRAVITY, Array

throttles = arrays(np.float64, 4, elements=st.floats(0.0, 1.0))
wild = arrays(np.float64, 4, elements=st.floats(-1e6, 1e6))


@given(throttles)
def test_throttle_comes_back_from_its_action(throttle: Array) -> None:
    found = throttle_from_action(action_from_throttle(throttle))
    np.testing.assert_allclose(found, throttle, atol=1e-15)


@given(wild)
def test_what_lies_outside_is_clipped(action: Array) -> None:
    throttle = throttle_from_action(action)
    assert ((throttle >= 0.0) & (throttle <= 1.0)).all()
    np.testing.assert_array_equal(throttle, throttle_from_action(np.clip(action, -1.0, 1.0)))
    thrust, *rates = thrust_rates_from_action(action)
    assert 0.0 <= thrust <= 2.0 * GRAVITY
    assert (np.abs(rates) <= RATE_LIMITS).all()


def test_zero_action_of_thrust_rates_is_hover() -> None:
    np.testing.assert_array_equal(thrust_rates_from_action(np.zeros(4)), [GRAVITY, 0, 0, 0])
    full = thrust_rates_from_action(np.ones(4))
    np.testing.assert_allclose(full, [2 * GRAVITY, 6, 6, 3])


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_commands_carry_their_kind(kind: ActionKind) -> None:
    command = command_from_action(np.zeros(4), kind)
    assert (command.kind, command.stop) == (kind, False)
    assert command.values.shape == (4,)
    stop = stop_command(kind)
    assert (stop.kind, stop.stop) == (kind, True)
    assert not stop.values.any()
    assert ACTION_MAPPINGS[kind]


@pytest.mark.parametrize("mapping", [throttle_from_action, thrust_rates_from_action])
def test_batches_are_rows_of_singles(mapping: object) -> None:
    assert callable(mapping)
    actions = np.random.default_rng(0).uniform(-1.5, 1.5, (3, 2, 4))
    batch = mapping(actions)
    assert batch.shape == (3, 2, 4)
    np.testing.assert_array_equal(batch[2, 1], mapping(actions[2, 1]))


@pytest.mark.parametrize("kind", ACTION_KINDS)
def test_actions_come_back_from_their_commands(kind: ActionKind) -> None:
    actions = np.random.default_rng(1).uniform(-1.0, 1.0, (5, 4))
    commands = np.stack([command_from_action(action, kind).values for action in actions])
    np.testing.assert_allclose(action_from_command(commands, kind), actions, atol=1e-12)

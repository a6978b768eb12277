"""Validation of a network in training: the same starts every time, and none for other rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_controller.vehicle.airframe import Quadrotor
from snn_training.networks.config import NetworkConfig
from snn_training.networks.make import Network, make_network
from snn_training.rollouts.network_pilot import network_pilot, validate_network


def make(**options: float) -> Network:
    config = NetworkConfig(hidden=(8, 4), **options)  # type: ignore[arg-type]
    return make_network(config, generator=torch.Generator().manual_seed(0))


def test_a_pilot_remembers_and_a_new_one_starts_afresh() -> None:
    policy, observations = make(), np.ones((3, 18), np.float32)

    def fly() -> list[np.ndarray]:
        pilot = network_pilot(policy, 3)
        return [pilot(observations).copy() for _ in range(20)]

    actions = fly()
    assert any(not np.array_equal(x, actions[0]) for x in actions)
    np.testing.assert_array_equal(actions, fly())


def test_scores_are_those_of_the_same_starts(quadrotor: Quadrotor) -> None:
    one, same = (validate_network(make(), quadrotor, seed=1) for _ in range(2))
    assert one == same
    assert one != validate_network(make(), quadrotor, seed=2)
    assert 0.0 <= one["survival"] <= 1.0
    assert one["return_end"] <= one["return_start"] + 1e-9


@pytest.mark.parametrize("rate", [50.0, 500.0])
def test_other_control_rates_have_no_scores(quadrotor: Quadrotor, rate: float) -> None:
    assert validate_network(make(control_rate=rate), quadrotor, seed=1) == {}

"""The price of spikes: its value and gradient by hand, and that training under it fires less."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_controller.vehicle.airframe import Quadrotor
from snn_sim.task.reward import END_COEFFICIENTS
from snn_training.networks.unroll import unroll_spiking
from snn_training.neurons.sparsity import sparsity_loss, sparsity_rules
from support.sequence_samples import PRESSURE, flown, learner


def test_the_price_is_the_mean_squared_excess_of_the_layers() -> None:
    quiet, busy = torch.zeros(2, 3, 4), torch.zeros(2, 3, 5)
    busy[:, :, :2] = 1.0  # a rate of 0.4
    assert float(sparsity_loss([quiet, busy], 0.1)) == pytest.approx(0.3**2 / 2.0)
    assert float(sparsity_loss([quiet, busy], 0.4)) == 0.0
    assert float(sparsity_loss([], 0.1)) == 0.0


def test_every_spike_of_a_busy_layer_pulls_alike_and_those_of_a_quiet_one_do_not() -> None:
    quiet = torch.zeros(2, 3, 4, requires_grad=True)
    busy = torch.ones(1, 2, 5, requires_grad=True)
    sparsity_loss([quiet, busy], 0.1).backward()
    assert quiet.grad is not None
    assert busy.grad is not None
    assert float(quiet.grad.abs().max()) == 0.0
    np.testing.assert_allclose(busy.grad, 2.0 * 0.9 / 10.0 / 2.0, rtol=1e-6)


def rates(sparsity: float, quadrotor: Quadrotor) -> np.ndarray:
    """Return the rates (layers,) on the same flights after a few updates at a price."""
    policy = learner(sparsity=sparsity, target_rate=0.02)
    replay = flown(quadrotor, learner(), 150)
    rng = np.random.default_rng(2)
    for _ in range(40):
        policy.update(replay, END_COEFFICIENTS, PRESSURE, rng)
    generator = torch.Generator().manual_seed(0)
    observations = 0.3 * torch.randn(30, 16, 18, generator=generator)
    flown_actions, restarts = torch.zeros(30, 16, 4), torch.zeros(30, 16, dtype=torch.bool)
    _, spikes = unroll_spiking(policy.actor, observations, flown_actions, restarts, 5.0)
    return np.array([float(x.detach().mean()) for x in spikes])


def test_a_price_on_spikes_lowers_the_rate_of_every_layer(quadrotor: Quadrotor) -> None:
    free, priced = rates(0.0, quadrotor), rates(300.0, quadrotor)
    assert len(free) == 2
    assert (priced < 0.8 * free).all()


def test_rules_refuse_what_is_no_rate() -> None:
    assert all(good for good, _ in sparsity_rules(1.0, 0.1).values())
    assert not sparsity_rules(-1.0, 0.1, "learner.")["learner.sparsity"][0]
    assert not sparsity_rules(1.0, 1.5)["target-rate"][0]

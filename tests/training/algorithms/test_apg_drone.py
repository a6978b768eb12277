"""The drone in PyTorch flies as the batched twin does, and its gradients are true."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import (
    OBSERVATION_SIZE,
    OBSERVATION_VERSION,
    OBSERVATIONS,
    ROTATION_MATRIX,
)
from snn_controller.vehicle.state import Reference
from snn_sim.batched.batch import DroneBatch
from snn_sim.task.disturbances import NOMINAL, ROBUST, Disturbances, measure
from snn_training.algorithms.apg.drone import (
    DroneState,
    make_drone_step,
    observe,
    read_physics,
    read_states,
)

QUADROTOR = load_quadrotor("crazyflie21")
PERIOD = 0.01


def test_the_differentiable_observation_is_the_defined_one() -> None:
    """On random states, with noise on what is measured: far and near, slow and fast."""
    rng = np.random.default_rng(3)
    drones = DroneBatch(QUADROTOR, 500, starts=("hard",), seed=3)
    position, velocity = rng.uniform(-1.0, 1.0, (500, 3)), rng.uniform(-3.0, 3.0, (500, 3))
    for noise in (
        np.zeros((500, OBSERVATION_SIZE)),
        0.1 * rng.normal(size=(500, OBSERVATION_SIZE)),
    ):
        tensors = (torch.as_tensor(x, dtype=torch.float32) for x in (position, velocity, noise))
        seen = observe(read_states(drones), *tensors)
        expected = OBSERVATIONS[OBSERVATION_VERSION].observe(
            measure(drones.state, noise), Reference(position, velocity)
        )
        np.testing.assert_allclose(seen.numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("disturbances", [NOMINAL, ROBUST], ids=["nominal", "robust"])
def test_flies_as_the_twin(disturbances: Disturbances) -> None:
    """Over 0.5 s of commands that keep tilting the drones, 5 mm and 0.02 in the matrix."""
    drones = DroneBatch(QUADROTOR, 64, disturbances=disturbances, seed=1)
    state, physics = read_states(drones), read_physics(drones)
    push = torch.as_tensor(drones.physics.push, dtype=torch.float32)
    start, end = (torch.as_tensor(x) for x in drones.physics[-2:])
    step = make_drone_step(QUADROTOR, PERIOD)
    rng = np.random.default_rng(0)
    base = 2.0 * QUADROTOR.hover_throttle - 1.0
    actions = np.zeros((64, 4))
    for tick in range(50):
        if tick % 5 == 0:
            actions = np.float32(base + rng.uniform(-0.1, 0.1, (64, 4)))
        drones.step(actions, auto_reset=False)
        now = ((start <= tick) & (tick < end)).float()
        state = step(state, physics, torch.as_tensor(actions), push * now)
    truth = drones.state
    np.testing.assert_allclose(state.position.numpy(), truth.position, atol=5e-3)
    np.testing.assert_allclose(state.rotors.numpy(), drones.rotors, atol=1e-4)
    seen = observe(state, *(torch.zeros(64, 3),) * 2, torch.zeros(64, OBSERVATION_SIZE))
    matrix = truth.rotation.reshape(64, 9)
    np.testing.assert_allclose(seen[:, ROTATION_MATRIX].numpy(), matrix, atol=2e-2)


def test_gradients_are_those_of_finite_differences() -> None:
    drones = DroneBatch(QUADROTOR, 3, disturbances=ROBUST, seed=2)
    state = DroneState(*(x.double() for x in read_states(drones)))
    physics = type(read_physics(drones))(*(x.double() for x in read_physics(drones)))
    step = make_drone_step(QUADROTOR, PERIOD)

    def fly(action: torch.Tensor) -> torch.Tensor:
        now = state
        for _ in range(4):
            now = step(now, physics, action, torch.zeros(3, 3, dtype=torch.float64))
        return torch.cat(now[:5], dim=1)

    actions = torch.full((3, 4), 0.2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(fly, (actions,), eps=1e-6, atol=1e-6)


def test_a_lost_drone_stays_finite() -> None:
    drones = DroneBatch(QUADROTOR, 4, seed=4)
    state, physics = read_states(drones), read_physics(drones)
    step = make_drone_step(QUADROTOR, PERIOD)
    spin = torch.tensor([[1.0, -1.0, -1.0, 1.0]]).repeat(4, 1)
    for _ in range(500):
        state = step(state, physics, spin, torch.zeros(4, 3))
    assert all(torch.isfinite(x).all() for x in state)

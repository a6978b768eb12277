from __future__ import annotations

import numpy as np
import pytest

from snn_controller.control.body_rate import RateGains, control_rates
from snn_controller.vehicle.airframe import Quadrotor
from snn_controller.vehicle.state import State
from snn_sim.bullet.drone import Drone


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_commanded_rates_are_reached(quadrotor: Quadrotor, axis: int, sign: float) -> None:
    target = np.zeros(3)
    target[axis] = sign
    with Drone(quadrotor) as drone:
        drone.reset(State.at_rest(np.array([0, 0, 5.0])), np.full(4, quadrotor.hover_throttle))
        for _ in range(100):
            command = np.array([quadrotor.gravity, *target])
            throttle = control_rates(
                command,
                drone.state.body_rates,
                drone.rotors,
                quadrotor=quadrotor,
                gains=RateGains(),
            )
            drone.step(throttle)
        assert drone.state.body_rates == pytest.approx(target, abs=0.05)


def test_level_thrust_of_the_weight_is_hover_throttle(quadrotor: Quadrotor) -> None:
    hover = np.full(4, quadrotor.hover_throttle)
    command = np.array([quadrotor.gravity, 0.0, 0.0, 0.0])
    throttle = control_rates(command, np.zeros(3), hover, quadrotor=quadrotor, gains=RateGains())
    assert throttle == pytest.approx(hover)


def test_a_batch_is_the_same_as_one_by_one(quadrotor: Quadrotor) -> None:
    rng = np.random.default_rng(3)
    commands, rates = rng.normal([9.8, 0, 0, 0], size=(5, 4)), rng.normal(size=(5, 3))
    rotors = rng.uniform(size=(5, 4))
    options = {"quadrotor": quadrotor, "gains": RateGains()}
    batch = control_rates(commands, rates, rotors, **options)
    single = [control_rates(*row, **options) for row in zip(commands, rates, rotors, strict=True)]
    assert np.allclose(batch, single)
    assert ((batch >= 0.0) & (batch <= 1.0)).all()

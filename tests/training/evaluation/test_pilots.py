"""A policy's action becomes throttle by its kind."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from snn_controller.control.geometric import GuideGains
from snn_controller.vehicle.action import throttle_from_action
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.state import Reference, State
from snn_training.evaluation.pilots import GeometricPilot, PolicyPilot

QUADROTOR = load_quadrotor("crazyflie21")
ORIGIN = Reference(np.zeros(3))
AT_REST = State.at_rest(np.zeros(3))
HOVER = np.full(4, QUADROTOR.hover_throttle)


def pilot_of(kind: str, action: Array) -> PolicyPilot:
    """Return a pilot of a policy that answers every observation with one action."""
    policy = SimpleNamespace(
        metadata=SimpleNamespace(action_kind=kind, layers=(), input_macs=0),
        step=lambda observation: action,
    )
    return PolicyPilot(policy, QUADROTOR)  # type: ignore[arg-type]


def test_motor_actions_are_throttle() -> None:
    asked = np.array([-1.0, 0.0, 0.5, 1.0])
    action, throttle = pilot_of("motors", asked).step(AT_REST, ORIGIN, HOVER)
    np.testing.assert_array_equal(action, asked)
    np.testing.assert_array_equal(throttle, throttle_from_action(asked))


@pytest.mark.parametrize(("axis", "sign"), [(1, 1.0), (1, -1.0), (2, 1.0), (3, -1.0)])
def test_thrust_rates_pass_through_the_rate_loop(axis: int, sign: float) -> None:
    asked = np.zeros(4)
    action, throttle = pilot_of("thrust_rates", asked).step(AT_REST, ORIGIN, HOVER)
    np.testing.assert_array_equal(action, asked)  # scored as the policy gave it
    np.testing.assert_allclose(throttle, HOVER)
    asked[axis] = 0.05 * sign
    _, throttle = pilot_of("thrust_rates", asked).step(AT_REST, ORIGIN, HOVER)
    assert np.sign(QUADROTOR.mixer @ QUADROTOR.thrust(throttle))[axis] == sign


def test_guide_hovers_at_the_target() -> None:
    pilot = GeometricPilot(QUADROTOR, GuideGains())
    _, throttle = pilot.step(AT_REST, ORIGIN, HOVER)
    np.testing.assert_allclose(throttle, HOVER)
    assert (pilot.spikes, pilot.synaptic_ops) == ({}, 0)

"""gym-pybullet-drones as the world, and our drone against it step by step."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.state import State
from snn_sim.bullet.aviary import Aviary
from snn_sim.bullet.drone import Drone

CF2X = load_quadrotor("cf2x")
RATE = 240.0  # Hz, control and physics
SPINNING = State(
    position=np.array([0.0, 0.0, 3.0]),
    quaternion=np.array([0.1, 0.2, 0.3, 0.9]) / np.linalg.norm([0.1, 0.2, 0.3, 0.9]),
    velocity=np.array([0.1, 0.2, 0.3]),
    body_rates=np.array([1.0, -2.0, 0.5]),
)
FIELDS = ("position", "quaternion", "velocity", "body_rates")


# what gym-pybullet-drones itself warns about
pytestmark = [
    pytest.mark.filterwarnings("ignore:pkg_resources"),
    pytest.mark.filterwarnings("ignore:.*precision lowered"),
]


@pytest.fixture
def aviary() -> Aviary:
    pytest.importorskip("gym_pybullet_drones")
    return Aviary(CF2X, control_rate=RATE)


def largest_differences(aviary: Aviary, *, refresh: bool) -> dict[str, float]:
    """Fly 240 random throttles in both worlds and return the largest difference per field."""
    rng, worst = np.random.default_rng(0), dict.fromkeys(FIELDS, 0.0)
    with Drone(CF2X, control_rate=RATE, physics_rate=RATE, damping=0.04) as drone:
        aviary.reset(SPINNING, np.zeros(4))
        drone.reset(SPINNING, np.zeros(4))
        for _ in range(240):
            throttle = CF2X.hover_throttle * rng.uniform(0.9, 1.1, 4)
            if refresh:
                aviary._bullet.getLinkStates(
                    aviary._body,
                    range(5),
                    computeForwardKinematics=1,
                    physicsClientId=aviary._client,
                )
            theirs, ours = aviary.step(throttle), drone.step(throttle)
            for field in FIELDS:
                gap = float(np.abs(getattr(theirs, field) - getattr(ours, field)).max())
                worst[field] = max(worst[field], gap)
    return worst


def test_same_physics_as_ctrl_aviary(aviary: Aviary) -> None:
    """With its propeller links up to date, 240 steps agree to rounding.

    CtrlAviary turns rotor forces by link poses that Bullet refreshes one step late, unless the
    poses are asked for. Measured: 3e-9 m, 5e-9 rad/s.
    """
    worst = largest_differences(aviary, refresh=True)
    assert worst["position"] < 1e-7
    assert worst["quaternion"] < 1e-7
    assert worst["velocity"] < 1e-6
    assert worst["body_rates"] < 1e-6


def test_late_link_poses_explain_the_rest(aviary: Aviary) -> None:
    """As the package is used, the late poses move the drone by centimetres in a second."""
    worst = largest_differences(aviary, refresh=False)
    assert 1e-3 < worst["position"] < 0.1


def test_constants_are_those_of_the_package(aviary: Aviary) -> None:
    package = aviary._aviary
    assert CF2X.mass == package.M
    assert CF2X.gravity == package.G
    np.testing.assert_allclose(np.diag(package.J), CF2X.inertia)
    np.testing.assert_allclose(CF2X.thrust(1.0), package.KF * package.MAX_RPM**2, rtol=1e-6)
    np.testing.assert_allclose(CF2X.torque_constant, package.KM / package.KF, rtol=1e-12)
    np.testing.assert_allclose(CF2X.hover_throttle, package.HOVER_RPM / package.MAX_RPM, rtol=1e-6)
    assert CF2X.collision_radius == package.COLLISION_R
    assert CF2X.collision_height == package.COLLISION_H


def test_interface_of_the_drone(aviary: Aviary) -> None:
    with aviary:
        found = aviary.reset(SPINNING, np.full(4, 0.3))
        for field in FIELDS:
            np.testing.assert_allclose(getattr(found, field), getattr(SPINNING, field), atol=1e-12)
        np.testing.assert_array_equal(aviary.rotors, np.full(4, 0.3))
        aviary.step(np.full(4, 2.0))
        np.testing.assert_array_equal(aviary.rotors, np.ones(4))
        aviary.step(None)
        np.testing.assert_array_equal(aviary.rotors, np.zeros(4))
    aviary.close()


def test_default_rates_divide() -> None:
    pytest.importorskip("gym_pybullet_drones")
    with Aviary(CF2X, control_rate=100.0) as aviary:
        assert aviary._aviary.PYB_FREQ == 300
        assert aviary._aviary.CTRL_FREQ == 100


@pytest.mark.parametrize("rates", [(100.0, 250.0), (99.5, None), (0.0, None), (240.0, 0.0)])
def test_rates_that_do_not_divide_are_refused(rates: tuple[float, float | None]) -> None:
    with pytest.raises(UserError, match="multiple"):
        Aviary(CF2X, control_rate=rates[0], physics_rate=rates[1])


def test_other_airframes_are_refused() -> None:
    with pytest.raises(UserError, match="cf2x only"):
        Aviary(load_quadrotor("crazyflie21"))


def test_missing_package_is_one_sentence_with_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gym_pybullet_drones.envs.CtrlAviary", None)
    monkeypatch.setitem(sys.modules, "gym_pybullet_drones", None)
    with pytest.raises(UserError, match=r"--no-deps swarm-drone-gym"):
        Aviary(CF2X)

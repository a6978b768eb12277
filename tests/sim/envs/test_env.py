"""The Gymnasium environment: its checkers, its endings, its seeds."""

from __future__ import annotations

import warnings

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from snn_controller.control.geometric import GuideGains, geometric_control
from snn_controller.errors import UserError
from snn_controller.vehicle.action import action_from_throttle
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.observation import OBSERVATION_SIZE, observe
from snn_controller.vehicle.state import Reference
from snn_sim.envs.env import TARGET, DroneEnv
from snn_sim.task.episode import EPISODE_STEPS
from snn_sim.task.reward import END_COEFFICIENTS

QUADROTOR = load_quadrotor("crazyflie21")
HOVER = action_from_throttle(np.full(4, QUADROTOR.hover_throttle)).astype(np.float32)
IDLE = -np.ones(4, dtype=np.float32)


@pytest.mark.parametrize("start", ["easy", "standard", "hard", "hover"])
def test_gymnasium_checker_has_no_complaint(start: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # the renderings are checked below; the window needs a display
        check_env(DroneEnv(start=start), skip_render_check=True)


def test_stable_baselines3_checker_has_no_complaint() -> None:
    checker = pytest.importorskip("stable_baselines3.common.env_checker")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checker.check_env(DroneEnv())


def test_registered_name_makes_the_environment() -> None:
    with gymnasium.make("snn_sim.envs.env:snn_controller/Drone-v0", start="easy") as environment:
        observation, _ = environment.reset(seed=0)
        assert environment.observation_space.contains(observation)
        assert isinstance(environment.unwrapped, DroneEnv)


def test_observation_is_the_one_of_flight() -> None:
    with DroneEnv() as environment:
        environment.reset(seed=1)
        observation, *_, info = environment.step(HOVER)
        drone = environment._drone
        np.testing.assert_array_equal(observation, observe(drone.state, Reference(TARGET)))
        np.testing.assert_allclose(info["position_error"], drone.state.position - TARGET)
        np.testing.assert_allclose(info["rotors"], 2.0 * drone.rotors - 1.0)


def test_falling_terminates_and_does_not_truncate() -> None:
    with DroneEnv(start="easy") as environment:
        environment.reset(seed=0)
        for _ in range(100):
            _, _, terminated, truncated, info = environment.step(IDLE)
            if terminated:
                break
        assert terminated
        assert not truncated
        assert info["position_error"][2] < -0.6


def test_hovering_truncates_and_does_not_terminate() -> None:
    with DroneEnv(start="easy") as environment:
        environment.reset(seed=0)
        endings, total = [], 0.0
        for _ in range(EPISODE_STEPS):
            drone = environment._drone
            action = geometric_control(
                drone.state,
                Reference(TARGET),
                drone.rotors,
                quadrotor=QUADROTOR,
                gains=GuideGains(),
            )
            _, reward, terminated, truncated, _ = environment.step(action)
            endings.append((terminated, truncated))
            total += reward
    assert endings == [(False, False)] * (EPISODE_STEPS - 1) + [(False, True)]
    assert 495.0 < total <= 500.0


def test_same_seed_same_episode_and_another_seed_another() -> None:
    rows = []
    with DroneEnv(start="hard") as environment:
        for seed in (3, 3, 4):
            first, _ = environment.reset(seed=seed)
            last, *_ = environment.step(HOVER)
            rows.append(np.concatenate([first, last]))
        unseeded, _ = environment.reset()
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.array_equal(rows[0], rows[2])
    assert not np.array_equal(unseeded, rows[2][:OBSERVATION_SIZE])


def test_states_handed_out_do_not_change_later() -> None:
    with DroneEnv() as environment:
        observation, info = environment.reset(seed=0)
        kept, position = observation.copy(), info["position_error"].copy()
        environment.step(IDLE)
        np.testing.assert_array_equal(observation, kept)
        np.testing.assert_array_equal(info["position_error"], position)


def test_tightened_coefficients_take_effect() -> None:
    rewards = []
    with DroneEnv(start="hard") as environment:
        for coefficients in (environment.coefficients, END_COEFFICIENTS):
            environment.reset(seed=5)
            environment.coefficients = coefficients
            rewards.append(environment.step(HOVER)[1])
    assert rewards[1] < rewards[0]


def test_actions_outside_the_range_are_clipped() -> None:
    observations = []
    with DroneEnv() as environment:
        for scale in (1.0, 50.0):
            environment.reset(seed=6)
            observations.append(environment.step(scale * np.ones(4, dtype=np.float32))[0])
    np.testing.assert_array_equal(*observations)


def test_picture_shows_the_drone() -> None:
    with DroneEnv(start="easy", render_mode="rgb_array") as environment:
        environment.reset(seed=0)
        with_drone = environment.render()
        for _ in range(60):
            environment.step(np.ones(4, dtype=np.float32))
        without_drone = environment.render()
    assert with_drone is not None
    assert with_drone.shape == (240, 320, 3)
    assert with_drone.dtype == np.uint8
    changed = (with_drone != without_drone).any(axis=2)
    assert 50 < changed.sum() < 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": "ground"}, "unknown start"),
        ({"airframe": "brick"}, "unknown airframe"),
        ({"render_mode": "ascii"}, "unknown render_mode"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        DroneEnv(**options)  # type: ignore[arg-type]

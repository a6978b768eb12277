"""Episodes: their starts, their limits."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array, quaternion_to_matrix, tilt_angle
from snn_controller.vehicle.state import Reference, State
from snn_sim.task.episode import CRASH_DISTANCE, STARTS, has_crashed, random_rotation, sample_start

TARGET = np.array([1.0, -2.0, 3.0])
QUADROTOR = load_quadrotor("crazyflie21")
COUNT = 2000


def draw(name: str, seed: int = 0, count: int = COUNT) -> list[tuple[State, Array]]:
    rng = np.random.default_rng(seed)
    return [sample_start(name, rng, target=TARGET, quadrotor=QUADROTOR) for _ in range(count)]


@pytest.mark.parametrize(("name", "reach"), [("standard", 0.2), ("hard", 0.5)])
def test_tumbling_starts_fill_their_ranges(name: str, reach: float) -> None:
    starts = draw(name)
    offset = np.array([state.position - TARGET for state, _ in starts])
    assert reach * 0.98 < np.abs(offset).max() <= reach
    for values in ([state.velocity for state, _ in starts], [s.body_rates for s, _ in starts]):
        assert 0.98 < np.abs(values).max() <= 1.0
        np.testing.assert_allclose(np.mean(values, axis=0), 0.0, atol=4.0 / np.sqrt(3 * COUNT))


@pytest.mark.parametrize("name", ["standard", "hard"])
def test_a_tenth_starts_level_at_the_target_but_moving(name: str) -> None:
    at_target = [state for state, _ in draw(name) if np.array_equal(state.position, TARGET)]
    # four standard deviations of a binomial share
    assert len(at_target) / COUNT == pytest.approx(0.1, abs=4.0 * np.sqrt(0.09 / COUNT))
    assert all(np.array_equal(state.quaternion, [0.0, 0.0, 0.0, 1.0]) for state in at_target)
    assert all(np.linalg.norm(state.velocity) > 0.0 for state in at_target)


def test_rotors_of_each_start() -> None:
    for name, expected in (("easy", 0.5), ("standard", 0.5), ("ground", 0.0)):
        assert all((rotors == expected).all() for _, rotors in draw(name, count=20))
    assert all((rotors == QUADROTOR.hover_throttle).all() for _, rotors in draw("hover", count=20))
    hard = np.array([rotors for _, rotors in draw("hard")])
    assert hard.min() >= 0.0
    assert hard.max() <= 1.0
    assert hard.std() == pytest.approx(1.0 / np.sqrt(12.0), rel=0.05)


def test_rotation_is_uniform_under_the_haar_measure() -> None:
    rng = np.random.default_rng(0)
    quaternions = np.array([random_rotation(rng, np.pi / 2) for _ in range(5000)])
    np.testing.assert_allclose(np.linalg.norm(quaternions, axis=1), 1.0)
    angles = np.sort(2.0 * np.arccos(np.clip(quaternions[:, 3], -1.0, 1.0)))
    assert angles[-1] <= np.pi / 2 + 1e-12
    expected = (angles - np.sin(angles)) / (np.pi / 2 - 1.0)  # its distribution function
    found = np.arange(1, len(angles) + 1) / len(angles)
    assert np.abs(found - expected).max() < 1.95 / np.sqrt(len(angles))  # Kolmogorov, 0.1 %
    axes = quaternions[:, :3] / np.linalg.norm(quaternions[:, :3], axis=1, keepdims=True)
    np.testing.assert_allclose(axes.mean(axis=0), 0.0, atol=4.0 / np.sqrt(3 * len(axes)))


def test_rotation_of_at_most_half_a_turn_covers_all_rotations() -> None:
    rng = np.random.default_rng(1)
    matrices = quaternion_to_matrix([random_rotation(rng, np.pi) for _ in range(4000)])
    # the mean of a uniform rotation matrix is zero, its entries have variance 1/3
    np.testing.assert_allclose(matrices.mean(axis=0), 0.0, atol=4.0 / np.sqrt(3 * len(matrices)))


def test_easy_and_ground_are_at_rest() -> None:
    for name, position in (
        ("easy", TARGET),
        ("ground", [1.0, -2.0, QUADROTOR.collision_height / 2.0]),
    ):
        ((state, _),) = draw(name, count=1)
        np.testing.assert_array_equal(state.position, position)
        assert tilt_angle(state.rotation) == 0.0
        assert not np.any([state.velocity, state.body_rates])


@pytest.mark.parametrize("name", STARTS)
def test_same_generator_same_start(name: str) -> None:
    for (one, rotors), (other, other_rotors) in zip(
        draw(name, 7, 5), draw(name, 7, 5), strict=True
    ):
        np.testing.assert_array_equal(rotors, other_rotors)
        for field in ("position", "quaternion", "velocity", "body_rates"):
            np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_a_start_may_be_changed_without_changing_the_target() -> None:
    state, _ = sample_start("easy", np.random.default_rng(0), target=TARGET, quadrotor=QUADROTOR)
    state.position[0] = 99.0
    assert TARGET[0] == 1.0


def test_unknown_start_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="standard, hard"):
        draw("upside_down", count=1)


REFERENCE = Reference(np.array([1.0, 2.0, 3.0]))


@pytest.mark.parametrize("axis", range(3))
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_box_is_closed_on_every_side(axis: int, sign: float) -> None:
    for share, crashed in ((0.999, False), (1.001, True)):
        position = REFERENCE.position.copy()
        position[axis] += sign * share * CRASH_DISTANCE
        assert has_crashed(State.at_rest(position), REFERENCE) is crashed


@pytest.mark.parametrize("field", ["position", "velocity", "quaternion", "body_rates"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_crashed(field: str, value: float) -> None:
    state = State.at_rest(REFERENCE.position)
    broken = getattr(state, field).copy()
    broken[0] = value
    assert has_crashed(replace(state, **{field: broken}), REFERENCE)

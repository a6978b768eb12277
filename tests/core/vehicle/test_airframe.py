"""Airframes: thrust curve, mixer, motor lag, and files that are wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import QUADROTORS_FILE, load_quadrotor
from snn_controller.vehicle.frames import Array

NAMES = sorted(yaml.safe_load(QUADROTORS_FILE.read_text()))
AIRFRAMES = [load_quadrotor(name) for name in NAMES]
airframes = st.sampled_from(AIRFRAMES)
throttles = arrays(np.float64, 4, elements=st.floats(0.0, 1.0))


@given(airframes, st.floats(0.0, 1.0))
def test_throttle_inverts_thrust_on_the_rising_branch(quadrotor: Any, share: float) -> None:
    _, c1, c2 = quadrotor.thrust_coefficients
    lowest = max(0.0, -c1 / (2.0 * c2))  # where the curve turns
    throttle = lowest + share * (1.0 - lowest)
    # near its turn the curve is flat, and the root loses half the digits
    assert quadrotor.throttle(quadrotor.thrust(throttle)) == pytest.approx(throttle, abs=1e-7)


@given(airframes, st.floats(-5.0, 5.0))
def test_thrust_out_of_range_gives_the_nearest_throttle(quadrotor: Any, thrust: float) -> None:
    throttle = quadrotor.throttle(thrust)
    assert 0.0 <= throttle <= 1.0
    low, high = quadrotor.thrust_range
    assert quadrotor.thrust(throttle) == pytest.approx(np.clip(thrust, low, high), abs=1e-12)


@pytest.mark.parametrize("quadrotor", AIRFRAMES, ids=NAMES)
def test_hover_throttle_carries_the_weight(quadrotor: Any) -> None:
    weight = quadrotor.mass * quadrotor.gravity
    assert 4.0 * quadrotor.thrust(quadrotor.hover_throttle) == pytest.approx(weight)
    wrench = quadrotor.mixer @ quadrotor.thrust(np.full(4, quadrotor.hover_throttle))
    np.testing.assert_allclose(wrench[1:], 0.0, atol=1e-12)


def test_published_numbers_of_the_crazyflie() -> None:
    quadrotor = load_quadrotor("crazyflie21")
    assert quadrotor.hover_throttle == pytest.approx(0.660, abs=5e-4)
    assert 4.0 * quadrotor.thrust(1.0) == pytest.approx(0.521, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "hover", "thrust_to_weight"), [("x500", 0.73, 1.69), ("racer5", 0.35, 6.6)]
)
def test_larger_airframes_are_of_their_class(
    name: str, hover: float, thrust_to_weight: float
) -> None:
    quadrotor = load_quadrotor(name)
    weight = quadrotor.mass * quadrotor.gravity
    assert quadrotor.hover_throttle == pytest.approx(hover, abs=0.005)
    assert 4.0 * quadrotor.thrust(1.0) / weight == pytest.approx(thrust_to_weight, abs=0.05)
    assert quadrotor.inertia[0] + quadrotor.inertia[1] > quadrotor.inertia[2]


@given(airframes, arrays(np.float64, 4, elements=st.floats(-1.0, 1.0)))
def test_inverse_mixer_undoes_the_mixer(quadrotor: Any, thrusts: Array) -> None:
    found = quadrotor.inverse_mixer @ (quadrotor.mixer @ thrusts)
    np.testing.assert_allclose(found, thrusts, atol=1e-12)


@pytest.mark.parametrize("quadrotor", AIRFRAMES, ids=NAMES)
def test_torque_signs_of_single_rotors(quadrotor: Any) -> None:
    """M1 front right, M2 back right, M3 back left, M4 front left; x forward, y left, z up."""
    force, roll, pitch, yaw = quadrotor.mixer
    np.testing.assert_array_equal(force, 1.0)
    np.testing.assert_array_equal(np.sign(roll), [-1, -1, 1, 1])  # the left rotors lift the left
    np.testing.assert_array_equal(np.sign(pitch), [-1, 1, 1, -1])  # the rear lift the tail
    np.testing.assert_array_equal(np.sign(yaw), [-1, 1, -1, 1])


@given(airframes, throttles, throttles, st.floats(1e-4, 1.0), st.floats(0.0, 1.0))
def test_lag_is_exact_over_any_split_of_time(
    quadrotor: Any, rotors: Array, command: Array, duration: float, share: float
) -> None:
    split = replace(quadrotor, motor_time_constant_up=0.05, motor_time_constant_down=0.25)
    for airframe in (quadrotor, split):
        whole = airframe.step_rotors(rotors, command, duration)
        first = airframe.step_rotors(rotors, command, share * duration)
        parts = airframe.step_rotors(first, command, (1.0 - share) * duration)
        if airframe.motor_time_constant_up > 0.0:
            np.testing.assert_allclose(parts, whole, atol=1e-12)
        low, high = np.minimum(rotors, command), np.maximum(rotors, command)
        assert ((whole >= low - 1e-12) & (whole <= high + 1e-12)).all()


def test_lag_reaches_63_percent_in_one_time_constant() -> None:
    quadrotor = replace(AIRFRAMES[0], motor_time_constant_up=0.05, motor_time_constant_down=0.25)
    up = quadrotor.step_rotors(np.zeros(4), np.ones(4), 0.05)
    down = quadrotor.step_rotors(np.ones(4), np.zeros(4), 0.25)
    np.testing.assert_allclose(up, 1.0 - np.exp(-1.0))
    np.testing.assert_allclose(down, np.exp(-1.0))
    without_lag = replace(quadrotor, motor_time_constant_up=0.0, motor_time_constant_down=0.0)
    np.testing.assert_array_equal(without_lag.step_rotors(np.zeros(4), np.ones(4), 1e-3), 1.0)


def test_unknown_airframe_names_the_known_ones() -> None:
    with pytest.raises(UserError, match="cf2x, crazyflie21"):
        load_quadrotor("brick")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mass": -1.0}, "must be positive"),
        ({"mass": 5.0}, "does not carry the weight"),
        ({"mass": "heavy"}, "malformed"),
        ({"mass": None}, "malformed"),
        ({"inertia": [1e-5, 1e-5]}, "finite numbers"),
        ({"inertia": [1e-5, 0.0, 1e-5]}, "must be positive"),
        ({"inertia": [1e-5, float("nan"), 1e-5]}, "finite number"),
        ({"inertia": [[1e-5] * 3] * 3}, "finite number"),
        ({"mass": float("nan")}, "finite number"),
        ({"mass": float("inf")}, "finite number"),
        ({"mass": 10**400}, "finite number"),
        ({"mass": True}, "finite number"),
        ({"gravity": 0.0}, "must be positive"),
        ({"gravity": -9.81}, "must be positive"),
        ({"torque_constant": 0.0}, "must be positive"),
        ({"thrust_coefficients": [0.0, 1.0, 0.0]}, "must be positive"),
        ({"rotor_directions": [-1, 1, -1, 0.5]}, "1 or -1"),
        ({"rotor_directions": [1, 1, 1, 1], "rotor_positions": [[0, 0]] * 4}, "every axis"),
        ({"motor_time_constant": {"up": -0.1, "down": 0.1}}, "must not be negative"),
        ({"rotor_positions": [[0, 0]] * 3}, "finite numbers"),
        ({"motor_time_constant": 0.1}, "malformed"),
    ],
)
def test_wrong_numbers_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    values = yaml.safe_load(QUADROTORS_FILE.read_text())["crazyflie21"]
    path = tmp_path / "airframes.yaml"
    path.write_text(yaml.safe_dump({"mine": values | changes}))
    with pytest.raises(UserError, match=message):
        load_quadrotor("mine", path)


@pytest.mark.parametrize("key", ["mass", "inertia", "gravity", "thrust_coefficients"])
def test_missing_numbers_are_named(tmp_path: Path, key: str) -> None:
    values = yaml.safe_load(QUADROTORS_FILE.read_text())["crazyflie21"]
    del values[key]
    path = tmp_path / "airframes.yaml"
    path.write_text(yaml.safe_dump({"mine": values}))
    with pytest.raises(UserError, match=key):
        load_quadrotor("mine", path)


def test_numbers_that_yaml_takes_for_text_are_read(tmp_path: Path) -> None:
    text = QUADROTORS_FILE.read_text().replace("mass: 0.027", "mass: 27e-3")
    path = tmp_path / "airframes.yaml"
    path.write_text(text)
    assert load_quadrotor("crazyflie21", path).mass == pytest.approx(0.027)


def test_aliases_that_grow_without_end_are_refused_at_once(tmp_path: Path) -> None:
    lines = ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    lines += ["mine:", "  mass: *a39", "  inertia: *a39"]
    path = tmp_path / "airframes.yaml"
    path.write_text("\n".join(lines))
    with pytest.raises(UserError, match="finite number"):
        load_quadrotor("mine", path)


@pytest.mark.parametrize(
    "content",
    [
        "1: {}\na: {}",
        "[" * 5000,
        "{? [1]: 2}",
        "\0",
        "x" * 2**20 + "y",
        "&a [*a]",
        "!!python/name:os.x",
    ],
)
def test_files_that_would_break_a_parser_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "airframes.yaml"
    path.write_text(content)
    with pytest.raises(UserError, match=r"; |has:") as caught:
        load_quadrotor("mine", path)
    assert str(caught.value).isprintable()


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "airframes.yaml"
    path.write_bytes(b"mine: \xff\xfe")
    with pytest.raises(UserError, match="cannot be read"):
        load_quadrotor("mine", path)


@pytest.mark.parametrize("content", ["", "just text", "[1, 2]", "a: [unclosed", "mine: 3"])
def test_files_that_are_no_airframes_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "airframes.yaml"
    path.write_text(content)
    with pytest.raises(UserError):
        load_quadrotor("mine", path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load_quadrotor("crazyflie21", tmp_path / "none.yaml")


@pytest.mark.parametrize("name", ["crazyflie21", "cf2x"])
def test_several_times_at_once_are_those_one_by_one(name: str) -> None:
    quadrotor = replace(load_quadrotor(name), motor_time_constant_down=0.2)
    rotors, throttle = np.array([0.1, 0.9, 0.5, 0.3]), np.array([0.4, 0.4, 0.5, 0.0])
    times = np.array([[0.0], [0.005], [0.01]])
    found = quadrotor.step_rotors(rotors, throttle, times)
    expected = [quadrotor.step_rotors(rotors, throttle, float(time)) for time in times[:, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-15)

"""Who arms a flight: in simulation the node itself, a real vehicle only where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from snn_controller.errors import UserError
from snn_controller.flight.backup import TOUCHDOWN_HEIGHT
from snn_controller.flight.parameters import ControllerSettings
from snn_controller.flight.setup import prepare_flight
from snn_controller.vehicle.airframe import load_quadrotor
from snn_training.artifacts.file import ArtifactInfo
from snn_training.artifacts.transformer import export_transformer
from snn_training.networks.transformer.in_flight import Conditioning, FlyingTransformer
from support.transformer_samples import transformer


@pytest.mark.parametrize(
    ("link", "auto_start", "expected"),
    [
        ("sim", "simulated", True),
        ("sim", "always", True),
        ("sim", "never", False),
        ("betaflight", "simulated", False),
        ("betaflight", "always", True),
        ("betaflight", "never", False),
    ],
)
def test_a_real_vehicle_arms_by_itself_only_where_that_was_asked_for(
    link: str, auto_start: str, expected: bool
) -> None:
    settings = ControllerSettings(link=link, policy="hover_rates", auto_start=auto_start)
    plan = prepare_flight(settings).plan
    assert plan.auto_start is expected


def test_a_real_vehicle_begins_and_ends_on_the_ground_whatever_the_task() -> None:
    for link, lands in (("sim", False), ("mavlink", True)):
        settings = ControllerSettings(link=link, policy="hover_rates", auto_start="always")
        assert prepare_flight(settings).plan.lands is lands


@pytest.mark.parametrize(
    ("policy", "airframe", "ground"),
    [("hover", "crazyflie21", 0.0), ("hover_x500", "x500", 0.0875)],
)
def test_a_tall_drone_touches_down_as_high_as_it_stands(
    policy: str, airframe: str, ground: float
) -> None:
    """Else the landing of an x500, whose centre stands 10 cm high, would wait for 5 cm."""
    settings = ControllerSettings(policy=policy, airframe=airframe)
    plan = prepare_flight(settings).plan
    assert plan.ground_height == pytest.approx(ground)
    assert plan.ground_height < load_quadrotor(airframe).collision_height / 2.0
    assert load_quadrotor(airframe).collision_height / 2.0 < plan.ground_height + TOUCHDOWN_HEIGHT


def test_motors_are_refused_over_a_crazyflies_radio_with_the_reason() -> None:
    settings = ControllerSettings(link="crazyflie")
    with pytest.raises(UserError, match=r"gives motors \(stock Crazyflie firmware takes no"):
        prepare_flight(settings)


def conditioned(folder: Path) -> str:
    """Write a policy that takes a target return of 100 to 490."""
    flying = FlyingTransformer(
        transformer(), Conditioning(target=450.0, low=100.0, high=490.0, hover_throttle=0.6)
    )
    path = folder / "conditioned.onnx"
    export_transformer(flying, path, ArtifactInfo("crazyflie21"))
    return str(path)


@pytest.mark.slow
def test_a_policy_is_asked_for_the_return_that_is_set(tmp_path: Path) -> None:
    policy = conditioned(tmp_path)
    said: list[str] = []
    for asked, expected in ((0.0, 450.0), (300.0, 300.0), (9999.0, 490.0), (-1e5, 100.0)):
        settings = ControllerSettings(policy=policy, target_return=asked)
        flight = prepare_flight(settings, warn=said.append)
        assert flight.policy.target_return == expected
        flight.policy.reset()
        assert flight.policy.target_return == expected
    assert len(said) == 2
    assert "learnt returns of 100 to 490, so it is asked for 490 instead of 9999" in said[0]


@pytest.mark.slow
@pytest.mark.parametrize("asked", [float("nan"), float("inf")])
def test_a_return_that_is_no_number_is_refused(tmp_path: Path, asked: float) -> None:
    settings = ControllerSettings(policy=conditioned(tmp_path), target_return=asked)
    with pytest.raises(UserError, match="target_return"):
        prepare_flight(settings)


def test_a_policy_without_a_target_refuses_one() -> None:
    settings = ControllerSettings(target_return=400.0)
    with pytest.raises(UserError, match="takes no target return"):
        prepare_flight(settings)

"""Whole flights on a Crazyflie: state machine, guards, link, stock cflib and the double. 40 s."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from snn_controller.control.trajectories import find_task
from snn_controller.flight.control_loop import ControlLoop
from snn_controller.flight.flight import Flight
from snn_controller.flight.plan import FlightPlan
from snn_controller.flight_controllers.registry import LinkOptions
from snn_controller.policy.runtime import Policy
from snn_controller.safety.guards import Limits
from snn_controller.safety.state_machine import Event, Mode
from snn_controller.vehicle.airframe import Quadrotor
from snn_sim.doubles.crazyflie.firmware import HOVER_THRUST, Phase, ground_firmware
from snn_sim.doubles.crazyflie.udp_vehicle import CrazyflieDouble
from support.real_time import in_real_time

pytest.importorskip("cflib")
pytest.importorskip("torch")
from snn_controller.flight_controllers.crazyflie.link import CrazyflieLink
from snn_training.artifacts.export import export_policy
from snn_training.artifacts.file import ArtifactInfo
from support.sample_artifacts import untrained


class Operated:
    """A flight as the node runs it: polled every 2 ms, watched for silence."""

    def __init__(self, double: CrazyflieDouble, policy: Policy, quadrotor: Quadrotor) -> None:
        hover_thrust = HOVER_THRUST / 65535
        self.double = double
        self.link = CrazyflieLink(LinkOptions(endpoint=double.endpoint, hover_thrust=hover_thrust))
        plan = FlightPlan(
            task=find_task("hover"),
            duration=1.5,
            hover_point=np.array([0.0, 0.0, 0.5]),
            auto_start=False,
        )
        self.flight = Flight(policy, quadrotor, plan, Limits())
        self.loop = ControlLoop(self.flight, self.link)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Fly for some s or until something holds, and say whether it does."""
        deadline = time.perf_counter() + seconds
        while time.perf_counter() < deadline and not until():
            self.loop.watch()
            time.sleep(0.002)
        return until()

    def reach(self, mode: Mode, seconds: float) -> bool:
        """Fly until a state is reached."""
        return self.run(seconds, lambda: self.flight.mode is mode)

    def request(self, event: Event) -> str | None:
        """Ask for something, as an operator."""
        return self.loop.ask(event)

    def take_off(self) -> None:
        """Arm, take off and let the policy fly."""
        self.run(1.0)
        assert self.request(Event.ARM) is None
        assert self.reach(Mode.ARMED, 5.0)
        assert not self.double.firmware.motors_turn
        assert self.request(Event.TAKE_OFF) is None
        assert self.reach(Mode.POLICY, 10.0), self.flight.verdict


@pytest.fixture(scope="module")
def policy_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "rates.onnx"
    export_policy(untrained(hidden=(8,)), path, ArtifactInfo("crazyflie21", "thrust_rates"))
    return path


@pytest.fixture
def operated(policy_file: Path, quadrotor: Quadrotor) -> Iterator[Operated]:
    double = CrazyflieDouble(ground_firmware())
    double.start()
    flown = Operated(double, Policy.load(policy_file, airframe="crazyflie21"), quadrotor)
    yield flown
    flown.loop.close()
    flown.link.release()
    assert flown.link.wait_released()
    double.stop()
    double.firmware.drone.close()


@pytest.mark.slow
@in_real_time
def test_it_arms_takes_off_flies_lands_and_flies_again(operated: Operated) -> None:
    for _ in range(2):
        operated.take_off()
        assert operated.double.firmware.drone.state.position[2] == pytest.approx(0.5, abs=0.12)
        assert operated.reach(Mode.DISARMED, 20.0)
        assert operated.run(0.5, lambda: not operated.double.firmware.motors_turn)
        # Motors stop 5 cm above the ground, give or take what a busy machine is late.
        assert operated.double.firmware.drone.state.position[2] < 0.08
    operated.run(2.5)
    assert operated.double.firmware.supervisor.phase is not Phase.LOCKED


@in_real_time
def test_a_cut_link_ends_in_the_firmwares_hands(operated: Operated) -> None:
    operated.take_off()
    operated.double.cut = True
    assert operated.reach(Mode.DESCENT, 1.0) or operated.flight.mode is not Mode.POLICY
    begun = time.perf_counter()
    assert operated.run(3.0, lambda: not operated.double.firmware.motors_turn)
    assert 1.5 < time.perf_counter() - begun < 2.2
    assert operated.double.firmware.supervisor.phase is Phase.LOCKED


@in_real_time
def test_a_kill_stops_the_motors_within_three_ticks(operated: Operated) -> None:
    operated.take_off()
    assert operated.request(Event.KILL) is None
    begun = time.perf_counter()
    assert operated.run(0.5, lambda: not operated.double.firmware.motors_turn)
    assert time.perf_counter() - begun < 0.03
    operated.run(0.3)
    assert operated.double.firmware.supervisor.phase is Phase.LOCKED


@pytest.mark.slow
@in_real_time
def test_a_vehicle_that_is_locked_is_not_armed_and_says_why(operated: Operated) -> None:
    operated.double.firmware.supervisor.stop()
    operated.run(1.0)
    assert operated.request(Event.ARM) is None
    assert operated.reach(Mode.ARMING, 2.0)
    assert operated.reach(Mode.DISARMED, 12.0)
    assert operated.flight.verdict is not None
    assert "restart" in operated.flight.verdict.reason

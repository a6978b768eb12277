from __future__ import annotations

import numpy as np
import pytest

from snn_controller.flight_controllers.shared.estimate import RANGE, LiftEstimate
from snn_controller.vehicle.frames import GRAVITY, axis_angle_to_quaternion
from snn_controller.vehicle.state import Odometry, State

PERIOD = 0.005  # s


class BetaflightVehicle:
    """A mass that turns commanded thrust, times the factor, into `strength` times as much."""

    def __init__(self, strength: float, *, height: float = 1.0, tilt: float = 0.0) -> None:
        self.lift, self.strength = LiftEstimate(), strength
        self.height, self.climb, self.time = height, 0.0, 1.0
        self.tilt = axis_angle_to_quaternion([1.0, 0.0, 0.0], tilt)

    def fly(self, seconds: float, *, flying: bool = True, gap: float = PERIOD) -> float:
        """Hold the height by a controller without an integral, and return the factor learnt."""
        for _ in range(round(seconds / gap)):
            command = max(GRAVITY - 6.0 * (self.height - 1.0) - 4.0 * self.climb, 0.0)
            self.lift.note_command(command)
            self.climb += (command * self.lift.factor * self.strength - GRAVITY) * gap
            self.height += self.climb * gap
            self.time += gap
            position = np.array([0.0, 0.0, self.height])
            velocity = np.array([0.0, 0.0, self.climb])
            state = State(position, self.tilt, velocity, np.zeros(3))
            stamp = round(self.time * 1e9)
            self.lift.learn(Odometry(stamp, "odom", "base_link", state), flying=flying)
        return self.lift.factor


@pytest.mark.parametrize("strength", [0.7, 0.9, 1.0, 1.2, 1.5])
def test_the_factor_makes_up_for_the_vehicle(strength: float) -> None:
    vehicle = BetaflightVehicle(strength)
    assert vehicle.fly(10.0) * strength == pytest.approx(1.0, abs=0.02)
    assert vehicle.height == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("strength", [0.4, 3.0])
def test_the_factor_stays_in_its_range(strength: float) -> None:
    assert RANGE[0] <= BetaflightVehicle(strength).fly(10.0) <= RANGE[1]


def test_it_learns_nothing_on_the_ground_tilted_from_others_or_over_gaps() -> None:
    assert BetaflightVehicle(0.7, height=-30.0).fly(1.0) == 1.0
    assert BetaflightVehicle(0.7, tilt=1.0).fly(1.0) == 1.0
    assert BetaflightVehicle(0.7).fly(1.0, flying=False) == 1.0
    assert BetaflightVehicle(0.7).fly(2.0, gap=0.2) == 1.0

"""The `crazyflie` link in lockstep, without cflib's threads: what it knows of a vehicle."""

from __future__ import annotations

import pytest

pytest.importorskip("cflib")

from snn_sim.faults.catalogue.crazyflie import CrazyflieVehicle


def test_without_its_status_a_vehicle_is_not_heard_though_its_state_comes() -> None:
    vehicle = CrazyflieVehicle()
    vehicle.advance(0.5)
    assert vehicle.link.poll(vehicle.now).age < 0.02
    vehicle.mute("heartbeat")
    for seconds, age in ((0.9, 0.02), (0.2, 1.15)):
        vehicle.advance(seconds)
        status = vehicle.link.poll(vehicle.now)
        assert status.odometry is not None
        assert status.age <= age
    assert status.age > 1.0
    vehicle.close()

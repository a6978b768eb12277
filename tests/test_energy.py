"""Energy by named constants, against numbers worked out by hand."""

from __future__ import annotations

import pytest
from snn_controller.energy import NetworkSize, cmos_energy, network_size, neuromorphic_energy
from snn_controller.policy import Policy

PUBLISHED = NetworkSize(neurons=384, macs=0)  # 18-256-128-4 without its input layer


@pytest.mark.parametrize(("operations", "energy"), [(6989, 196.0), (12_200, 319.0)])
def test_published_network_costs_what_its_operations_say(operations: int, energy: float) -> None:
    assert neuromorphic_energy(operations, PUBLISHED) == pytest.approx(energy, rel=0.005)


def test_published_networks_in_45_nm() -> None:
    spiking, dense = NetworkSize(384, macs=4608), NetworkSize(0, macs=13_700)
    assert cmos_energy(12_200, spiking) == pytest.approx(32.0, abs=0.5)
    assert cmos_energy(0, dense) == pytest.approx(63.0, abs=0.5)


def test_a_network_without_spikes_costs_its_multiplications_only() -> None:
    size = NetworkSize(neurons=0, macs=1000)
    assert neuromorphic_energy(0, size) == cmos_energy(0, size) == pytest.approx(4.6)


def test_size_of_the_shipped_policy(policy: Policy) -> None:
    assert network_size(policy.metadata) == NetworkSize(neurons=384, macs=(18 + 4) * 256)

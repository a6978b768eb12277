"""Energy by named constants, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from snn_controller.policy.energy import (
    CONSTANTS_PJ,
    TARGETS,
    NetworkSize,
    network_size,
    tick_energies,
)
from snn_controller.policy.runtime import Policy

PUBLISHED = NetworkSize(neurons=384, macs=0)  # 18-256-128-4 without its input layer
LOIHI, CMOS, CORTEX = (TARGETS[name] for name in ("loihi", "cmos_45nm", "cortex_m7"))


@pytest.mark.parametrize(("operations", "energy"), [(6989.0, 196.0), (12_200.0, 319.0)])
def test_published_network_costs_what_its_operations_say(operations: float, energy: float) -> None:
    assert LOIHI(operations, PUBLISHED) == pytest.approx(energy, rel=0.005)


def test_published_networks_in_45_nm() -> None:
    spiking, dense = NetworkSize(384, macs=4608), NetworkSize(0, macs=13_700)
    assert CMOS(12_200.0, spiking) == pytest.approx(32.0, abs=0.5)
    assert CMOS(0.0, dense) == pytest.approx(63.0, abs=0.5)


def test_a_network_without_spikes_costs_its_multiplications_only() -> None:
    size = NetworkSize(neurons=0, macs=1000)
    assert LOIHI(0.0, size) == CMOS(0.0, size) == pytest.approx(4.6)
    assert CORTEX(0.0, size) == pytest.approx(1e-3 * 1000 * CONSTANTS_PJ["cortex_m7_cycle"])


def test_a_cycle_of_the_microcontroller_is_its_power_by_its_clock() -> None:
    assert CONSTANTS_PJ["cortex_m7_cycle"] == pytest.approx(0.5 / 600e6 * 1e12)
    assert CORTEX(10.0, NetworkSize(neurons=20, macs=30)) == pytest.approx(60 * 0.8333, rel=1e-3)


def test_many_ticks_at_once_cost_what_each_does() -> None:
    operations, size = np.array([0.0, 100.0, 7.0]), NetworkSize(5, 11)
    for name, energies in tick_energies(operations, size).items():
        assert energies.tolist() == [TARGETS[name](float(x), size) for x in operations]


def test_size_of_the_shipped_policy(policy: Policy) -> None:
    assert network_size(policy.metadata) == NetworkSize(neurons=384, macs=(18 + 4) * 256)

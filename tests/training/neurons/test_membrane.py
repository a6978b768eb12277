"""The layer of membranes: its equation in physical units, its gradient, its kernels."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from snn_training.neurons.cell import run_cell
from snn_training.neurons.lif import LIF
from snn_training.neurons.membrane import MembraneConfig, Membranes, decay, gain

ONE_TAU = MembraneConfig(min_time_constant=0.02, max_time_constant=0.02, threshold=1e6)


def volts(layer: Membranes, membrane: torch.Tensor) -> float:
    """Return V of a state U."""
    tau, config = torch.exp(layer.log_time_constant), layer.config
    added = gain(tau, layer.period, config.resistance, config.integration)
    return (config.rest + membrane * added).item()


def charged(config: MembraneConfig, period: float, seconds: float, current: float) -> float:
    """V after a constant current in A for some time, from rest."""
    layer = Membranes(1, config, period=period)
    ticks = round(seconds / period)
    _, membrane = layer(torch.full((ticks, 1, 1), current), torch.zeros(1, 1), 10.0)
    return volts(layer, membrane)


@given(
    resistance=st.floats(0.1, 50.0),
    rest=st.floats(-70.0, 10.0),
    current=st.floats(-3.0, 3.0),
    period=st.sampled_from([0.001, 0.002, 0.01, 0.05]),
)
@settings(max_examples=30, deadline=None)
def test_the_exact_membrane_charges_as_the_differential_equation(
    resistance: float, rest: float, current: float, period: float
) -> None:
    config = replace(ONE_TAU, resistance=resistance, rest=rest)
    expected = rest + resistance * current * (1.0 - math.exp(-0.1 / 0.02))
    assert charged(config, period, 0.1, current) == pytest.approx(expected, abs=2e-4 * resistance)


@pytest.mark.parametrize(("ratio", "error"), [(0.05, 0.0013), (0.2, 0.023), (0.5, 0.176)])
def test_euler_errs_by_as_much_as_it_must(ratio: float, error: float) -> None:
    """The relative error of the decay over a tick is known; the drive is dt / C_m, not dt C_m."""
    tau = torch.tensor(0.02)
    euler, exact = (decay(tau, ratio * 0.02, kind).item() for kind in ("euler", "exact"))
    assert (exact - euler) / exact == pytest.approx(error, rel=0.05)
    resistance, capacitance = 10.0, 0.02 / 10.0
    added = gain(tau, ratio * 0.02, resistance, "euler").item()
    assert added == pytest.approx(ratio * 0.02 / capacitance, rel=1e-5)


def test_euler_and_exact_agree_for_short_ticks_and_settle_at_the_same_level() -> None:
    for resistance in (0.1, 1.0, 10.0):
        config = replace(ONE_TAU, resistance=resistance)
        exact = charged(config, 1e-4, 0.3, 1.0)
        euler = charged(replace(config, integration="euler"), 1e-4, 0.3, 1.0)
        assert exact == pytest.approx(resistance, rel=1e-4)
        assert euler == pytest.approx(exact, rel=1e-4)


def test_the_firing_rate_is_that_of_the_neuron_model() -> None:
    """Twice the rheobase: tau ln 2 between spikes, quantised by the tick, after a late reset."""
    config = MembraneConfig(min_time_constant=0.02, max_time_constant=0.02)
    layer = Membranes(1, config, period=0.0005)
    spikes, _ = layer(torch.full((4000, 1, 1), 2.0), torch.zeros(1, 1), 10.0)
    assert spikes.sum().item() / 2.0 == pytest.approx(1.0 / (0.02 * math.log(2.0)), rel=0.03)


def test_a_spike_returns_the_membrane_to_rest_or_lowers_it() -> None:
    current = torch.tensor([30.0, 0.0]).view(2, 1, 1)
    for reset, lowered in (("hard", False), ("soft", True)):
        config = replace(ONE_TAU, threshold=1.0, rest=-0.5, reset=reset)
        layer = Membranes(1, config, period=0.01)
        spikes, membrane = layer(current, torch.zeros(1, 1), 10.0)
        assert spikes[:, 0, 0].tolist()[0] == 1.0
        assert (volts(layer, membrane) > -0.49) is lowered


def test_the_gradient_is_the_fast_sigmoid_of_the_slope() -> None:
    layer = Membranes(5, MembraneConfig(), period=0.01).double()
    _, threshold = layer.constants()
    distance = torch.tensor([-0.5, -0.05, 0.0, 0.1, 1.0], dtype=torch.float64)
    current = (threshold.detach() + distance)[None, None].requires_grad_()
    spikes, _ = layer(current, torch.zeros(1, 5, dtype=torch.float64), 10.0)
    spikes.sum().backward()
    assert current.grad is not None
    expected = 1.0 / (1.0 + 10.0 * distance.abs()) ** 2
    torch.testing.assert_close(current.grad[0, 0], expected)


def test_the_compiled_recurrence_gives_the_same_spikes_and_gradients() -> None:
    pytest.importorskip("numba")
    generator = torch.Generator().manual_seed(0)
    results = []
    for compiled in (True, False):
        generator.manual_seed(0)
        current = torch.randn(7, 3, 11, generator=generator).requires_grad_()
        membrane = torch.randn(3, 11, generator=generator).requires_grad_()
        beta = torch.rand(11, generator=generator).requires_grad_()
        threshold = (torch.rand(11, generator=generator) + 0.3).requires_grad_()
        tensors = (current, membrane, beta, threshold)
        spikes, (last,) = run_cell(
            *(LIF(hard=True), current, (membrane,), (beta, threshold), 10.0), compiled=compiled
        )
        weights = torch.randn(spikes.shape, generator=generator)
        ((weights * spikes).sum() + last.sum()).backward()
        results.append((spikes, last, *(x.grad for x in tensors)))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def test_thresholds_set_by_data_wake_every_neuron() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = Membranes(64, MembraneConfig(), period=0.01, generator=generator)
    offset = torch.linspace(-1.0, 1.0, 64)
    current = torch.randn(50, 40, 64, generator=generator) * 0.7 + offset
    layer.wanted_rate = 0.1
    layer(current, torch.zeros(40, 64), 10.0)
    layer.wanted_rate = None
    rates = layer(current, torch.zeros(40, 64), 10.0)[0].mean((0, 1))
    assert 0.0 < rates.min().item() <= rates.max().item() < 0.15


@pytest.mark.parametrize(
    ("options", "period"), [({"integration": "euler"}, 0.01), ({"threshold": 0.0}, 0.001)]
)
def test_what_cannot_work_is_refused(options: dict, period: float) -> None:
    with pytest.raises(ValueError, match=r"tau_m|threshold"):
        Membranes(2, MembraneConfig(**options), period=period)

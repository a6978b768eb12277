"""A layer, compiled and by PyTorch's operators, against autograd through the loop of steps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from snn_controller.errors import UserError
from snn_training.neurons.cell import (
    KernelName,
    LayerWeights,
    LowPass,
    PassThrough,
    decay_constant,
    has_kernel,
    loop_steps,
    run_layer,
)
from snn_training.neurons.lif import LIF
from support.places import ROOT

KERNELS = ["numba", "torch"]
SHAPES = [(40, 5, 7, 33), (30, 40, 6, 128), (1, 1, 1, 1), (3, 2, 4, 5000)]


def _arguments(shape: tuple[int, ...], *, masked: bool) -> tuple[list[torch.Tensor], Any]:
    ticks, rows, inputs, neurons = shape
    generator = torch.Generator().manual_seed(4)

    def uniform(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator)

    leaves = [
        2.0 * uniform(ticks, rows, inputs) - 1.0,
        2.0 * uniform(inputs, neurons) - 1.0,
        uniform(neurons) - 0.3,
        2.0 * uniform(rows, neurons),
        0.5 + 0.5 * uniform(neurons),
        0.2 + uniform(neurons),
    ]
    return leaves, (uniform(ticks, rows) > 0.2).float() if masked else None


def lif_layer(
    name, signal, weight, bias, membrane, beta, threshold, slope, *, keep=None, hard=False
):
    """Return the spikes and the last membrane of a layer run by a kernel."""
    layer = LayerWeights(weight, bias, (beta, threshold))
    spikes, (last,) = run_layer(
        *(LIF(hard=hard), PassThrough(), layer, signal, (membrane,), slope),
        keep=keep,
        compiled=has_kernel(name),
    )
    return spikes, last


def _plain(signal, weight, bias, membrane, beta, threshold, slope, *, keep, hard):
    currents, cell = signal @ weight + bias, LIF(hard=hard)
    spikes, (last,) = loop_steps(cell, currents, (membrane,), (beta, threshold), slope, keep)
    return spikes, last


def _run(function: Any, leaves: list[torch.Tensor], keep: Any, hard: bool) -> list[torch.Tensor]:
    leaves = [leaf.clone().requires_grad_() for leaf in leaves]
    spikes, last = function(*leaves, 5.0, keep=keep, hard=hard)
    weight = torch.linspace(-1.0, 1.0, spikes.numel()).view_as(spikes)
    ((spikes * weight).sum() + last.square().sum()).backward()
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    return [spikes.detach(), last.detach(), *gradients]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", KERNELS)
def test_every_kernel_equals_autograd_through_the_loop(
    name: KernelName, shape: tuple[int, ...], hard: bool, masked: bool
) -> None:
    leaves, keep = _arguments(shape, masked=masked)

    def compiled(*arguments: Any, **options: Any) -> Any:
        return lif_layer(name, *arguments, **options)

    expected, found = _run(_plain, leaves, keep, hard), _run(compiled, leaves, keep, hard)
    assert len(found) == 8
    assert torch.equal(found[0], expected[0])  # no spike flips on these numbers
    for one, other in zip(found[1:], expected[1:], strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4 * float(other.abs().max()))


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("name", KERNELS)
def test_a_mask_equals_separate_sequences(name: KernelName, hard: bool) -> None:
    leaves, _ = _arguments((40, 3, 7, 33), masked=False)
    keep = torch.ones(40, 3)
    keep[25] = 0.0
    whole, last = lif_layer(name, *leaves, 5.0, keep=keep, hard=hard)
    signal, rest = leaves[0], leaves[1:]
    first, _ = lif_layer(name, signal[:25], *rest, 5.0, hard=hard)
    rest[2] = torch.zeros_like(rest[2])
    second, other = lif_layer(name, signal[25:], *rest, 5.0, hard=hard)
    assert torch.equal(whole, torch.cat([first, second]))
    torch.testing.assert_close(last, other)
    assert whole.sum() > 100


@pytest.mark.parametrize("name", KERNELS)
def test_nothing_is_passed_back_across_a_restart(name: KernelName) -> None:
    leaves, _ = _arguments((10, 2, 3, 8), masked=False)
    signal = leaves[0].requires_grad_()
    keep = torch.ones(10, 2)
    keep[6, 0] = 0.0
    _, last = lif_layer(name, *leaves, 5.0, keep=keep)
    last.sum().backward()
    assert signal.grad is not None
    assert (signal.grad[:6, 0] == 0.0).all()
    assert (signal.grad[6:, 0] != 0.0).any()
    assert (signal.grad[:6, 1] != 0.0).any()


@pytest.mark.parametrize("name", KERNELS)
def test_inputs_stay_as_they_were_and_backward_runs_twice(name: KernelName) -> None:
    leaves, keep = _arguments((20, 4, 7, 16), masked=True)
    before = [leaf.clone() for leaf in leaves]
    weight = leaves[1].requires_grad_()
    spikes, last = lif_layer(name, *leaves, 5.0, keep=keep)
    loss = spikes.mean() + last.sum()
    (once,) = torch.autograd.grad(loss, weight, retain_graph=True)
    _run(lambda *a, **o: lif_layer(name, *a, **o), before, keep, False)
    (again,) = torch.autograd.grad(loss, weight)
    assert torch.equal(once, again)
    for one, other in zip(before, leaves, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", KERNELS)
def test_tensors_that_are_not_contiguous_give_the_same(name: KernelName) -> None:
    leaves, _ = _arguments((20, 6, 7, 16), masked=False)
    strided = [leaf.T.contiguous().T if leaf.dim() == 2 else leaf for leaf in leaves]
    strided[0] = leaves[0].transpose(0, 1).contiguous().transpose(0, 1)
    one, other = (lif_layer(name, *values, 5.0) for values in (leaves, strided))
    assert torch.equal(one[0], other[0])


@pytest.mark.parametrize("name", KERNELS)
def test_double_precision_is_not_lost(name: KernelName) -> None:
    leaves, _ = _arguments((20, 6, 7, 16), masked=False)
    spikes, last = lif_layer(name, *(x.double() for x in leaves), 5.0)
    assert spikes.dtype == last.dtype == torch.float64


@pytest.mark.parametrize("slope", [0.0, 101.0])
@pytest.mark.parametrize("name", KERNELS)
def test_slopes_outside_the_range_are_refused(name: KernelName, slope: float) -> None:
    leaves, _ = _arguments((2, 1, 1, 1), masked=False)
    with pytest.raises(ValueError, match="slope"):
        lif_layer(name, *leaves, slope)


def test_kernels_are_refused_or_replaced_where_there_is_no_numba(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names: tuple[KernelName, ...] = ("auto", "numba", "c", "torch")
    assert [has_kernel(name) for name in names] == [True, True, True, False]
    monkeypatch.setitem(sys.modules, "numba", None)
    assert [has_kernel(name) for name in ("auto", "torch")] == [False, False]
    for name in ("numba", "c"):
        with pytest.raises(UserError, match="numba"):
            has_kernel(name)


@pytest.mark.slow
def test_caches_that_cannot_be_written_do_not_matter(tmp_path: Path) -> None:
    code = """
from numba.core import caching
for kind in vars(caching).values():
    if isinstance(kind, type) and issubclass(kind, caching.CacheImpl):
        kind._locator_classes = []
import torch
from snn_training.networks import NetworkConfig, make_network
for kernel in ("auto", "numba", "c"):
    network = make_network(NetworkConfig(hidden=(4, 3), kernel=kernel))
    network(torch.zeros(3, 2, 18), network.initial_states(2), 5.0)[0].sum().backward()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_low_pass_settles_and_restarts() -> None:
    beta, keep = torch.tensor([0.5]), torch.tensor([[1.0], [1.0], [0.0]])
    low_pass = LowPass("current", decay_constant("log", 100.0, 0.01))
    filtered, (last,) = low_pass.sequence(torch.ones(3, 1, 1), (torch.zeros(1, 1),), (beta,), keep)
    assert filtered.flatten().tolist() == [0.5, 0.75, 0.5]
    assert last.item() == 0.5


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_same_call_runs_on_a_gpu() -> None:
    leaves, keep = _arguments((40, 5, 7, 33), masked=True)
    expected = lif_layer("torch", *leaves, 5.0, keep=keep)
    found = lif_layer("auto", *(x.cuda() for x in leaves), 5.0, keep=keep.cuda())
    torch.testing.assert_close(found[1].cpu(), expected[1], rtol=1e-3, atol=1e-3)

"""The decision transformer: what public code of its kind got wrong, one test each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from snn_training.networks.config import TransformerConfig
from snn_training.networks.transformer.blocks import (
    TURN,
    advance,
    band,
    phase_code,
    phase_steps,
)
from snn_training.networks.transformer.model import DecisionTransformer
from support.transformer_samples import SMALL, Tokens, tokens, transformer

KINDS = ["spiking", "dense"]
REACH = 2 * (SMALL["window"] - 1)  # ticks that two blocks look back


def run(network: DecisionTransformer, inputs: Tokens, states: dict[str, Tensor] | None = None):
    states = network.initial_states(inputs[0].shape[1]) if states is None else states
    with torch.no_grad():
        return network(*inputs, states)


def changed(inputs: Tokens, index: int, tick: int) -> Tokens:
    """Return tokens with one part of one tick changed."""
    parts = [x.clone() for x in inputs]
    parts[index][tick] += 1.0
    return parts[0], parts[1], parts[2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("index", [0, 1, 2])
def test_no_tick_sees_the_future(kind: str, index: int) -> None:
    network, inputs = transformer(kind=kind), tokens(30)
    before, *_ = run(network, inputs)
    after, *_ = run(network, changed(inputs, index, 15))
    assert torch.equal(before[:15], after[:15])
    assert not torch.equal(before[15:], after[15:])  # and the past is not masked instead


@pytest.mark.parametrize("kind", KINDS)
def test_attention_reaches_back_one_window_a_block_and_no_further(kind: str) -> None:
    mask = band(5, 3)
    assert mask.shape == (5, 7)
    assert mask.sum(1).tolist() == [3.0] * 5
    assert mask[0].tolist() == [1, 1, 1, 0, 0, 0, 0]  # the memory and itself
    if kind == "dense":  # membranes remember longer
        network, inputs = transformer(kind=kind), tokens(40)
        before, *_ = run(network, inputs)
        after, *_ = run(network, changed(inputs, 0, 5))
        assert not torch.allclose(before[5 + REACH], after[5 + REACH], atol=1e-7)
        assert torch.allclose(before[6 + REACH :], after[6 + REACH :], atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_attended_to_lies_in_the_past(kind: str) -> None:
    """An inverted mask leaves the past out and lets the future in."""
    block = transformer(kind=kind).blocks[0]
    generator = torch.Generator().manual_seed(1)
    fired = (torch.rand(10, 1, 3 * SMALL["width"], generator=generator) < 0.5).float()
    memory = block.initial_states(1)["memory_block1"]
    before, _ = block._attend(fired, memory)  # pyright: ignore[reportCallIssue]
    other = fired.clone()
    other[4] = 1.0 - other[4]
    after, _ = block._attend(other, memory)  # pyright: ignore[reportCallIssue]
    moved = (before - after).abs().sum((1, 2)) > 1e-6
    window = SMALL["window"]
    assert moved.tolist() == [4 <= tick < 4 + window for tick in range(10)]


def found_last(kind: str, order: list[int], *, phase: bool = True) -> Tensor:
    """What the last of six tokens finds, the others in some order; membranes forget at once."""
    block = transformer(kind=kind, phase=phase).blocks[0]
    generator = torch.Generator().manual_seed(1)
    stream = torch.randn(6, 1, SMALL["width"], generator=generator)[torch.tensor(order)]
    with torch.no_grad():
        if kind == "dense":
            block.lag_bias.copy_(torch.rand(block.lag_bias.shape, generator=generator))
            fired = block.inputs(block.attention_norm(stream))
        else:
            current = stream @ block.inputs
            if phase:
                code = phase_code(torch.arange(6)[:, None, None], phase_steps(4, 12.0))
                current = current + 4.0 * block._phase_current(code)  # stronger, as if learnt
            fired = (current > 1.0).float()
        return block._attend(fired, block.initial_states(1)["memory_block1"])[0][-1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_tokens_matters(kind: str) -> None:
    """A code by micro-step is the same for every token; attention then cannot tell them apart."""
    one, other = (found_last(kind, order) for order in ([0, 1, 2, 3, 4, 5], [3, 1, 0, 4, 2, 5]))
    assert (one - other).abs().max().item() > 1e-2


def test_without_the_code_attention_cannot_tell_the_order() -> None:
    """The control of the test above."""
    orders = ([0, 1, 2, 3, 4, 5], [3, 1, 0, 4, 2, 5])
    one, other = (found_last("spiking", order, phase=False) for order in orders)
    assert one.abs().max().item() > 0.1
    torch.testing.assert_close(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_an_action_does_not_see_itself(kind: str) -> None:
    """The label of a tick enters with the next token only: what is flown last cannot matter."""
    network, inputs = transformer(kind=kind), tokens(12)
    before, *_ = run(network, inputs)
    after, *_ = run(network, changed(inputs, 1, 8))  # what was applied before tick 8
    assert torch.equal(before[:8], after[:8])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options", [{}, {"phase": False}, {"routing": False}, {"readout": "spikes"}]
)
def test_no_branch_is_dead_and_every_weight_learns(kind: str, options: dict[str, Any]) -> None:
    network = transformer(kind=kind, **options)
    inputs = tokens(40, 8)
    actions, _, spikes = network(*inputs, network.initial_states(8))
    (
        actions * torch.randn(actions.shape, generator=torch.Generator().manual_seed(2))
    ).sum().backward()
    dead = [
        name
        for name, x in network.named_parameters()
        if x.grad is None or not (x.grad.abs() > 1e-9).any()
    ]
    assert dead == []
    for name, fired in spikes.items():
        assert 0.001 < fired.mean().item() < 0.5, name
        assert set(fired.unique().tolist()) <= {0.0, 1.0}


def test_every_head_writes_into_the_stream_by_itself() -> None:
    """Heads summed and tiled would have rank width / heads."""
    network = transformer()
    block = network.blocks[0]
    assert block.output.shape == (SMALL["width"], SMALL["width"])
    found = block._attend(torch.ones(1, 1, 3 * SMALL["width"]), torch.zeros(1, 5, 64))[0]
    assert found.shape[-1] == SMALL["width"]


def test_gates_are_of_the_token_and_no_head_is_switched_by_what_comes() -> None:
    block = transformer().blocks[0]
    generator = torch.Generator().manual_seed(3)
    found = torch.rand(7, 2, 32, generator=generator)
    gates = block.gates(found)
    assert gates.shape == (7, 2, 4)
    assert ((gates > 0) & (gates < 1)).all()
    found[4:] += 1.0
    assert torch.equal(gates[:4], block.gates(found)[:4])
    assert not torch.equal(gates[4:], block.gates(found)[4:])


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"phase": False, "readout": "spikes"}])
def test_ticks_one_by_one_are_the_sequence(kind: str, options: dict[str, Any]) -> None:
    """2,000 ticks, far beyond any window; in double precision, where rounding flips no spike."""
    network, inputs = transformer(kind=kind, **options).double(), tokens(2000, 1)
    doubles = tuple(x.double() for x in inputs)
    states = {
        name: x if x.dtype == torch.long else x.double()
        for name, x in network.initial_states(1).items()
    }
    whole, *_ = run(network, doubles, states)  # type: ignore[arg-type]
    actions = []
    for tick in range(2000):
        action, states, _ = run(network, tuple(x[tick] for x in doubles), states)  # type: ignore[arg-type]
        actions.append(action)
    assert (torch.stack(actions) - whole).abs().max().item() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_chunks_that_follow_are_the_sequence(kind: str) -> None:
    network, inputs = transformer(kind=kind).double(), tokens(60)
    doubles = tuple(x.double() for x in inputs)
    states = {
        k: x if x.dtype == torch.long else x.double() for k, x in network.initial_states(2).items()
    }
    whole, last, _ = run(network, doubles, states)  # type: ignore[arg-type]
    actions = []
    for start in range(0, 60, 20):
        part = tuple(x[start : start + 20] for x in doubles)
        action, states, _ = run(network, part, states)  # type: ignore[arg-type]
        actions.append(action)
    assert (torch.cat(actions) - whole).abs().max().item() < 1e-9
    for name, state in states.items():
        torch.testing.assert_close(state, last[name])


def test_absent_slots_are_not_states_of_zero() -> None:
    """Nothing in the memory means no token there: not one that is all zeros, in either kind."""
    for kind in KINDS:
        network = transformer(kind=kind)
        states = network.initial_states(1)
        assert all(not state.any() for state in states.values())
    dense = transformer(kind="dense").blocks[0]
    one = dense._attend(torch.ones(1, 1, 96), dense.initial_states(1)["memory_block1"])[0]
    torch.testing.assert_close(one, torch.ones(1, 1, 32))  # all attention on the only token


def test_the_phase_code_wraps_and_is_below_nyquist() -> None:
    steps = phase_steps(4, 40.0)
    assert (steps < TURN // 2).all()
    ticks = torch.arange(2000)[:, None]
    far = phase_code(advance(torch.tensor(TURN - 1000), 0) + ticks, steps)
    near = phase_code(advance(ticks, TURN - 1000), steps)
    assert torch.equal(far, near)
    assert advance(torch.tensor([TURN - 1]), 3).item() == 2
    code = phase_code(ticks, steps).mean(0)
    assert ((code - 0.5).abs() < 0.05).all()
    assert set(phase_code(ticks, steps).unique().tolist()) == {0.0, 1.0}


def test_a_network_without_condition_or_last_action_does_not_see_them() -> None:
    inputs = tokens(8)
    for options, index in (({"conditioned": False}, 2), ({"sees_last_action": False}, 1)):
        network = transformer(**options)
        assert torch.equal(run(network, inputs)[0], run(network, changed(inputs, index, 0))[0])
    network = transformer()
    assert not torch.equal(run(network, inputs)[0], run(network, changed(inputs, 2, 0))[0])


def test_multiply_accumulates_count_everything_that_is_no_spike() -> None:
    full = DecisionTransformer(TransformerConfig())
    embedding, readout = 23 * 128, 128 * 4
    blocks = 2 * (2 * 256 + 16 + 128)  # phase codes, router, gates
    assert full.multiply_accumulates == embedding + readout + blocks
    dense = DecisionTransformer(replace(TransformerConfig(), kind="dense"))
    matrices = 2 * (128 * 384 + 128 * 128 + 2 * 128 * 256 + 2 * 20 * 128)
    assert dense.multiply_accumulates == embedding + readout + matrices


@pytest.mark.parametrize("options", [{"heads": 5}, {"window": 1}])
def test_impossible_shapes_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="width"):
        DecisionTransformer(TransformerConfig(**options))

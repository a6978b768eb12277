"""Forward and backward of the spiking network over sequences, beside a perceptron and its peers.

    pip install --no-deps snntorch norse spikingjelly nir nirtorch loguru h5py
    python benchmarks/network.py --batches 256 32 --rounds 15

18-256-128-4, 100 ticks, one thread, processor time. Every round runs each subject once, in turn,
so that they share the machine's moods; only ratios count. Peers that are not installed are left
out; they are installed with --no-deps because some would replace PyTorch. Each is used as its
documentation shows, with the same sizes, learnable decays where it has them, and weights that make
it spike.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import pairwise
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snn_training.networks import NetworkConfig, SpikingPolicy
from snn_training.neurons import KernelName

SIZES = (18, 256, 128, 4)
SLOPE = 5.0
# Maps observations (ticks, batch, 18) to actions (ticks, batch, 4) and spikes per neuron and tick.
Subject = Callable[[Tensor], tuple[Tensor, float]]
REFERENCE = "ReLU perceptron"


def main() -> None:
    """Measure and print one table a batch size."""
    parser = argparse.ArgumentParser(description="Training step of the network and its peers.")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 32])
    parser.add_argument("--ticks", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    subjects = {REFERENCE: perceptron(), **ours(), **peers()}
    for batch in args.batches:
        observations = 0.3 * torch.randn(args.ticks, batch, SIZES[0])
        times, rates = measure(subjects, observations, args.rounds)
        print(
            f"\n{args.ticks} ticks, batch {batch:<12} best   median  best/MLP  median/MLP  spikes"
        )
        for name, seconds in times.items():
            best, median = seconds.min(), np.median(seconds)
            reference = times[REFERENCE]
            to_best = best / reference.min()
            to_median = median / np.median(reference)
            print(
                f"{name:28s} {1e3 * best:6.1f} ms {1e3 * median:6.1f} {to_best:9.2f} "
                f"{to_median:11.2f} {rates[name]:7.2f}"
            )


def measure(
    subjects: dict[str, Subject], observations: Tensor, rounds: int
) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Return the seconds of every round and the spike rate of every subject."""
    times = {name: np.zeros(rounds) for name in subjects}
    rates: dict[str, float] = {}
    for number in range(-2, rounds):  # two rounds to warm up
        for name, run in subjects.items():
            start = process_time()
            actions, rates[name] = run(observations)
            actions.square().mean().backward()
            if number >= 0:
                times[name][number] = process_time() - start
    return times, rates


def perceptron() -> Subject:
    """Return a perceptron of the same layers: the cost of the matrix products."""
    first, second, third = _linears()
    network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third, nn.Tanh())
    return lambda observations: (network(observations), 0.0)


def ours() -> dict[str, Subject]:
    """Return our network with either recurrence."""
    names: dict[str, KernelName] = {"numba": "numba", "PyTorch operators": "torch"}
    return {f"ours, {label}": _ours(name) for label, name in names.items()}


def _ours(kernel: KernelName) -> Subject:
    policy = SpikingPolicy(NetworkConfig(hidden=SIZES[1:-1], kernel=kernel))

    def run(observations: Tensor) -> tuple[Tensor, float]:
        states = policy.initial_states(observations.shape[1])
        actions, _, spikes = policy(observations, states, SLOPE)
        return actions, spikes[1].detach().mean().item()

    return run


def peers() -> dict[str, Subject]:
    """Return the other libraries that are installed."""
    found: dict[str, Subject] = {}
    for name, build in (("snntorch", snntorch), ("norse", norse), ("spikingjelly", spikingjelly)):
        try:
            found[name] = build()
        except ImportError as error:
            print(f"{name} is left out: {error}")
    return found


def snntorch() -> Subject:
    """Return a time loop over snntorch's Leaky with learnable decay and threshold per neuron."""
    from snntorch import Leaky, surrogate  # pyright: ignore[reportMissingImports]

    def layer(neurons: int) -> Any:
        options: dict[str, Any] = {"learn_beta": True, "learn_threshold": True}
        options |= {"beta": torch.rand(neurons), "threshold": torch.rand(neurons)}
        return Leaky(spike_grad=surrogate.fast_sigmoid(slope=5), **options)

    (first, second, third), one, two = _linears(), layer(SIZES[1]), layer(SIZES[2])

    def run(observations: Tensor) -> tuple[Tensor, float]:
        membrane, other = one.reset_mem(), two.reset_mem()
        actions, spikes = [], []
        for observation in observations.unbind():
            signal, membrane = one(first(observation), membrane)
            signal, other = two(second(signal), other)
            spikes.append(signal.detach())
            actions.append(torch.tanh(third(signal)))
        return torch.stack(actions), torch.stack(spikes).mean().item()

    return run


def norse() -> Subject:
    """Return a time loop over norse's box-shaped LIF cell, its simplest."""
    from norse.torch import LIFBoxCell, LIFBoxParameters  # pyright: ignore[reportMissingImports]

    parameters = LIFBoxParameters(tau_mem_inv=torch.tensor(200.0), v_th=torch.tensor(0.1))
    (first, second, third) = _linears()
    one, two = LIFBoxCell(parameters, dt=0.01), LIFBoxCell(parameters, dt=0.01)

    def run(observations: Tensor) -> tuple[Tensor, float]:
        membrane = other = None
        actions, spikes = [], []
        for observation in observations.unbind():
            signal, membrane = one(first(observation), membrane)
            signal, other = two(second(signal), other)
            spikes.append(signal.detach())
            actions.append(torch.tanh(third(signal)))
        return torch.stack(actions), torch.stack(spikes).mean().item()

    return run


def spikingjelly() -> Subject:
    """Return spikingjelly's multi-step mode: products over all ticks, nodes with learnt tau."""
    from spikingjelly.activation_based import functional, neuron  # pyright: ignore[reportMissingImports]

    options = {"v_threshold": 0.1, "v_reset": None, "detach_reset": True, "step_mode": "m"}
    (first, second, third) = _linears()
    one, two = neuron.ParametricLIFNode(**options), neuron.ParametricLIFNode(**options)

    def run(observations: Tensor) -> tuple[Tensor, float]:
        functional.reset_net(one)
        functional.reset_net(two)
        spikes = two(second(one(first(observations))))
        return torch.tanh(third(spikes)), spikes.detach().mean().item()

    return run


def _linears() -> list[nn.Linear]:
    return [nn.Linear(*pair) for pair in pairwise(SIZES)]


if __name__ == "__main__":
    main()

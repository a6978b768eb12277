"""Flights that a gradient can run through: drones that fly on from segment to segment.

Starts, airframes off nominal, forces and delays are those that the batched twin draws; here they
become tensors. Every flight has its own reference, sensor noise and push.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from snn_controller.control import autopilot_gains
from snn_controller.vehicle import ActionKind, Quadrotor, Reference
from snn_sim.batched import DroneBatch
from snn_sim.envs import MAX_DELAY, RateLoops, RateVariation, draw_loops, same_loops
from snn_sim.task import EpisodeConfig, References, draw_references, split_flights
from snn_training.algorithms.apg.drone import DronePhysics, DroneState, read_physics, read_states
from snn_training.algorithms.apg.rate_control import LoopTensors, loop_tensors
from snn_training.common import Rules, bounded, some
from snn_training.networks import Network


class FlightLoops:
    """One loop a flight; `present` are those of now."""

    def __init__(self, quadrotor: Quadrotor, count: int) -> None:
        """Begin with the same loop in so many flights; `redraw` varies them."""
        self.quadrotor, self.variation = quadrotor, RateVariation()
        self.present = same_loops(autopilot_gains(quadrotor), count)

    def redraw(self, over: NDArray[np.bool_], rng: np.random.Generator) -> None:
        """Draw new loops for the flights of a mask (n,) that begin."""
        fresh = draw_loops(self.variation, self.quadrotor, int(over.sum()), rng)
        for values, new in zip(self.present, fresh, strict=True):
            values[over] = new

    def snapshot(self) -> dict[str, Any]:
        """Return the loops."""
        return self.present._asdict()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on with the loops of a snapshot."""
        self.present = RateLoops(**{k: np.array(x) for k, x in snapshot.items()})


LOST = 0.6  # m from the reference on an axis; such a flight ends with its segment


@dataclass(frozen=True)
class PoolConfig:
    """Which flights are flown."""

    flights: int = bounded(512, 1, 65_536)
    """Flights side by side."""
    robust_share: float = bounded(0.5, 0, 1)
    """Share of flights that are disturbed as in the cell `robust`."""
    noisy_share: float = bounded(0.15, 0, 1)
    """Share of flights whose sensors are as noisy as in the cell `noisy`."""
    starts: tuple[str, ...] = some(("standard", "standard", "hard", "hover"), "distributions")
    """Where flights begin, drawn with equal chance; distributions of sim/starts.py."""
    moving_share: float = bounded(0.3, 0, 1)
    """Share of flights whose reference moves along sines."""
    step_share: float = bounded(0.0, 0, 1)
    """Share of flights whose reference jumps once."""
    segments: int = bounded(3, 1, 1000)
    """Segments after which a flight ends."""
    end_chance: float = bounded(0.35, 0, 1)
    """Chance of a flight to end with any segment, so that starts, which are hard, come often."""

    def relations(self) -> Rules:
        """Return what ties the options together."""
        disturbed = self.robust_share + self.noisy_share
        allowed = "at least 0, and 1 at most together with --pool.robust-share"
        return {"noisy-share": (disturbed <= 1.0, allowed)}


class Segment(NamedTuple):
    """Where all flights stand, and what the next ticks bring."""

    state: DroneState
    physics: DronePhysics
    loops: LoopTensors | None  # the rate loops, where actions are thrust and rates
    network_states: tuple[Tensor, ...]  # (n, ...)
    last_actions: Tensor  # (n, 1 + MAX_DELAY, 4), newest first
    positions: Tensor  # (T, n, 3) references in m, after each tick at T + 1
    velocities: Tensor  # (T, n, 3) references in m/s
    noise: Tensor  # (T, n, 18) on the observations
    pushes: Tensor  # (T, n, 3) N


class FlightPool:
    """The flights; `segment` says where they stand, `advance` flies them on."""

    def __init__(
        self,
        config: PoolConfig,
        quadrotor: Quadrotor,
        network: Network,
        *,
        ticks: int,
        seed: int,
        action_kind: ActionKind = "motors",
    ) -> None:
        """Begin all flights.

        Args:
            config: Which flights.
            quadrotor: Airframe.
            network: The policy, for the size of its states.
            ticks: Length of a segment.
            seed: Of all that is drawn.
            action_kind: What the policy commands; thrust and rates go through a rate loop.
        """
        self.config, self.ticks, self.network = config, ticks, network
        self.rng = np.random.default_rng(seed)
        groups = split_flights(
            config.flights, robust_share=config.robust_share, noisy_share=config.noisy_share
        )
        self.groups = [
            DroneBatch(quadrotor, count, starts=config.starts, disturbances=x, seed=seed)
            for count, x in groups
        ]
        self.period = self.groups[0].control_period
        self.noise = np.concatenate(
            [np.tile(np.float32(x.noise), (count, 1)) for count, x in groups]
        )
        self.tracks = EpisodeConfig(
            ticks=ticks, moving_share=config.moving_share, step_share=config.step_share
        )
        self.paths = draw_references(config.flights, self.tracks, self.period, self.rng)
        self.age = np.zeros(config.flights, np.int64)  # segments flown
        self.state, self.physics = self._fresh(np.ones(config.flights, np.bool_))
        self.loops = (
            FlightLoops(quadrotor, config.flights) if action_kind == "thrust_rates" else None
        )
        if self.loops is not None:
            self.loops.redraw(np.ones(config.flights, np.bool_), self.rng)
        self.network_states = network.initial_states(config.flights)
        self.last_actions = torch.zeros(config.flights, 1 + MAX_DELAY, 4)

    def segment(self) -> Segment:
        """Return where the flights stand and what the next ticks bring."""
        first = self.age * self.ticks
        references = [self._references(first + tick) for tick in range(self.ticks + 1)]
        shape = (self.ticks, *self.noise.shape)
        return Segment(
            self.state,
            self.physics,
            None if self.loops is None else loop_tensors(self.loops.present),
            self.network_states,
            self.last_actions,
            positions=_stack([x.position for x in references]),
            velocities=_stack([x.velocity for x in references]),
            noise=torch.from_numpy(self.rng.standard_normal(shape, np.float32) * self.noise),
            pushes=self._pushes(first),
        )

    def advance(
        self, state: DroneState, network_states: tuple[Tensor, ...], actions: Tensor
    ) -> None:
        """Go on from the end of a segment; flights that are lost or old begin anew."""
        self.age += 1
        reference = self._references(self.age * self.ticks)
        error = np.abs(state.position.detach().cpu().numpy() - reference.position)
        over = ~(error <= LOST).all(axis=1) | (self.age >= self.config.segments)
        over |= self.rng.random(len(over)) < self.config.end_chance
        self._redraw(over)
        if self.loops is not None:
            self.loops.redraw(over, self.rng)
        fresh, physics = self._fresh(over)
        mask = torch.from_numpy(over)[:, None].to(actions.device)
        self.state = DroneState(*(_choose(mask, *x) for x in zip(fresh, state, strict=True)))
        self.physics = physics
        self.network_states = tuple(x.detach().masked_fill(mask, 0.0) for x in network_states)
        self.last_actions = actions.detach().masked_fill(mask[..., None], 0.0)

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes, for a checkpoint."""
        return {
            "groups": {str(i): x.snapshot() for i, x in enumerate(self.groups)},
            "paths": self.paths._asdict(),
            "age": self.age,
            "state": {k: x.numpy() for k, x in self.state._asdict().items()},
            "network_states": {str(i): x.numpy() for i, x in enumerate(self.network_states)},
            "last_actions": self.last_actions.numpy(),
            "loops": {} if self.loops is None else self.loops.snapshot(),
            "generator": json.dumps(self.rng.bit_generator.state),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot of as many flights."""
        for group, kept in zip(self.groups, snapshot["groups"].values(), strict=True):
            group.restore(kept)
        self.paths = References(**{k: np.array(x) for k, x in snapshot["paths"].items()})
        self.age = np.array(snapshot["age"])
        self.state = DroneState(**{k: torch.tensor(x) for k, x in snapshot["state"].items()})
        self.physics = _join([read_physics(group) for group in self.groups])
        self.network_states = tuple(torch.tensor(x) for x in snapshot["network_states"].values())
        self.last_actions = torch.tensor(snapshot["last_actions"])
        if self.loops is not None:
            self.loops.restore(snapshot["loops"])
        self.rng.bit_generator.state = json.loads(snapshot["generator"])

    def _references(self, ticks: NDArray[np.int64]) -> Reference:
        """Return the references of all flights, each at its own tick (n,)."""
        return self.paths.at(ticks.astype(np.float64)[:, None] * self.period)

    def _redraw(self, over: NDArray[np.bool_]) -> None:
        """Draw new references for the flights that are over and begin their next episodes."""
        fresh = draw_references(int(over.sum()), self.tracks, self.period, self.rng)
        for values, new in zip(self.paths, fresh, strict=True):
            values[over] = new
        self.age[over] = 0

    def _fresh(self, over: NDArray[np.bool_]) -> tuple[DroneState, DronePhysics]:
        """Begin the twin's next episodes where flights are over; return all drones of the twin."""
        reference, first = self.paths.at(0.0), 0
        for group in self.groups:
            part = slice(first, first + group.count)
            group.set_references(
                Reference(reference.position[part], reference.velocity[part]), observe=False
            )
            group.restart(over[part])
            first += group.count
        states = [read_states(group) for group in self.groups]
        return _join(states), _join([read_physics(group) for group in self.groups])

    def _pushes(self, first: NDArray[np.int64]) -> Tensor:
        """Return the push (T, n, 3) in each tick."""
        physics = [group.physics for group in self.groups]
        push = np.concatenate([x.push for x in physics])
        start = np.concatenate([x.push_start for x in physics])[:, 0]
        end = np.concatenate([x.push_end for x in physics])[:, 0]
        ticks = first + np.arange(self.ticks)[:, None]
        return _stack(((start <= ticks) & (ticks < end))[..., None] * push)


def _join(parts: Sequence[Any]) -> Any:
    """Return tuples of tensors, one a group, as one tuple of all flights."""
    return type(parts[0])(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def _choose(mask: Tensor, fresh: Tensor, old: Tensor) -> Tensor:
    return torch.where(mask, fresh, old.detach())


def _stack(arrays: Any) -> Tensor:
    return torch.as_tensor(np.asarray(arrays), dtype=torch.float32)

"""One gradient step through the drone: all flights fly a segment, its mean cost goes down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import atanh
from shutil import which
from typing import Any, Literal

import torch
from torch import Tensor, nn

from snn_controller.errors import UserError
from snn_controller.vehicle import BODY_RATES, ActionKind, Quadrotor
from snn_sim.task import CONTROL_RATE
from snn_training.algorithms.apg.cost import CostConfig, flight_cost
from snn_training.algorithms.apg.drone import DronePhysics, DroneState, make_drone_step, observe
from snn_training.algorithms.apg.flights import FlightPool, Segment
from snn_training.algorithms.apg.rate_control import LoopTensors, make_rate_loop
from snn_training.common import Rules
from snn_training.networks import Network, PolicyWeights, SpikingPolicy
from snn_training.neurons import MAX_SLOPE, MIN_SLOPE, surrogate_gradient

States = tuple[Tensor, ...]


@dataclass(frozen=True)
class ApgConfig:
    """Step sizes."""

    learning_rate: float = 2e-3
    """Adam's step size at the start; it falls along a cosine."""
    last_rate: float = 0.02
    """Share of it that is left at the end."""
    time_constant_speed: float = 10.0
    """How many times larger the step of a spiking network's time constants is."""
    largest_gradient: float = 1.0
    """Norm that gradients are clipped to."""
    slope: float = 5.0
    """Slope of the surrogate gradient, where the network is spiking."""
    readout_scale: float = 0.1
    """Factor on the initial read-out, so that the first flights are near hover."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the tick: four times as fast after half a minute; `auto` if there is a compiler."""


class ApgLearner:
    """Network and optimiser; `update` takes one gradient step."""

    def __init__(
        self,
        config: ApgConfig,
        cost: CostConfig,
        network: Network,
        quadrotor: Quadrotor,
        *,
        total: int,
        action_kind: ActionKind = "motors",
    ) -> None:
        """Prepare a network, in place, to be trained for so many steps.

        Raises:
            UserError: The tick is to be compiled and there is no compiler.
        """
        self.config, self.network, self.quadrotor = config, network, quadrotor
        self.action_kind: ActionKind = action_kind
        hover = 0.0 if action_kind == "thrust_rates" else 2.0 * quadrotor.hover_throttle - 1.0
        begin_at_hover(network, hover, config.readout_scale)
        slow = network.time_constants()
        others = [x for x in network.parameters() if all(x is not y for y in slow)]
        fast = {"params": slow, "lr": config.time_constant_speed * config.learning_rate}
        groups = [{"params": others}, *([fast] if slow else [])]
        self.optimizer = torch.optim.Adam(groups, lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda step: _cosine(step / total, config.last_rate)
        )
        tick = make_tick(network, quadrotor, cost, config.slope)
        self.tick = torch.compile(tick, dynamic=False) if _compiles(config) else tick

    def update(self, pool: FlightPool) -> float:
        """Fly all flights of a pool for a segment, take one step and return the mean cost."""
        costs, end = self.fly(pool.segment())
        cost = costs.mean()
        self.optimizer.zero_grad()
        cost.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), self.config.largest_gradient)
        self.optimizer.step()
        self.schedule.step()
        pool.advance(*end)
        return cost.item()

    def fly(self, segment: Segment) -> tuple[Tensor, tuple[DroneState, States, Tensor]]:
        """Return the costs (T, n) of a segment and its end: state, network states, last actions."""
        state, states = segment.state, segment.network_states
        actions, costs = segment.last_actions, []
        weights = network_weights(self.network)
        for tick in range(len(segment.noise)):
            here = (segment.positions[tick], segment.velocities[tick])
            there = (segment.positions[tick + 1], segment.velocities[tick + 1])
            disturbed = (segment.noise[tick], segment.pushes[tick])
            state, states, actions, cost = self.tick(
                weights,
                state,
                (segment.physics, segment.loops),
                states,
                actions,
                here,
                there,
                disturbed,
            )
            costs.append(cost)
        return torch.stack(costs), (state, states, actions)

    def is_finite(self) -> bool:
        """Whether all weights are finite."""
        return all(bool(torch.isfinite(x).all()) for x in self.network.parameters())

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes, for a checkpoint."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self.network.load_state_dict(snapshot["network"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.schedule.load_state_dict(snapshot["schedule"])


def make_tick(network: Network, quadrotor: Quadrotor, cost: CostConfig, slope: float) -> Callable:
    """Return one tick of closed loop, differentiable in weights, states and the last actions."""
    drone_step = make_drone_step(quadrotor, 1.0 / CONTROL_RATE)
    rate_loop = make_rate_loop(quadrotor)
    act = _actor(network, slope)

    def tick(
        weights: PolicyWeights | None,
        state: DroneState,
        equipment: tuple[DronePhysics, LoopTensors | None],
        states: States,
        last: Tensor,
        here: tuple[Tensor, Tensor],
        there: tuple[Tensor, Tensor],
        disturbed: tuple[Tensor, Tensor],
    ) -> tuple[DroneState, States, Tensor, Tensor]:
        noise, push = disturbed
        seen, (physics, loops) = observe(state, *here, noise), equipment
        action, states = act(weights, seen, states)
        actions = torch.cat([action[:, None], last[:, :-1]], dim=1)
        motors = action
        if loops is not None:
            motors = 2.0 * rate_loop(actions, seen[:, BODY_RATES], state.rotors, loops) - 1.0
        state = drone_step(state, physics, motors, push)
        spent = flight_cost(
            state,
            *there,
            (last[:, 0], action),
            (motors + 1.0) / 2.0,
            hover_throttle=quadrotor.hover_throttle,
            config=cost,
        )
        return state, states, actions, spent

    return tick


def network_weights(network: Network) -> PolicyWeights | None:
    """Return a spiking network's arrays, computed once a segment; others keep theirs."""
    return network.policy_weights() if isinstance(network, SpikingPolicy) else None


def begin_at_hover(network: Network, hover: float, scale: float) -> None:
    """Scale the read-out, in place, and let it answer nothing with the action that hovers."""
    spiking = isinstance(network, SpikingPolicy)
    weight = network.readout_weight if spiking else network.readout.weight
    bias = network.readout_bias if spiking else network.readout.bias
    with torch.no_grad():
        weight.mul_(scale)
        bias.fill_(atanh(hover))


def apg_rules(config: ApgConfig) -> Rules:
    """Return the rules of the step sizes, for `snn_training.common.bounds.require`."""
    return {
        "learner.learning-rate": (0.0 < config.learning_rate <= 1.0, "above 0 and at most 1"),
        "learner.last-rate": (0.0 <= config.last_rate <= 1.0, "0 to 1"),
        "learner.time-constant-speed": (0.0 <= config.time_constant_speed <= 100.0, "0 to 100"),
        "learner.largest-gradient": (config.largest_gradient > 0.0, "above 0"),
        "learner.slope": (
            MIN_SLOPE <= config.slope <= MAX_SLOPE,
            f"{MIN_SLOPE:g} to {MAX_SLOPE:g}",
        ),
        "learner.readout-scale": (0.0 < config.readout_scale <= 10.0, "above 0 and at most 10"),
    }


def _actor(network: Network, slope: float) -> Callable:
    """Return (weights, observation, states) -> (action, next states), with gradients."""
    if not isinstance(network, SpikingPolicy):
        return lambda _, observation, states: network.tick(network.prepare(observation), states)

    def spike(membrane: Tensor, threshold: Tensor) -> Tensor:
        # Operators only, which compile into one loop with everything around them.
        distance = membrane - threshold
        smooth = distance * surrogate_gradient(distance.detach(), slope)
        return (heaviside(distance) - smooth).detach() + smooth

    def act(weights: PolicyWeights, observation: Tensor, states: States) -> tuple[Tensor, States]:
        action, states, _ = network.tick(weights, observation, states, spike=spike)
        return action, states

    return act


def heaviside(distance: Tensor) -> Tensor:
    """Return 1 where positive, else 0."""
    return (distance > 0.0).to(distance.dtype)


def _compiles(config: ApgConfig) -> bool:
    compiler = which("g++") or which("clang++")
    if config.compile == "on" and compiler is None:
        raise UserError("no C++ compiler was found; install g++ or choose --learner.compile off")
    return config.compile != "off" and compiler is not None


def _cosine(progress: float, last: float) -> float:
    return last + (1.0 - last) * (1.0 + float(torch.cos(torch.tensor(progress * torch.pi)))) / 2.0

"""One gradient step through the drone: all flights fly a segment, its mean cost goes down.

A tick costs what the paper's hover reward with its end coefficients takes off, and what that lacks:
a wall before the crash distance, and a price on changing actions and on body rates, which the
authors wished for. All of it is smooth enough to follow its gradient through the drone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import atanh
from shutil import which
from typing import Literal

import torch
from torch import Tensor, nn

from snn_controller.errors import UserError
from snn_controller.vehicle import BODY_RATES, ActionKind, Quadrotor
from snn_sim.task import CONTROL_RATE, END_COEFFICIENTS
from snn_training.algorithms.apg.drone import (
    DronePhysics,
    DroneState,
    make_drone_step,
    observe,
    rotation_matrix,
)
from snn_training.algorithms.apg.flights import FlightPool, Segment
from snn_training.algorithms.apg.rate_control import LoopTensors, make_rate_loop
from snn_training.algorithms.runner import Kept
from snn_training.common import bounded
from snn_training.networks import Network, PolicyWeights, SpikingPolicy
from snn_training.neurons import (
    MAX_SLOPE,
    MIN_SLOPE,
    surrogate_gradient,
)

FAR = 2.0  # m; a drone that is lost costs no more than here, so that it does not drown the others
WALL_DEPTH = 0.5  # m over which the wall rises; beyond, a flight is lost and it is level


@dataclass(frozen=True)
class CostConfig:
    """Weights beside the reward's own."""

    near: float = bounded(0.3, 0, 1e6)
    """Per m of position error and axis, so that the last centimetres count."""
    wall: float = bounded(20.0, 0, 1e6)
    """Per m beyond `wall_distance`, per axis."""
    wall_distance: float = bounded(0.48, 0, 1e6)
    """Where the wall begins, in m; a crash is at 0.6 m."""
    smoothness: float = bounded(0.2, 0, 1e6)
    """Per squared change of an action from tick to tick."""
    body_rates: float = bounded(0.002, 0, 1e6)
    """Per squared body rate in rad/s."""


def flight_cost(
    state: DroneState,
    position: Tensor,
    velocity: Tensor,
    actions: tuple[Tensor, Tensor],
    throttle: Tensor,
    *,
    hover_throttle: float,
    config: CostConfig,
) -> Tensor:
    """Return the cost (n,) of the states that a tick led to.

    Args:
        state: States after the tick.
        position: References (n, 3) in m.
        velocity: References (n, 3) in m/s.
        actions: Action of the tick before and of this one, each (n, 4) in [-1, 1].
        throttle: That was commanded (n, 4) in [0, 1].
        hover_throttle: Throttle that carries the weight.
        config: Weights.
    """
    reward, error = END_COEFFICIENTS, state.position - position
    last, action = actions
    distance = error.abs()
    beyond = (distance - config.wall_distance).clamp(0.0, WALL_DEPTH)
    # Twice the sum of 1 - cos is the squared angle where that is small, and smooth everywhere.
    tilt = 3.0 - rotation_matrix(state.quaternion)[:, ::4].sum(dim=1)
    return (
        reward.position * _squares(error.clamp(-FAR, FAR))
        + reward.velocity * _squares(state.velocity - velocity)
        + reward.attitude * tilt
        + reward.throttle * _squares(throttle - hover_throttle)
        + config.near * distance.sum(dim=1)
        + config.wall * beyond.sum(dim=1)
        + config.smoothness * _squares(action - last)
        + config.body_rates * _squares(state.body_rates)
    )


def _squares(values: Tensor) -> Tensor:
    return torch.square(values).sum(dim=1)


States = tuple[Tensor, ...]


@dataclass(frozen=True)
class ApgConfig:
    """Step sizes."""

    learning_rate: float = bounded(2e-3, above=0, at_most=1)
    """Adam's step size at the start; it falls along a cosine."""
    last_rate: float = bounded(0.02, 0, 1)
    """Share of it that is left at the end."""
    time_constant_speed: float = bounded(10.0, 0, 100)
    """How many times larger the step of a spiking network's time constants is."""
    largest_gradient: float = bounded(1.0, above=0)
    """Norm that gradients are clipped to."""
    slope: float = bounded(5.0, MIN_SLOPE, MAX_SLOPE)
    """Slope of the surrogate gradient, where the network is spiking."""
    readout_scale: float = bounded(0.1, above=0, at_most=10)
    """Factor on the initial read-out, so that the first flights are near hover."""
    compile: Literal["auto", "on", "off"] = "auto"
    """Compile the tick: four times as fast after half a minute; `auto` if there is a compiler."""


class ApgLearner(Kept):
    """Network and optimiser; `update` takes one gradient step."""

    kept = ("network", "optimizer", "schedule")

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

    @property
    def actor(self) -> Network:
        """The policy."""
        return self.network

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

"""Other simulators of many drones, for `simulators.py`; each is imported when it is asked for.

A function of `PEERS` takes a number of drones and returns names with functions that make one
control step of 10 ms for all of them. It raises ImportError or the like where its package is
missing or does not work.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from snn_controller.vehicle.airframe import load_quadrotor

Steps = dict[str, Callable[[], Any]]
HOVER_SPEED = 15_000.0  # rpm, about what a Crazyflie hovers with


def actions_near_hover(count: int) -> np.ndarray:
    """Return actions (count, 4) that keep drones flying for a while, so that some episodes end."""
    hover = 2.0 * load_quadrotor("crazyflie21").hover_throttle - 1.0
    return hover + 0.05 * np.random.default_rng(0).normal(size=(count, 4))


def l2f(count: int) -> Steps:
    """l2f: its step alone, and with reward, termination, reset of parameters and state."""
    import l2f  # pyright: ignore[reportMissingImports]

    vector = getattr(l2f, f"vector{count}")
    device, random, environment = l2f.Device(), vector.VectorRng(), vector.VectorEnvironment()
    parameters, states = vector.VectorParameters(), [vector.VectorState(), vector.VectorState()]
    vector.initialize_rng(device, random, 0)
    vector.initialize_environment(device, environment)
    vector.sample_initial_parameters(device, environment, parameters, random)
    vector.sample_initial_state(device, environment, parameters, states[0], random)
    actions = actions_near_hover(count).astype(np.float32)
    observations = np.zeros((count, environment.OBSERVATION_DIM), np.float32)
    rewards, ended = np.zeros(count, np.float32), np.zeros(count, np.bool_)
    world = (device, environment, parameters)

    def step() -> None:
        vector.step(*world, states[0], actions, states[1], random)
        states.reverse()

    def full() -> None:
        before, after = states
        vector.step(*world, before, actions, after, random)
        vector.reward(*world, before, actions, after, rewards, random)
        vector.terminated(*world, after, ended, random)
        vector.sample_initial_parameters_if_truncated(*world, ended, random)
        vector.sample_initial_state_if_truncated(*world, after, ended, random)
        vector.observe(*world, after, observations, random)
        states.reverse()

    return {"l2f, full env": full, "l2f, step alone": step}


def hyperdrone(count: int) -> Steps:
    """Dynamics of hyperdrone on the processor: a step, and a step with the observations read."""
    from hyperdrone.dynamics import Sim  # pyright: ignore[reportMissingImports]

    simulation, actions = Sim(count, device="cpu"), actions_near_hover(count).astype(np.float32)
    simulation.reset(sample_states=True)

    def observed() -> None:
        simulation.step(actions)
        simulation.observe()

    return {
        "hyperdrone, step alone": lambda: simulation.step(actions),
        "hyperdrone, step and observation": observed,
    }


def crazyflow(count: int) -> Steps:
    """crazyflow: five Euler steps by rotor speeds, and its environment of a goal position.

    The environment flies by attitude commands on a simpler model; it has no other.
    """
    import jax  # pyright: ignore[reportMissingImports]
    from crazyflow.envs import ReachPosEnv  # pyright: ignore[reportMissingImports]
    from crazyflow.sim import Sim  # pyright: ignore[reportMissingImports]

    simulation = Sim(n_worlds=count, dynamics="first_principles", control="rotor_vel", freq=500)
    simulation.reset()
    speeds = jax.numpy.full((count, 1, 4), HOVER_SPEED)
    environment = ReachPosEnv(num_envs=count, freq=100)
    environment.reset(seed=0)
    weight = environment.single_action_space.high[3] / 2.0
    attitudes = np.tile(np.array([0.0, 0.0, 0.0, weight], np.float32), (count, 1))

    def step() -> None:
        simulation.rotor_vel_control(speeds)
        simulation.step(5)
        jax.block_until_ready(simulation.data.states.pos)

    return {
        "crazyflow, five steps of 2 ms": step,
        "crazyflow, ReachPosEnv": lambda: jax.block_until_ready(environment.step(attitudes)[:4]),
    }


# Name of the package -> how it is installed, and its functions.
PEERS: dict[str, tuple[str, Callable[[int], Steps]]] = {
    "l2f": ("pip install l2f, built from source in about five minutes", l2f),
    "hyperdrone": ("pip install hyperdrone, which compiles itself on first use", hyperdrone),
    "crazyflow": ("pip install crazyflow, from Python 3.11 on", crazyflow),
}

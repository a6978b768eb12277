"""Control steps per second of our simulators beside their peers, on one core.

    python benchmarks/simulators.py --rounds 7 --json simulators.json

Batches of 4096 drones: the batched simulator beside l2f, hyperdrone and crazyflow. Single drones at
100 Hz control: the PyBullet drone beside gym-pybullet-drones at equal physics rates. Contestants
take turns, so that a machine that slows down slows all of them; what counts are ratios. Peers that
are not installed, or do not work, are named and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["SCIPY_ARRAY_API"] = "1"  # crazyflow insists, before anything imports scipy

import numpy as np
from batched_peers import PEERS, actions_near_hover

from snn_controller.errors import UserError
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.state import State
from snn_sim.batched.batch import DroneBatch
from snn_sim.bullet.aviary import Aviary
from snn_sim.bullet.drone import Drone
from snn_sim.envs.env import DroneEnv
from snn_sim.envs.vector_env import DroneVectorEnv
from snn_sim.task.disturbances import NOMINAL, ROBUST, Disturbances

PHYSICS_RATES = (100, 200, 500, 1000)  # Hz
HOVER = np.array([0.0, 0.0, 1.0])  # m


@dataclass
class Contestant:
    """One simulator: what it is compared in, and a function that makes some steps."""

    group: str
    name: str
    steps: int  # control steps that one call makes
    run: Callable[[], Any]


def main() -> None:
    """Measure in turns and print one table."""
    warnings.simplefilter("ignore")  # the packages' own
    parser = argparse.ArgumentParser(description="Simulators beside their peers.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of every contestant")
    parser.add_argument("--drones", type=int, default=4096, help="in a batch")
    parser.add_argument("--spell", type=float, default=0.25, help="s of processor time of a turn")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    args = parser.parse_args()
    stay_on_one_core()
    contestants = [*batches(args.drones), *singles()]
    rates: dict[str, list[float]] = {f"{x.group}: {x.name}": [] for x in contestants}
    for contestant in contestants:
        contestant.run()  # compiles, fills caches
    for _ in range(args.rounds):
        for contestant in contestants:
            rates[f"{contestant.group}: {contestant.name}"].append(measure(contestant, args.spell))
    figures = {
        name: {"best": max(values), "median": median(values), "rounds": values}
        for name, values in rates.items()
    }
    for name, figure in figures.items():
        print(f"{name:<62}{figure['best']:>13,.0f}{figure['median']:>13,.0f}")
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def stay_on_one_core() -> None:
    """Let the operating system move this process to no other core, where it can be told."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def measure(contestant: Contestant, spell: float) -> float:
    """Return control steps a second of processor time, which other programs do not use up."""
    calls, start = 0, process_time()
    while calls == 0 or process_time() - start < spell:
        contestant.run()
        calls += 1
    return calls * contestant.steps / (process_time() - start)


def batches(drones: int) -> list[Contestant]:
    """Return the contestants that fly many drones at once."""
    group = f"{drones} drones"
    found = [
        Contestant(group, "twin, full env", drones, batched(drones, NOMINAL)),
        Contestant(
            group, "twin, full env, disturbances and noise", drones, batched(drones, ROBUST)
        ),
        Contestant(group, "twin, Gymnasium vector env", drones, vector_environment(drones)),
    ]
    for name, (install, make) in PEERS.items():
        try:
            steps = make(drones)
            for step in steps.values():
                step()  # what does not run is left out too
            found += [Contestant(group, title, drones, step) for title, step in steps.items()]
        except Exception as error:  # each package fails in a way of its own
            skip(name, f"{install} ({type(error).__name__}: {error})")
    return found


def singles() -> list[Contestant]:
    """Return the contestants that fly one drone in PyBullet."""
    found = []
    for rate in PHYSICS_RATES:
        group = f"PyBullet, {rate} Hz"
        found.append(Contestant(group, "ours, drone", 1, bullet_drone(rate)))
        found.append(Contestant(group, "ours, DroneEnv", 1, bullet_environment(rate)))
        try:
            found.append(Contestant(group, "gym-pybullet-drones, CtrlAviary", 1, aviary(rate)))
            found.append(Contestant(group, "gym-pybullet-drones, HoverAviary", 1, hover(rate)))
        except UserError as error:
            skip("gym-pybullet-drones", str(error))
    return found


def skip(name: str, reason: str) -> None:
    """Say that a peer is left out."""
    sys.stderr.write(f"{name} is left out: {reason}\n")


def batched(count: int, disturbances: Disturbances) -> Callable[[], Any]:
    """Step, reward, termination, reset and observation of the batched simulator."""
    drones = DroneBatch(load_quadrotor("crazyflie21"), count, disturbances=disturbances)
    actions = actions_near_hover(count)
    return lambda: drones.step(actions)


def vector_environment(count: int) -> Callable[[], Any]:
    """The same behind Gymnasium's interface, which copies what it returns."""
    environment, actions = DroneVectorEnv(count), actions_near_hover(count).astype(np.float32)
    environment.reset(seed=0)
    return lambda: environment.step(actions)


def bullet_drone(rate: int) -> Callable[[], Any]:
    """Our PyBullet drone: motor lag, thrust, step, state read back."""
    quadrotor = load_quadrotor("crazyflie21")
    drone, throttle = Drone(quadrotor, physics_rate=rate), np.full(4, quadrotor.hover_throttle)
    drone.reset(State.at_rest(HOVER), throttle)
    return lambda: drone.step(throttle)


def bullet_environment(rate: int) -> Callable[[], Any]:
    """Our Gymnasium environment: the drone with observation, reward, ends and info."""
    environment = DroneEnv(start="easy", physics_rate=rate)
    environment.reset(seed=0)
    action = np.zeros(4, np.float32)

    def step() -> None:
        _, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()

    return step


def aviary(rate: int) -> Callable[[], Any]:
    """The package's CtrlAviary in its own PyBullet physics."""
    world = Aviary(load_quadrotor("cf2x"), control_rate=100, physics_rate=rate)._aviary
    speeds = np.full((1, 4), world.HOVER_RPM)
    world.reset()
    return lambda: world.step(speeds)


def hover(rate: int) -> Callable[[], Any]:
    """The package's environment with kinematic observation, reward and ends."""
    from gym_pybullet_drones.envs.HoverAviary import (  # pyright: ignore[reportMissingImports]
        HoverAviary,
    )
    from gym_pybullet_drones.utils.enums import (  # pyright: ignore[reportMissingImports]
        ActionType,
        ObservationType,
    )

    with redirect_stdout(StringIO()):  # it reports its constants there
        environment = HoverAviary(
            pyb_freq=rate, ctrl_freq=100, obs=ObservationType.KIN, act=ActionType.RPM
        )
    environment.reset()
    action = np.zeros((1, 4), np.float32)

    def step() -> None:
        _, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            environment.reset()

    return step


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")

"""Gymnasium's vector interface to the batched simulator: `DroneEnv`, thousands at once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_SIZE, Array, load_quadrotor
from snn_sim.batched import DroneBatch
from snn_sim.envs.env import observation_space
from snn_sim.task import NOMINAL, START_COEFFICIENTS, Disturbances, RewardCoefficients

Observations = NDArray[np.float32]
Actions = NDArray[np.floating]
Flags = NDArray[np.bool_]


class DroneVectorEnv(VectorEnv[Observations, Actions, NDArray[Any]]):
    """Many drones that hover at their targets; `drones` gives what the observation leaves out.

    An episode that ends begins anew in the same step: the observation is the next episode's first,
    and `info["final_obs"]` has the last one of the episode that ended, where `info["_final_obs"]`.
    """

    # Gymnasium declares it as an instance's.
    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(
        self,
        num_envs: int = 1,
        *,
        airframe: str = "crazyflie21",
        start: str | tuple[str, ...] = "standard",
        disturbances: Disturbances = NOMINAL,
        coefficients: RewardCoefficients = START_COEFFICIENTS,
    ) -> None:
        """Create the drones; the arguments are those of `DroneBatch`.

        Raises:
            UserError: Airframe or start is unknown or a number impossible.
        """
        self.num_envs = num_envs
        self.drones = DroneBatch(
            load_quadrotor(airframe),
            num_envs,
            starts=(start,) if isinstance(start, str) else start,
            disturbances=disturbances,
            coefficients=coefficients,
        )
        self.single_observation_space = observation_space()
        self.single_action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._seeded = False

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observations, dict[str, Any]]:
        """Begin an episode on every drone; one seed fixes all episodes of all drones.

        Raises:
            UserError: A list of seeds is given.
        """
        if isinstance(seed, list):
            raise UserError("give one seed: every drone derives its own from it")
        super().reset(seed=seed)
        if seed is None and not self._seeded:
            seed = int(self.np_random.integers(2**63))
        self._seeded = True
        return self.drones.reset(seed=seed).copy(), {}

    def step(self, actions: Actions) -> tuple[Observations, Array, Flags, Flags, dict[str, Any]]:
        """Fly one control period with motor actions (num_envs, 4), clipped to [-1, 1]."""
        drones = self.drones
        drones.step(actions)
        ended = drones.terminated | drones.truncated
        info = {"final_obs": drones.final_observations.copy(), "_final_obs": ended}
        return (
            drones.observations.copy(),
            drones.rewards.copy(),
            drones.terminated.copy(),
            drones.truncated.copy(),
            info if ended.any() else {},
        )

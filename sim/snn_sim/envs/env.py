"""Gymnasium environment of one drone that is to hover: observation v1, motor actions.

Importing this module registers `snn_controller/Drone-v0`, so
`gymnasium.make("snn_sim.envs.env:snn_controller/Drone-v0")` works too.
"""

from __future__ import annotations

import time
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_VERSION,
    OBSERVATIONS,
    Reference,
    action_from_throttle,
    load_quadrotor,
    observe,
    throttle_from_action,
    tilt_angle,
)
from snn_sim.bullet import PHYSICS_RATE, Drone, camera_image
from snn_sim.task import (
    CONTROL_RATE,
    EPISODE_STEPS,
    START_COEFFICIENTS,
    RewardCoefficients,
    has_crashed,
    hover_reward,
    sample_start,
)

TARGET = np.array([0.0, 0.0, 1.0])  # m, high enough that the crash box stays off the ground
BODY_RATE_LIMIT = 200.0  # rad/s, above what Bullet lets a body turn (100 per world axis)
START_NAMES = ("easy", "standard", "hard", "hover")
RENDER_MODES = ("human", "rgb_array")


class DroneEnv(gymnasium.Env[NDArray[Any], NDArray[Any]]):
    """Hover at a target: crash ends an episode, the cap of 500 steps truncates it.

    `coefficients` may be set between steps; the reward uses what it finds.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - Gymnasium declares it as an instance's
        "render_modes": list(RENDER_MODES),
        "render_fps": round(CONTROL_RATE),
    }

    def __init__(
        self,
        *,
        airframe: str = "crazyflie21",
        start: str = "standard",
        coefficients: RewardCoefficients = START_COEFFICIENTS,
        physics_rate: float = PHYSICS_RATE,
        render_mode: str | None = None,
    ) -> None:
        """Create the world.

        Raises:
            UserError: Airframe, start, render mode or rate is unknown, or PyBullet is missing.
        """
        if start not in START_NAMES:
            raise UserError(f"unknown start '{start}'; choose one of: {', '.join(START_NAMES)}")
        if render_mode not in (None, *RENDER_MODES):
            raise UserError(
                f"unknown render_mode '{render_mode}'; choose one of: {', '.join(RENDER_MODES)}"
            )
        self.render_mode = render_mode
        self.coefficients = coefficients
        self._start = start
        self._quadrotor = load_quadrotor(airframe)
        self._drone = Drone(self._quadrotor, physics_rate=physics_rate, gui=render_mode == "human")
        self._reference = Reference(TARGET)
        self._steps = 0
        self.observation_space = observation_space()
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (ACTION_SIZE,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float32], dict[str, Any]]:
        """Start an episode from the start distribution; there are no options."""
        super().reset(seed=seed)
        state, rotors = sample_start(
            self._start, self.np_random, target=TARGET, quadrotor=self._quadrotor
        )
        self._steps = 0
        self._drone.reset(state, rotors)
        return self._observation(), self._info()

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Fly one control period with motor actions (4,); what lies outside [-1, 1] is clipped."""
        throttle = throttle_from_action(action)
        state = self._drone.step(throttle)
        self._steps += 1
        terminated = has_crashed(state, self._reference)
        truncated = self._steps >= EPISODE_STEPS
        reward = hover_reward(
            state,
            self._reference,
            throttle,
            hover_throttle=self._quadrotor.hover_throttle,
            coefficients=self.coefficients,
        )
        if self.render_mode == "human":
            time.sleep(self._drone.control_period)
        return self._observation(), float(reward), terminated, truncated, self._info()

    def render(self) -> NDArray[np.uint8] | None:
        """Return an image (height, width, 3) in the mode `rgb_array`, else None."""
        return camera_image(self._drone.client, TARGET) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Close the world."""
        self._drone.close()

    def _observation(self) -> NDArray[np.float32]:
        return observe(self._drone.state, self._reference)

    def _info(self) -> dict[str, Any]:
        """Return what the observation leaves out: unclipped errors and the hidden rotor state."""
        state = self._drone.state
        return {
            "position_error": state.position - TARGET,  # m
            "velocity": state.velocity,  # m/s
            "tilt": float(tilt_angle(state.rotation)),  # rad
            "rotors": action_from_throttle(self._drone.rotors),  # in [-1, 1], as actions are
            "touching_ground": self._drone.touching_ground,
        }


def observation_space() -> gymnasium.spaces.Box:
    """Return the space of the observation; body rates, which it does not clip, have a limit too."""
    limits = OBSERVATIONS[OBSERVATION_VERSION].limits
    limits = np.where(np.isfinite(limits), limits, BODY_RATE_LIMIT).astype(np.float32)
    return gymnasium.spaces.Box(-limits, limits, limits.shape, np.float32)


gymnasium.register(
    id="snn_controller/Drone-v0",
    entry_point="snn_sim.envs.env:DroneEnv",
    vector_entry_point="snn_sim.envs.vector_env:DroneVectorEnv",
)

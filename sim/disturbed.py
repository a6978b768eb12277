"""A PyBullet drone under the disturbance of an episode: another airframe, delay, forces."""

from __future__ import annotations

import numpy as np
from snn_controller.frames import Array
from snn_controller.quadrotor import Quadrotor
from snn_controller.state import State

from sim.disturbances import Disturbance, delay_shares
from sim.drone import Drone


class DisturbedDrone:
    """One drone and what disturbs it; a step is `Drone.step` with all of it applied."""

    def __init__(self, world: Drone) -> None:
        """Take a world; it is nominal until `begin` says otherwise."""
        self.world, self.nominal = world, world.quadrotor
        self.disturbance: Disturbance | None = None
        self.steps = 0  # flown since the episode began, which pushes are timed by
        self.commands = [np.zeros(4)] * 3  # throttles of this, the last and the step before
        self._shares = delay_shares(0.0, world.control_period)

    def disturb(self, disturbance: Disturbance | None) -> None:
        """Fly under another disturbance from the next step on; None is the nominal drone."""
        self.disturbance = disturbance
        wanted: Quadrotor = self.nominal if disturbance is None else disturbance.quadrotor
        if self.world.quadrotor is not wanted:
            self.world.become(wanted)
        delay = 0.0 if disturbance is None else disturbance.delay
        self._shares = delay_shares(delay, self.world.control_period)

    def reset(self, state: State, rotors: Array) -> State:
        """Begin at step 0 in a state; commands before count as what the rotors (4,) show."""
        self.steps, self.commands = 0, [np.asarray(rotors)] * 3
        return self.world.reset(state, rotors)

    def step(self, throttle: Array | None) -> State:
        """Advance one control period with throttle (4,); None stops the motors at once."""
        step, self.steps = self.steps, self.steps + 1
        if throttle is None:
            return self.world.step(None)
        self.commands = [throttle, *self.commands[:-1]]
        if self.disturbance is None:
            return self.world.step(throttle)
        return self.world.step(
            self._shares @ np.array(self.commands),
            force=self.disturbance.force_at(step),
            torque=self.disturbance.torque,
        )

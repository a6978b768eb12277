"""Flying the batched twin for the replay: histories, ends of episodes, transitions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import ACTION_SIZE, ActionKind, Array, Reference, action_from_throttle
from snn_sim.envs import Drones, action_from_thrust
from snn_sim.task import (
    END_COEFFICIENTS,
    EPISODE_STEPS,
    HISTORY_SIZE,
    REWARD_PARTS,
    START_COEFFICIENTS,
    EpisodeConfig,
    References,
    append_action,
    constant_history,
    draw_references,
)
from snn_training.data import NOTHING, Transitions

ORIGIN = Reference(np.zeros(3))  # where the twin's drones are to hover
STILL = EpisodeConfig(moving_share=0.0, step_share=0.0)

Rows = NDArray[np.float32]
Controller = Callable[[Rows], Rows]  # inputs (n, 146) -> actions (n, 4)


class Collector:
    """Drones that fly on from tick to tick, each with its action history.

    In flight a policy does not know what the rotors did before its first tick and starts from a
    history of zeros. So does a share of the episodes here; the others begin with what the rotors
    show, as the published guide does.
    """

    def __init__(
        self,
        drones: Drones,
        *,
        blank_share: float,
        rng: np.random.Generator,
        tracks: EpisodeConfig | None = None,
        action_kind: ActionKind = "motors",
    ) -> None:
        """Take the drones as they stand after a reset.

        Args:
            drones: The twin, at the start of its episodes.
            blank_share: Share of episodes whose history begins with zeros.
            rng: Decides which, and how references move.
            tracks: How the references of episodes move; None holds them at the origin.
            action_kind: What the drones take.
        """
        self.drones, self.blank_share, self.rng = drones, blank_share, rng
        self.action_kind: ActionKind = action_kind
        self.start_commands = np.zeros((drones.count, ACTION_SIZE), np.float32)
        self.histories = constant_history(self.start_commands)
        everyone = np.arange(drones.count)
        self.tracks, moving = tracks, 0 if tracks is None else drones.count
        self.paths = draw_references(moving, tracks or STILL, drones.control_period, rng)
        if moving:
            self._restart(everyone)
        else:
            self._begin(everyone)

    @property
    def reference(self) -> Reference:
        """Where the drones are to be now."""
        return ORIGIN if self.tracks is None else self._path_at(self.drones.steps)

    @property
    def inputs(self) -> Rows:
        """What the controller sees now (count, 146)."""
        return np.concatenate([self.drones.observations, self.histories], axis=1)

    def step(self, actions: Rows, watch: Callable[[], Rows] | None = None) -> Transitions:
        """Fly one tick with actions (count, 4) in [-1, 1] and return it.

        Drones whose episodes ended begin their next ones. Before they do, `watch` is asked for
        what is privileged about the states reached.
        """
        drones = self.drones
        observations, steps = drones.observations.copy(), drones.steps.astype(np.int32)
        starts = self.start_commands.copy()
        if self.tracks is not None:  # the step ends where the reference will be by then
            drones.set_references(self._path_at(drones.steps + 1), observe=False)
        drones.step(actions, auto_reset=False)
        terminated = drones.terminated.copy()
        transitions = Transitions(
            observations,
            actions,
            drones.observations.copy(),
            drones.reward_parts.copy(),
            terminated,
            drones.truncated & ~terminated,
            steps,
            starts,
            next_privileged=NOTHING if watch is None else watch(),
        )
        self.histories = append_action(self.histories, actions)
        self._restart(np.flatnonzero(drones.terminated | drones.truncated))
        return transitions

    def _restart(self, ended: NDArray[np.int64]) -> None:
        if not len(ended):
            return
        if self.tracks is not None:
            period, steps = self.drones.control_period, self.drones.steps
            fresh = draw_references(len(ended), self.tracks, period, self.rng)
            for values, new in zip(self.paths, fresh, strict=True):
                values[ended] = new
            steps[ended] = 0
            self.drones.set_references(self._path_at(steps), observe=False)
        # The twin's own automatic restart hides the true state that ended the episode.
        self.drones.restart(ended)
        self._begin(ended)

    def _path_at(self, steps: NDArray[np.int64]) -> Reference:
        return self.paths.at(steps.astype(np.float64)[:, None] * self.drones.control_period)

    def _begin(self, drones: NDArray[np.int64]) -> None:
        known = self.rng.random(len(drones)) >= self.blank_share
        self.start_commands[drones] = self._shown(drones) * known[:, None]
        self.histories[drones] = constant_history(self.start_commands[drones])

    def _shown(self, drones: NDArray[np.int64]) -> Array:
        """Return the actions (n, 4) that the rotors of some drones show."""
        rotors, quadrotor = self.drones.rotors[drones], self.drones.quadrotor
        if self.action_kind == "motors":
            return action_from_throttle(rotors)
        return action_from_thrust(quadrotor.thrust(rotors).sum(axis=-1), quadrotor)

    def snapshot(self) -> dict[str, Any]:
        """Return all that changes in flight, for a checkpoint; the generator is the caller's."""
        return {
            "drones": self.drones.snapshot(),
            "starts": self.start_commands,
            "histories": self.histories,
            "paths": self.paths._asdict(),
        }

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Fly on from a snapshot of as many drones."""
        self.drones.restore(snapshot["drones"])
        self.start_commands[...] = snapshot["starts"]
        self.histories = np.array(snapshot["histories"])
        self.paths = References(**{k: np.array(x) for k, x in snapshot["paths"].items()})


def validate(drones: Drones, controller: Controller) -> dict[str, float]:
    """Fly one episode on every drone, from histories of zeros as in flight; return mean scores.

    The drones must be at the start of their episodes. The steady error is that of the survivors
    at the end; it is NaN without any. The action step is the mean change from tick to tick.
    """
    histories = np.zeros((drones.count, HISTORY_SIZE), np.float32)
    flying = np.ones(drones.count, np.bool_)
    total, change, changes = np.zeros((drones.count, REWARD_PARTS)), 0.0, 0
    for tick in range(EPISODE_STEPS):
        if not flying.any():
            break
        actions = controller(np.concatenate([drones.observations, histories], axis=1))
        drones.step(actions, auto_reset=False)
        total[flying] += drones.reward_parts[flying]
        if tick > 0:
            change += float(np.abs(actions - histories[:, -ACTION_SIZE:])[flying].sum())
            changes += ACTION_SIZE * int(flying.sum())
        histories = append_action(histories, actions)
        flying &= ~drones.terminated
    errors = np.linalg.norm(drones.state.position[flying, :2], axis=1)
    return {
        "return_start": float((total @ astuple(START_COEFFICIENTS)).mean()),
        "return_end": float((total @ astuple(END_COEFFICIENTS)).mean()),
        "survival": float(flying.mean()),
        "steady_xy_m": float(errors.mean()) if flying.any() else float("nan"),
        "action_step": change / max(changes, 1),
    }

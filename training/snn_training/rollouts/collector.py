"""Flying drones of either simulator tick by tick, episode after episode, and validation.

Histories, ends of episodes and transitions for who learns from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.vehicle import (
    ACTION_SIZE,
    ActionKind,
    Array,
    Quadrotor,
    Reference,
    State,
    action_from_throttle,
)
from snn_sim.envs import Drones, action_from_thrust, make_drones
from snn_sim.task import (
    CONTROL_RATE,
    END_COEFFICIENTS,
    EPISODE_STEPS,
    REWARD_PARTS,
    START_COEFFICIENTS,
    EpisodeConfig,
    References,
    append_action,
    constant_history,
    draw_references,
)
from snn_training.data import NOTHING, Numbers, Rows, Transitions
from snn_training.networks import Network
from snn_training.rollouts.actors import Actor, NetworkActor

ORIGIN = Reference(np.zeros(3))  # where the twin's drones are to hover
STILL = EpisodeConfig(moving_share=0.0, step_share=0.0)

VALIDATION_SEED = 2**40  # added to the seed, so that no validation start was ever trained on
VALIDATION_EPISODES = 200


class Collector:
    """Drones that fly on from tick to tick, each with its action history; actors sense them here.

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
    def observations(self) -> Rows:
        """Observations (count, 18) of now."""
        return self.drones.observations

    @property
    def steps(self) -> Numbers:
        """Ticks (count,) flown in the present episodes."""
        return self.drones.steps

    @property
    def state(self) -> State:
        """True states, batch (count,)."""
        return self.drones.state

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1]."""
        return self.drones.rotors

    @property
    def quadrotor(self) -> Quadrotor:
        """The airframe."""
        return self.drones.quadrotor

    def step(
        self, actions: NDArray[Any], watch: Callable[[], NDArray[Any]] | None = None
    ) -> Transitions:
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

    def _restart(self, ended: Numbers) -> None:
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

    def _path_at(self, steps: Numbers) -> Reference:
        return self.paths.at(steps.astype(np.float64)[:, None] * self.drones.control_period)

    def _begin(self, drones: Numbers) -> None:
        known = self.rng.random(len(drones)) >= self.blank_share
        self.start_commands[drones] = self._shown(drones) * known[:, None]
        self.histories[drones] = constant_history(self.start_commands[drones])

    def _shown(self, drones: Numbers) -> Array:
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


def roll_out(
    collector: Collector, actor: Actor, watch: Callable[[], NDArray[Any]] | None = None
) -> Iterator[Transitions]:
    """Fly until the first episode of every drone is over; yield the ticks.

    Args:
        collector: The drones, at the start of their episodes.
        actor: Who flies; told what was flown, and reset where an episode ended.
        watch: As for `Collector.step`.
    """
    flying = np.ones(collector.drones.count, np.bool_)
    for _ in range(EPISODE_STEPS):
        flown = collector.step(actor.act(collector), watch)
        actor.set_applied_action(flown.actions)
        actor.reset(flown.terminated | flown.truncated)
        yield flown
        flying &= ~flown.terminated
        if not flying.any():
            return


def validate(drones: Drones, actor: Actor) -> dict[str, float]:
    """Fly one episode on every drone, from histories of zeros as in flight; return mean scores.

    The drones must be at the start of their episodes. The steady error is that of the survivors
    at the end; it is NaN without any. The action step is the mean change from tick to tick.
    """
    collector = Collector(drones, blank_share=1.0, rng=np.random.default_rng(0))
    flying = np.ones(drones.count, np.bool_)
    total, change, changes = np.zeros((drones.count, REWARD_PARTS)), 0.0, 0
    before, places = np.zeros((0, ACTION_SIZE)), np.zeros((drones.count, 2))
    for tick, flown in enumerate(roll_out(collector, actor, lambda: drones.state.position[:, :2])):
        total[flying] += flown.reward_parts[flying]
        if tick > 0:
            change += float(np.abs(flown.actions - before)[flying].sum())
            changes += ACTION_SIZE * int(flying.sum())
        before, places = flown.actions, flown.next_privileged
        flying &= ~flown.terminated
    errors = np.linalg.norm(places[flying], axis=1)
    return {
        "return_start": float((total @ astuple(START_COEFFICIENTS)).mean()),
        "return_end": float((total @ astuple(END_COEFFICIENTS)).mean()),
        "survival": float(flying.mean()),
        "steady_xy_m": float(errors.mean()) if flying.any() else float("nan"),
        "action_step": change / max(changes, 1),
    }


def validate_network(
    policy: Network,
    quadrotor: Quadrotor,
    *,
    seed: int,
    episodes: int = VALIDATION_EPISODES,
    action_kind: ActionKind = "motors",
) -> dict[str, Any]:
    """Return the scores of standard starts on the batched twin, the same ones for a seed.

    A score without a meaning is empty, as the log wants it. There are none for a policy of another
    control rate than the twin's.
    """
    if policy.config.control_rate != CONTROL_RATE:
        return {}
    drones = make_drones(
        "batched",
        quadrotor,
        episodes,
        action_kind=action_kind,
        starts=("standard",),
        seed=VALIDATION_SEED + seed,
    )
    scores = validate(drones, NetworkActor(policy, episodes))
    return {name: float(f"{x:.4g}") if np.isfinite(x) else "" for name, x in scores.items()}

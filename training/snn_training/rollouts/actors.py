"""Who flies: one protocol for whatever gives actions, and those who do.

An actor sees every tick of every drone, whoever flies, so that its memory is warm when it takes
over and it can always say what it would have done. Policies look at the observations alone;
teachers also at what only a simulator knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from snn_controller.control import GuideGains, RateGains, geometric_control
from snn_controller.errors import UserError
from snn_controller.policy import Policy
from snn_controller.vehicle import (
    ACTION_SIZE,
    OBSERVATION_VERSION,
    POSITION_ERROR_LIMIT,
    VELOCITY_ERROR_LIMIT,
    ActionKind,
    Array,
    Quadrotor,
    Reference,
    State,
)
from snn_sim.task import CONTROL_RATE
from snn_training.data import Flags, Numbers, Rows
from snn_training.networks import ActorOfGuide, Network, numpy_stepper
from snn_training.rollouts.batched_policy import BatchedPolicy
from snn_training.runs import load_guide

# Softer than the calibration's gains and with less lead, because the student does not see the
# rotors; survives more of the standard starts.
TEACHER_GAINS = GuideGains(
    position=11.0,
    velocity=3.5,
    attitude=300.0,
    yaw=7.0,
    rate=RateGains(tilt_rate=40.0, yaw_rate=5.0, lead=1.5),
)


Kinematics = TypeVar("Kinematics", State, Reference)


class Senses(Protocol):
    """What there is to see of drones side by side; all but the first two is privileged."""

    @property
    def observations(self) -> Rows:
        """Observations (count, 18), as in flight."""
        ...

    @property
    def histories(self) -> Rows:
        """Last 32 actions flown (count, 128), oldest first."""
        ...

    @property
    def steps(self) -> Numbers:
        """Ticks (count,) flown in the present episodes."""
        ...

    @property
    def state(self) -> State:
        """States, batch (count,): true, or as noisy as the observations in the fixed test."""
        ...

    @property
    def reference(self) -> Reference:
        """Where the drones are to be, batch (count,) or one for all."""
        ...

    @property
    def rotors(self) -> Array:
        """Rotor states (count, 4) in [0, 1]."""
        ...

    @property
    def quadrotor(self) -> Quadrotor:
        """The airframe, nominal."""
        ...


class Actor(Protocol):
    """Gives actions to drones side by side, tick by tick."""

    def reset(self, drones: Flags | None = None) -> None:
        """Forget the past of every drone, or of those of a mask (count,)."""
        ...

    def act(self, senses: Senses) -> NDArray[np.floating]:
        """Return the actions (count, 4) in [-1, 1] for what is sensed, and go on by a tick."""
        ...

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Take note of the actions (count, 4) that were flown, maybe others than `act` gave."""
        ...


class ResumableActor(Actor, Protocol):
    """An actor whose memory goes into checkpoints."""

    def snapshot(self) -> dict[str, Any]:
        """Return what changes in flight."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of as many drones."""
        ...


class Memoryless:
    """The part of an actor without memory that is about memory."""

    def reset(self, drones: Flags | None = None) -> None:
        """Forget nothing."""

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Do not remember it."""

    def snapshot(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore nothing."""


class RandomActor(Memoryless):
    """Draws every action at random, uniform in [-1, 1]."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Take the generator."""
        self.rng = rng

    def act(self, senses: Senses) -> Rows:
        """Return actions (count, 4)."""
        shape = (len(senses.steps), ACTION_SIZE)
        return self.rng.uniform(-1.0, 1.0, shape).astype(np.float32)


class Teacher(Memoryless):
    """The geometric controller on state and rotors, answering to what a student can see."""

    def __init__(self, gains: GuideGains = TEACHER_GAINS) -> None:
        """Take the gains."""
        self.gains = gains

    def act(self, senses: Senses) -> Rows:
        """Return the actions (count, 4) on errors clipped as the observation clips them.

        Otherwise it would answer to distances that the student cannot see.
        """
        state, reference = senses.state, senses.reference
        position = np.clip(
            state.position - reference.position, -POSITION_ERROR_LIMIT, POSITION_ERROR_LIMIT
        )
        velocity = np.clip(
            state.velocity - reference.velocity, -VELOCITY_ERROR_LIMIT, VELOCITY_ERROR_LIMIT
        )
        seen = Reference(state.position - position, state.velocity - velocity)
        with np.errstate(all="ignore"):  # a drone may be about to be judged as lost
            actions = geometric_control(
                state, seen, senses.rotors, quadrotor=senses.quadrotor, gains=self.gains
            )
        return np.nan_to_num(actions).astype(np.float32)


class GeometricActor(Memoryless):
    """The geometric controller on all that it is shown, in double precision."""

    def __init__(self, gains: GuideGains, *, one_by_one: bool = False) -> None:
        """Take the gains.

        Args:
            gains: Of the controller.
            one_by_one: Compute every drone by itself, bit by bit as a controller of one drone
                does; matrix products of a batch round otherwise.
        """
        self.gains, self.one_by_one = gains, one_by_one

    def act(self, senses: Senses) -> Array:
        """Return the actions (count, 4)."""
        state, reference, rotors = senses.state, senses.reference, senses.rotors
        options = {"quadrotor": senses.quadrotor, "gains": self.gains}
        if not self.one_by_one:
            return geometric_control(state, reference, rotors, **options)
        rows = (
            geometric_control(row_of(state, i), row_of(reference, i), rotors[i], **options)
            for i in range(len(rotors))
        )
        return np.array(list(rows))


class HistoryActor(Memoryless):
    """An actor of `training/td3.py`, which sees the actions flown."""

    def __init__(self, actor: ActorOfGuide) -> None:
        """Take the actor."""
        self.actor = actor

    @torch.no_grad()
    def act(self, senses: Senses) -> Rows:
        """Return the actions (count, 4)."""
        inputs = np.concatenate([senses.observations, senses.histories], axis=1)
        return self.actor(torch.from_numpy(inputs)).numpy()


class NetworkActor:
    """A network in training, with a state for each drone."""

    def __init__(self, network: Network, count: int) -> None:
        """Take the network as it is now, for so many drones, from reset states."""
        self.count = count
        self.use(network)
        self.reset()

    def use(self, network: Network) -> None:
        """Fly on with the weights that a network of the same shape has now."""
        self.network, self._step = network, numpy_stepper(network)

    def reset(self, drones: Flags | None = None) -> None:
        """Zero the states of every drone, or of those of a mask (count,)."""
        if drones is None:
            states = self.network.initial_states(self.count)
            self.states: tuple[Any, ...] = tuple(x.cpu().numpy() for x in states)
            return
        for state in self.states:
            state[drones] = 0.0

    def act(self, senses: Senses) -> Rows:
        """Return the actions (count, 4) and advance the states."""
        actions, self.states, _ = self._step(senses.observations.copy(), self.states)
        return actions

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Let a network that sees its last actions see those that were flown."""
        self.states = tuple(
            np.array(x) for x in self.network.set_applied_action(self.states, applied)
        )

    def snapshot(self) -> dict[str, Any]:
        """Return the states."""
        return {str(i): x for i, x in enumerate(self.states)}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot of as many drones."""
        self.states = tuple(np.array(snapshot[str(i)]) for i in range(len(self.states)))


class GuidedActor:
    """A guide flies the first ticks of each episode; the student looks on and goes on from there.

    The student is asked in every tick, whoever flies, so it is warm when it takes over.
    """

    def __init__(
        self, guide: Actor, student: Actor, guided: Numbers, *, label: bool = True
    ) -> None:
        """Take both.

        Args:
            guide: Flies first.
            student: Flies then.
            guided: How many ticks (count,) of its episode each drone is guided.
            label: Ask the guide in every tick what it would do, also where nobody is guided.
        """
        self.guide, self.student, self.guided, self.label = guide, student, guided, label
        self.labels: NDArray[np.floating] = np.zeros((0, ACTION_SIZE))  # what the guide would do
        self.leads: Flags = np.zeros(len(guided), np.bool_)  # whom the guide flew in the last tick

    def reset(self, drones: Flags | None = None) -> None:
        """Let both forget."""
        self.guide.reset(drones)
        self.student.reset(drones)

    def act(self, senses: Senses) -> NDArray[np.floating]:
        """Return the actions (count, 4) of whoever flies."""
        self.leads = senses.steps < self.guided
        if not (self.label or self.leads.any()):
            return self.student.act(senses)
        self.labels = self.guide.act(senses)
        return np.where(self.leads[:, None], self.labels, self.student.act(senses))

    def set_applied_action(self, applied: NDArray[np.floating]) -> None:
        """Tell both what was flown."""
        self.guide.set_applied_action(applied)
        self.student.set_applied_action(applied)


def open_guide(choice: str, count: int, action_kind: ActionKind = "motors") -> ResumableActor:
    """Return a guide for so many drones.

    Args:
        choice: `geometric`, the folder of a run of training/td3.py, or a policy file.
        count: Drones that it flies.
        action_kind: What it must command.

    Raises:
        UserError: There is no such guide, it is unusable, or commands something else.
    """
    path = Path(choice)
    if path.is_file():
        policy = Policy.load(
            path, control_rate=CONTROL_RATE, observation_version=OBSERVATION_VERSION
        )
        if policy.metadata.action_kind != action_kind:
            raise UserError(
                f"{path} commands {policy.metadata.action_kind} and the policy is to command "
                f"{action_kind}; give a guide that was trained with --action-kind {action_kind}"
            )
        return BatchedPolicy(policy, count)
    if action_kind != "motors" and (choice == "geometric" or path.is_dir()):
        raise UserError(
            f"the guide '{choice}' commands motors; for --action-kind {action_kind} give apg or a "
            "policy.onnx that training/apg.py made with the same --action-kind"
        )
    if choice == "geometric":
        return Teacher()
    if path.is_dir():
        return HistoryActor(load_guide(path))
    raise UserError(
        f"there is no guide '{choice}'; give geometric, apg, td3, the folder of a run of "
        "training/td3.py, or a policy.onnx file"
    )


def row_of(batch: Kinematics, number: int) -> Kinematics:
    """Return one drone of states or references, batch (count,) or one for all."""
    if batch.position.ndim == 1:
        return batch
    row = type(batch)(*(getattr(batch, field.name)[number] for field in fields(batch)))
    if "rotation" in vars(batch):  # cached, and dear
        vars(row)["rotation"] = vars(batch)["rotation"][number]
    return row

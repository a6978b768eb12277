"""Who guides: the geometric controller on the true state, a TD3 actor, or any policy file.

A guide sees every tick of every drone, whoever flies, so it can say what it would have done there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from snn_controller.control import GuideGains
from snn_controller.errors import UserError
from snn_controller.policy import Policy
from snn_controller.vehicle import OBSERVATION_SIZE, OBSERVATION_VERSION, ActionKind
from snn_sim.task import CONTROL_RATE
from snn_training.networks import ActorOfGuide
from snn_training.rollouts.batched_policy import BatchedPolicy
from snn_training.rollouts.collector import Collector
from snn_training.rollouts.pybullet import TEACHER_GAINS, clone_target
from snn_training.runs import load_guide

Rows = NDArray[np.float32]


class Guide(Protocol):
    """What can fly all drones, and remembers what a checkpoint needs."""

    def act(self, collector: Collector) -> Rows:
        """Return the actions (count, 4) in [-1, 1] for where the drones are now."""
        ...

    def heed(self, flown: Rows, ended: NDArray[np.bool_]) -> None:
        """Take note of the actions flown (count, 4) and of the drones whose episodes ended."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Return what changes in flight."""
        ...

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        ...


class Forgetful:
    """A guide without memory."""

    def heed(self, flown: Rows, ended: NDArray[np.bool_]) -> None:
        """Forget it."""

    def snapshot(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Restore nothing."""


class GeometricGuide(Forgetful):
    """The geometric controller on the true state and rotors."""

    def __init__(self, gains: GuideGains = TEACHER_GAINS) -> None:
        """Take the gains."""
        self.gains = gains

    def act(self, collector: Collector) -> Rows:
        """Return the actions (count, 4); errors are clipped as the policy sees them."""
        drones = collector.drones
        with np.errstate(all="ignore"):  # a drone may be about to be judged as lost
            actions = clone_target(
                drones.state, collector.reference, drones.rotors, drones.quadrotor, self.gains
            )
        return np.nan_to_num(actions).astype(np.float32)


class ActorGuide(Forgetful):
    """An actor of `training/td3.py`, which sees the actions flown."""

    def __init__(self, actor: ActorOfGuide) -> None:
        """Take the actor."""
        self.actor = actor

    @torch.no_grad()
    def act(self, collector: Collector) -> Rows:
        """Return the actions (count, 4)."""
        return self.actor(torch.from_numpy(collector.inputs)).numpy()


class PolicyGuide:
    """A policy file with a state for each drone."""

    def __init__(self, path: Path, count: int, action_kind: ActionKind = "motors") -> None:
        """Open the file for so many drones.

        Raises:
            UserError: It is unusable, or does not command what it is to.
        """
        policy = Policy.load(
            path, control_rate=CONTROL_RATE, observation_version=OBSERVATION_VERSION
        )
        if policy.metadata.action_kind != action_kind:
            raise UserError(
                f"{path} commands {policy.metadata.action_kind} and the policy is to command "
                f"{action_kind}; give a guide that was trained with --action-kind {action_kind}"
            )
        self.policy = BatchedPolicy(policy, count)

    def act(self, collector: Collector) -> Rows:
        """Return the actions (count, 4) and advance the states."""
        observations = collector.inputs[:, :OBSERVATION_SIZE]
        return np.asarray(self.policy.step(observations), np.float32)

    def heed(self, flown: Rows, ended: NDArray[np.bool_]) -> None:
        """Take over what was flown as the last action; reset the states of ended episodes."""
        self.policy.heed(flown)
        self.policy.reset(ended)

    def snapshot(self) -> dict[str, Any]:
        """Return the states."""
        return self.policy.snapshot()

    def restore(self, snapshot: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self.policy.restore(snapshot)


def open_guide(choice: str, count: int, action_kind: ActionKind = "motors") -> Guide:
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
        return PolicyGuide(path, count, action_kind)
    if action_kind != "motors" and (choice == "geometric" or path.is_dir()):
        raise UserError(
            f"the guide '{choice}' commands motors; for --action-kind {action_kind} give apg or a "
            "policy.onnx that training/apg.py made with the same --action-kind"
        )
    if choice == "geometric":
        return GeometricGuide()
    if path.is_dir():
        return ActorGuide(load_guide(path))
    raise UserError(
        f"there is no guide '{choice}'; give geometric, apg, td3, the folder of a run of "
        "training/td3.py, or a policy.onnx file"
    )

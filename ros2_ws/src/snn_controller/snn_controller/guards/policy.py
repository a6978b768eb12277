"""The guard of the policy: its action, its neurons and its actions of late, in one call."""

from __future__ import annotations

import math

from numpy.typing import NDArray

from snn_controller.guards.actions import ActionGuard
from snn_controller.guards.limits import Limits
from snn_controller.guards.neurons import NeuronGuard
from snn_controller.guards.verdicts import Verdict
from snn_controller.policy import Policy


class PolicyGuard:
    """Judges each tick of a policy before its action becomes a command."""

    def __init__(self, limits: Limits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._actions = ActionGuard(limits, rate)
        self._neurons = NeuronGuard(limits, rate)

    def reset(self) -> None:
        """Forget the past, as the policy does."""
        self._actions.reset()
        self._neurons.reset()

    def check(self, policy: Policy, action: NDArray) -> Verdict | None:
        """Say what is wrong with the tick that gave an action (4,), or None."""
        if not math.isfinite(action.sum()):
            return Verdict("policy", "the policy's output is not finite")
        return self._neurons.check(policy) or self._actions.check(action)

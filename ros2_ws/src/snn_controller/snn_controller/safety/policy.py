"""The guard of the policy: its action, its neurons and its actions of late, in one call."""

from __future__ import annotations

import math
from collections import deque

from numpy.typing import NDArray

from snn_controller.policy import Policy
from snn_controller.safety.limits import Limits
from snn_controller.safety.verdicts import Verdict

AT_LIMIT = 0.999  # |a| from which an action counts as saturated


class ActionGuard:
    """Judges the actions of the last `action_window` seconds, once that many have come."""

    def __init__(self, limits: Limits, rate: float) -> None:
        """Judge actions that come at `rate` Hz."""
        self._limits = limits
        self._ticks = max(1, round(limits.action_window * rate))
        self.reset()

    def reset(self) -> None:
        """Forget all actions."""
        self._before: list[float] | None = None
        self._saturated: deque[int] = deque(maxlen=self._ticks)
        self._steps: deque[float] = deque(maxlen=self._ticks)

    def check(self, action: NDArray) -> Verdict | None:
        """Take in an action (4,) before it is clipped and say what is wrong with the last ones."""
        values = action.tolist()
        self._saturated.append(sum(abs(a) >= AT_LIMIT for a in values))
        if self._before is not None:
            step = sum(abs(a - b) for a, b in zip(values, self._before, strict=True))
            self._steps.append(step / len(values))
        self._before = values
        share = sum(self._saturated) / (self._ticks * len(values))
        if share > self._limits.max_saturation:
            return Verdict(
                "saturation",
                f"{share:.0%} of the policy's actions of the last"
                f" {self._limits.action_window:g} s were at a limit",
            )
        step = sum(self._steps) / self._ticks
        if step > self._limits.max_action_step:
            return Verdict(
                "jitter", f"the policy's actions changed by {step:.2f} a tick, of a range of 2"
            )
        return None


TIMING_WINDOW = 1.0  # s


class TimingGuard:
    """Judges the control periods of the last second, once a second has passed."""

    def __init__(self, limits: Limits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._limits = limits
        self._rate = rate
        self._ticks = max(1, round(TIMING_WINDOW * rate))
        self._missed: deque[int] = deque(maxlen=self._ticks)
        self._late: deque[int] = deque(maxlen=self._ticks)

    def add(self, missed: int, age: float) -> None:
        """Take in a tick, the periods missed before it, and the age of its odometry in s."""
        self._missed.extend([1] * min(missed, self._ticks) + [0])
        self._late.append(int(age > self._limits.max_tick_age))

    def check(self) -> Verdict | None:
        """Say whether too many ticks were missed or late, or None."""
        if len(self._missed) < self._ticks:
            return None
        share, limit = self._missed.count(1) / self._ticks, self._limits.max_missed_share
        if share > limit:
            return Verdict(
                "rate",
                f"{share:.0%} of the ticks were missed: odometry comes at"
                f" {self._rate * (1.0 - share):.0f} Hz, slower than the policy's {self._rate:g} Hz",
            )
        share = self._late.count(1) / self._ticks
        if share > limit:
            age = self._limits.max_tick_age * 1e3
            return Verdict(
                "late", f"{share:.0%} of the ticks came on odometry older than {age:.0f} ms"
            )
        return None


class NeuronGuard:
    """Judges neuron states and spikes after each tick of the policy."""

    def __init__(self, limits: Limits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._window, self._rate = limits.layer_window, rate
        self._ticks = max(1, round(limits.layer_window * rate))
        self.reset()

    def reset(self) -> None:
        """Forget the past."""
        self._silent: dict[str, int] = {}  # ticks in a row, by layer
        self._firing: dict[str, int] = {}

    def check(self, policy: Policy) -> Verdict | None:
        """Say what is wrong with the network that has just ticked, or None."""
        if not policy.state_is_finite():
            return Verdict("neurons", "a neuron state of the policy is not finite")
        for layer, share in policy.spike_shares().items():
            self._silent[layer] = self._silent.get(layer, 0) + 1 if share == 0.0 else 0
            self._firing[layer] = self._firing.get(layer, 0) + 1 if share == 1.0 else 0
            if self._silent[layer] >= self._ticks and self._is_too_long(policy, layer):
                return Verdict("silent", self._reason("no neuron of", layer, "for"))
            if self._firing[layer] >= self._ticks:
                return Verdict("firing", self._reason("every neuron of", layer, "in each tick of"))
        return None

    def _is_too_long(self, policy: Policy, layer: str) -> bool:
        """Whether a layer is silent for longer than the policy says that it may be."""
        normal = next(x.silence for x in policy.metadata.layers if x.name == layer)
        return self._silent[layer] > normal * self._rate

    def _reason(self, who: str, layer: str, how_long: str) -> str:
        seconds = max(self._window, self._silent[layer] / self._rate)
        return f"{who} layer '{layer}' has fired {how_long} {seconds:g} s"


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

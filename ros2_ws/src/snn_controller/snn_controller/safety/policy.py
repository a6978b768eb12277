"""The guards of the policy: its action, its neurons, its actions of late, and its ticks."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from numpy.typing import NDArray

from snn_controller.parameter import setting
from snn_controller.policy import Policy
from snn_controller.safety.envelope import WATCHED_MODES
from snn_controller.safety.guard import Guard, Moment, Rule, Stage, Verdict
from snn_controller.safety.state_machine import Event

AT_LIMIT = 0.999  # |a| from which an action counts as saturated
TIMING_WINDOW = 1.0  # s


@dataclass(frozen=True)
class PolicyLimits:
    """What actions and neurons must be like."""

    max_saturation: float = setting(
        0.9, "share of the actions in action_window that may be at a limit", low=0.0, high=1.0
    )
    max_action_step: float = setting(
        0.6, "mean step of the actions in action_window, of a range of 2", low=0.0, high=2.0
    )
    action_window: float = setting(
        0.3,
        "time in s over which saturation and steps are judged",
        low=0.0,
        high=60.0,
    )
    layer_window: float = setting(  # a layer gone for 0.1 s has tipped a Crazyflie over
        0.05, "time in s that a layer may be all silent or all firing", low=0.0, high=60.0
    )


class ActionWindow:
    """Judges the actions of the last `action_window` seconds, once that many have come."""

    def __init__(self, limits: PolicyLimits, rate: float) -> None:
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


class NeuronWatch:
    """Judges neuron states and spikes after each tick of the policy."""

    def __init__(self, limits: PolicyLimits, rate: float) -> None:
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


class PolicyGuard(Guard):
    """Judges each tick of a policy before its action becomes a command."""

    stage = Stage.POLICY
    verdicts: ClassVar[Mapping[str, Rule]] = {
        "policy": Rule("an action that is not finite", Event.FALL_BACK),
        "neurons": Rule("a neuron state that is not finite", Event.FALL_BACK),
        "silent": Rule("no neuron of a layer has fired for `layer_window`", Event.FALL_BACK),
        "firing": Rule("all neurons of a layer have fired for `layer_window`", Event.FALL_BACK),
        "saturation": Rule(
            "more than `max_saturation` of the actions in `action_window` at a limit",
            Event.FALL_BACK,
        ),
        "jitter": Rule("mean step of the actions above `max_action_step`", Event.FALL_BACK),
    }

    def __init__(self, limits: PolicyLimits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._actions = ActionWindow(limits, rate)
        self._neurons = NeuronWatch(limits, rate)

    def reset(self) -> None:
        """Forget the past, as the policy does."""
        self._actions.reset()
        self._neurons.reset()

    def check(self, moment: Moment) -> Verdict | None:
        """Say what is wrong with the tick that gave an action, or None."""
        policy, action = moment.policy, moment.action
        assert policy is not None and action is not None
        if not math.isfinite(action.sum()):
            return Verdict("policy", "the policy's output is not finite")
        return self._neurons.check(policy) or self._actions.check(action)


@dataclass(frozen=True)
class TimingLimits:
    """How regular ticks must be."""

    max_missed_share: float = setting(
        0.2, "share of a second's ticks that may be missed, or be late", low=0.0, high=1.0
    )
    max_tick_age: float = setting(
        0.05, "age in s of the odometry beyond which a tick is late", low=0.001, high=10.0
    )


class _Tally:
    """In how many of the last ticks something was so; kept as a number, not counted anew."""

    def __init__(self, ticks: int) -> None:
        self.count = 0
        self._last: deque[bool] = deque(maxlen=ticks)

    def add(self, so: bool) -> None:
        last = self._last
        if len(last) == last.maxlen:
            self.count -= last[0]
        last.append(so)
        self.count += so

    def is_full(self) -> bool:
        return len(self._last) == self._last.maxlen


class TimingGuard(Guard):
    """Judges the control periods of the last second, once a second has passed."""

    stage = Stage.FLIGHT
    verdicts: ClassVar[Mapping[str, Rule]] = {
        "rate": Rule(
            "more than `max_missed_share` of the last second's ticks missed", Event.FALL_BACK
        ),
        "late": Rule(
            "more than `max_missed_share` of the last second's ticks on odometry older than"
            " `max_tick_age`",
            Event.FALL_BACK,
        ),
    }

    def __init__(self, limits: TimingLimits, rate: float) -> None:
        """Judge a policy that ticks at `rate` Hz."""
        self._limits = limits
        self._rate = rate
        self._ticks = max(1, round(TIMING_WINDOW * rate))
        self.reset()

    def reset(self) -> None:
        """Forget all ticks."""
        self._missed, self._late = _Tally(self._ticks), _Tally(self._ticks)

    def check(self, moment: Moment) -> Verdict | None:
        """Take in a tick; in flight say whether too many were missed or late, or None."""
        assert moment.sample is not None
        age = (moment.now - moment.sample.stamp) * 1e-9
        for _ in range(min(moment.missed, self._ticks)):
            self._missed.add(True)
        self._missed.add(False)
        self._late.add(age > self._limits.max_tick_age)
        watched = moment.mode in WATCHED_MODES
        return self._judge() if watched and self._missed.is_full() else None

    def _judge(self) -> Verdict | None:
        share, limit = self._missed.count / self._ticks, self._limits.max_missed_share
        if share > limit:
            return Verdict(
                "rate",
                f"{share:.0%} of the ticks were missed: odometry comes at"
                f" {self._rate * (1.0 - share):.0f} Hz, slower than the policy's {self._rate:g} Hz",
            )
        share = self._late.count / self._ticks
        if share > limit:
            age = self._limits.max_tick_age * 1e3
            return Verdict(
                "late", f"{share:.0%} of the ticks came on odometry older than {age:.0f} ms"
            )
        return None

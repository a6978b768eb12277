"""Signs of a policy that has lost control: actions at their limits, or wild."""

from __future__ import annotations

from collections import deque

from numpy.typing import NDArray

from snn_controller.guards.limits import Limits
from snn_controller.guards.verdicts import Verdict

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

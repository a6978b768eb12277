"""Guards of the policy: actions, neurons, ticks."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from snn_controller.policy.artifact import Layer
from snn_controller.policy.runtime import Policy
from snn_controller.safety.guard import Moment
from snn_controller.safety.guards import Limits
from snn_controller.safety.policy import ActionWindow, NeuronWatch, PolicyGuard, TimingGuard
from snn_controller.safety.state_machine import Mode
from support.states import hovering, sample

LIMITS = Limits()
RATE = 100.0
ACTION_TICKS = round(LIMITS.action_window * RATE)
LAYER_TICKS = round(LIMITS.layer_window * RATE)


class FakePolicy:
    """A policy whose neurons do as they are told."""

    def __init__(self, **shares: float) -> None:
        self.shares, self.finite = shares, True
        self.metadata = SimpleNamespace(layers=[Layer(name, 1, 1, 1) for name in shares])

    def spike_shares(self) -> dict[str, float]:
        return self.shares

    def state_is_finite(self) -> bool:
        return self.finite


def ticks_until(limit: str, step: Any, most: int = 200) -> int | None:
    """Return after how many calls of `step(number)` a verdict of that name comes."""
    for number in range(most):
        verdict = step(number)
        if verdict is not None:
            assert verdict.limit == limit
            return number + 1
    return None


@pytest.mark.parametrize(("saturated", "expected"), [(3, None), (4, 28)])
def test_actions_at_their_limits(saturated: int, expected: int | None) -> None:
    guard = ActionWindow(LIMITS, RATE)
    action = np.array([1.0] * saturated + [0.2] * (4 - saturated), dtype=np.float32)
    assert ticks_until("saturation", lambda _: guard.check(action)) == expected


@pytest.mark.parametrize(("size", "finds"), [(0.29, False), (0.35, True)])
def test_wild_actions(size: float, finds: bool) -> None:
    guard = ActionWindow(LIMITS, RATE)
    found = ticks_until("jitter", lambda n: guard.check(np.full(4, size * (-1.0) ** n)))
    assert (found is not None) is finds
    assert not finds or found <= ACTION_TICKS + 1


def test_a_layer_may_be_silent_for_as_long_as_its_policy_says() -> None:
    guard, policy = NeuronWatch(LIMITS, RATE), FakePolicy(lif1=0.3, lif2=0.0)
    policy.metadata.layers[1] = Layer("lif2", 1, 1, 1, silence=0.5)
    assert ticks_until("silent", lambda _: guard.check(policy)) == 51


@pytest.mark.parametrize(("share", "limit"), [(0.0, "silent"), (1.0, "firing")])
def test_a_layer_that_falls_silent_or_fires_as_one(share: float, limit: str) -> None:
    guard, policy = NeuronWatch(LIMITS, RATE), FakePolicy(lif1=0.3, lif2=share)
    assert ticks_until(limit, lambda _: guard.check(policy)) == LAYER_TICKS


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_layer_that_recovers_in_time_is_left_alone(share: float) -> None:
    guard, policy = NeuronWatch(LIMITS, RATE), FakePolicy(lif1=share)

    def step(number: int) -> Any:
        policy.shares["lif1"] = 0.5 if number % LAYER_TICKS == 0 else share
        return guard.check(policy)

    assert ticks_until("never", step) is None


def test_neurons_that_are_not_finite() -> None:
    guard, policy = NeuronWatch(LIMITS, RATE), FakePolicy()
    policy.finite = False
    verdict = guard.check(policy)
    assert verdict is not None
    assert verdict.limit == "neurons"


def test_the_guard_of_the_policy_asks_all_and_forgets_on_reset() -> None:
    guard, policy = PolicyGuard(LIMITS, RATE), FakePolicy(lif1=0.0)

    def check(action: np.ndarray) -> Any:
        return guard.check(Moment(Mode.POLICY, policy=cast(Policy, policy), action=action))

    assert check(np.array([0.0, np.nan, 0.0, 0.0])).limit == "policy"
    for _ in range(3):
        assert ticks_until("silent", lambda _: check(np.zeros(4))) == LAYER_TICKS
        guard.reset()
    policy.shares["lif1"] = 0.5
    assert ticks_until("saturation", lambda _: check(np.ones(4))) is not None


def tick(age: float = 0.0, *, missed: int = 0, mode: Mode = Mode.POLICY) -> Moment:
    return Moment(mode, round(age * 1e9), sample(hovering(), 0), missed=missed)


@pytest.mark.parametrize(("every", "expected"), [(6, None), (4, "rate")])
def test_missed_ticks(every: int, expected: str | None) -> None:
    guard, verdict = TimingGuard(LIMITS, RATE), None
    for number in range(200):
        verdict = verdict or guard.check(tick(missed=1 if number % (every - 1) == 0 else 0))
    assert (verdict.limit if verdict else None) == expected
    if verdict is not None:
        assert "slower than the policy's 100 Hz" in verdict.reason


@pytest.mark.parametrize(("age", "expected"), [(0.049, None), (0.051, "late")])
def test_late_ticks(age: float, expected: str | None) -> None:
    guard = TimingGuard(LIMITS, RATE)
    for _ in range(99):
        assert guard.check(tick(age)) is None  # a second must have passed
    verdict = guard.check(tick(age))
    assert (verdict.limit if verdict else None) == expected


def test_late_ticks_are_counted_on_the_ground_and_judged_in_flight() -> None:
    guard = TimingGuard(LIMITS, RATE)
    assert not any(guard.check(tick(0.1, mode=Mode.ARMED)) for _ in range(200))
    verdict = guard.check(tick(mode=Mode.TAKEOFF))
    assert verdict is not None and verdict.limit == "late"
    guard.reset()
    assert guard.check(tick(0.1)) is None

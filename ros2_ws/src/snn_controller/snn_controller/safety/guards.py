"""The list of guards, and what follows from it: all limits, and all verdicts there are.

On the ground every verdict disarms, or refuses to arm. During a take-off that has not left the
ground yet, a lost state kills: motors off is a safe state there.
"""

from __future__ import annotations

from dataclasses import dataclass

from snn_controller.safety.envelope import EnvelopeGuard
from snn_controller.safety.estimate import EstimateGuard, EstimateLimits
from snn_controller.safety.guard import Guard, Rule, Stage
from snn_controller.safety.policy import PolicyGuard, PolicyLimits, TimingGuard, TimingLimits
from snn_controller.safety.rest import RestGuard
from snn_controller.safety.state_machine import Event
from snn_controller.safety.vehicle import VehicleGuard, VehicleLimits


@dataclass(frozen=True)
class Limits(VehicleLimits, PolicyLimits, TimingLimits, EstimateLimits):
    """The limits of a flight: parameters of the controller node, each beside its guard. SI."""


# Every guard there is. Those of one stage are all asked, in this order; the first verdict counts.
GUARDS: tuple[type[Guard], ...] = (
    EstimateGuard,
    EnvelopeGuard,
    PolicyGuard,
    TimingGuard,
    VehicleGuard,
    RestGuard,
)

# Verdicts that no guard gives: what the flight itself finds out about its course.
FLIGHT_RULES: dict[str, Rule] = {
    "takeoff": Rule("hover point not reached 15 s after it should have been", Event.FALL_BACK),
    "ground": Rule("centre of mass below 5 cm while the policy flies", Event.KILL),
    "descent": Rule("no valid state for `descent_time`", Event.KILL),
    "landing": Rule("ground not reached 15 s after it should have been", Event.KILL),
    "overturned": Rule(
        "beyond `max_tilt_deg` for `overturned_time` while the guide flies", Event.KILL
    ),
    "ended": Rule(
        "signal, launcher gone, deactivation; where the link has a pilot: hand over", Event.KILL
    ),
    "start": Rule("the task cannot begin here", Event.DISARM),
    "vehicle": Rule("the vehicle does not arm", Event.DISARM),
    "idle": Rule("armed for 30 s without a take-off", Event.DISARM),
}

RULES: dict[str, Rule] = {
    **{name: rule for guard in GUARDS for name, rule in guard.verdicts.items()},
    **FLIGHT_RULES,
}


def make_guards(limits: Limits, rate: float) -> tuple[tuple[Guard, ...], ...]:
    """Return new guards, those of each `Stage` at its number; `rate` is the policy's in Hz."""
    made = [guard(limits, rate) for guard in GUARDS]
    return tuple(tuple(guard for guard in made if guard.stage is stage) for stage in Stage)


def reaction_table() -> str:
    """Return the rules as a Markdown table, for the docs."""
    lines = ["| verdict | limit | in the air |", "|---|---|---|"]
    lines += [f"| `{n}` | {rule.meaning} | {rule.reaction.value} |" for n, rule in RULES.items()]
    return "\n".join(lines)

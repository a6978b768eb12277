"""Who flies, and what changes it: one table of states and events, pure and without ROS.

Everything that may command a flight does so by an event: the operator, the guards, the flight
itself. What the table does not hold does not happen: an operator's request is refused with the
reason, any other event leaves the state as it is. `docs/safety.md` shows the table as a picture.
"""

from __future__ import annotations

from enum import Enum


class Mode(str, Enum):
    """State of a flight."""

    __hash__ = str.__hash__  # that of Enum is slower, and sets of modes are asked all the time

    DISARMED = "disarmed"
    CHECKS = "checks"
    ARMING = "arming"
    ARMED = "armed"
    TAKEOFF = "takeoff"
    POLICY = "policy"
    LAND = "land"
    FALLBACK = "fallback"
    DESCENT = "descent"
    KILLED = "killed"
    PILOT = "pilot"


class Event(str, Enum):
    """What may change the state."""

    ARM = "arm"
    PASS = "pass"
    TAKE_OFF = "take off"
    ENGAGE = "engage"
    LAND = "land"
    TOUCH_DOWN = "touch down"
    DISARM = "disarm"
    FALL_BACK = "fall back"
    LOSE_STATE = "lose state"
    RECOVER = "recover"
    KILL = "kill"
    HAND_OVER = "hand over"


OPERATOR_EVENTS = (
    Event.ARM,
    Event.DISARM,
    Event.TAKE_OFF,
    Event.LAND,
    Event.KILL,
    Event.HAND_OVER,
)
GUARD_EVENTS = (
    Event.DISARM,
    Event.LAND,
    Event.FALL_BACK,
    Event.LOSE_STATE,
    Event.KILL,
    Event.HAND_OVER,
)

TRANSITIONS: dict[tuple[Mode, Event], Mode] = {
    (Mode.DISARMED, Event.ARM): Mode.CHECKS,
    (Mode.DISARMED, Event.KILL): Mode.KILLED,
    (Mode.CHECKS, Event.PASS): Mode.ARMING,
    (Mode.CHECKS, Event.DISARM): Mode.DISARMED,
    (Mode.CHECKS, Event.KILL): Mode.KILLED,
    (Mode.ARMING, Event.PASS): Mode.ARMED,
    (Mode.ARMING, Event.DISARM): Mode.DISARMED,
    (Mode.ARMING, Event.HAND_OVER): Mode.PILOT,
    (Mode.ARMING, Event.KILL): Mode.KILLED,
    (Mode.ARMED, Event.TAKE_OFF): Mode.TAKEOFF,
    (Mode.ARMED, Event.ENGAGE): Mode.POLICY,
    (Mode.ARMED, Event.DISARM): Mode.DISARMED,
    (Mode.ARMED, Event.HAND_OVER): Mode.PILOT,
    (Mode.ARMED, Event.KILL): Mode.KILLED,
    (Mode.TAKEOFF, Event.ENGAGE): Mode.POLICY,
    (Mode.TAKEOFF, Event.LAND): Mode.LAND,
    (Mode.TAKEOFF, Event.FALL_BACK): Mode.FALLBACK,
    (Mode.TAKEOFF, Event.LOSE_STATE): Mode.DESCENT,
    (Mode.TAKEOFF, Event.HAND_OVER): Mode.PILOT,
    (Mode.TAKEOFF, Event.KILL): Mode.KILLED,
    (Mode.POLICY, Event.LAND): Mode.LAND,
    (Mode.POLICY, Event.FALL_BACK): Mode.FALLBACK,
    (Mode.POLICY, Event.LOSE_STATE): Mode.DESCENT,
    (Mode.POLICY, Event.HAND_OVER): Mode.PILOT,
    (Mode.POLICY, Event.KILL): Mode.KILLED,
    (Mode.LAND, Event.TOUCH_DOWN): Mode.DISARMED,
    (Mode.LAND, Event.LOSE_STATE): Mode.DESCENT,
    (Mode.LAND, Event.HAND_OVER): Mode.PILOT,
    (Mode.LAND, Event.KILL): Mode.KILLED,
    (Mode.FALLBACK, Event.TOUCH_DOWN): Mode.DISARMED,
    (Mode.FALLBACK, Event.LOSE_STATE): Mode.DESCENT,
    (Mode.FALLBACK, Event.HAND_OVER): Mode.PILOT,
    (Mode.FALLBACK, Event.KILL): Mode.KILLED,
    (Mode.DESCENT, Event.RECOVER): Mode.FALLBACK,
    (Mode.DESCENT, Event.HAND_OVER): Mode.PILOT,
    (Mode.DESCENT, Event.KILL): Mode.KILLED,
    (Mode.PILOT, Event.KILL): Mode.KILLED,
}

COMMANDERS: dict[Mode, str] = {
    Mode.DISARMED: "nobody, motors off",
    Mode.CHECKS: "nobody, motors off",
    Mode.ARMING: "nobody, motors off",
    Mode.ARMED: "nobody, motors off",
    Mode.TAKEOFF: "the guide",
    Mode.POLICY: "the policy",
    Mode.LAND: "the guide",
    Mode.FALLBACK: "the guide",
    Mode.DESCENT: "the guide by dead reckoning, or equal rotors",
    Mode.KILLED: "nobody, motors off until a new activation",
    Mode.PILOT: "the pilot, nothing is sent until a new activation",
}
GROUND_MODES = frozenset({Mode.DISARMED, Mode.CHECKS, Mode.ARMING, Mode.ARMED})
GUIDED_MODES = frozenset({Mode.TAKEOFF, Mode.LAND, Mode.FALLBACK})
MOTORLESS_MODES = frozenset({*GROUND_MODES, Mode.KILLED})
FINAL_MODES = frozenset({Mode.KILLED, Mode.PILOT})

_FINAL_REASON = "the flight is over; deactivate and activate the controller for a new one"
_REFUSALS: dict[Event, str] = {
    Event.ARM: "only a disarmed drone can be armed",
    Event.DISARM: "a drone in the air would fall; land it, or kill its motors",
    Event.TAKE_OFF: "only an armed drone on the ground takes off; arm it first",
    Event.LAND: "only a drone that takes off or is flown by the policy can be told to land",
    Event.HAND_OVER: "only an armed drone can be left to its pilot",
}


def next_mode(mode: Mode, event: Event) -> Mode | None:
    """Return the state that an event leads to, or None where it changes nothing."""
    return TRANSITIONS.get((mode, event))


def refusal(mode: Mode, event: Event) -> str:
    """Return the sentence that refuses an operator's request in a state that does not take it."""
    if mode in FINAL_MODES:
        why = _FINAL_REASON
    elif event is Event.DISARM and mode is Mode.DISARMED:
        why = "it is disarmed already"
    else:
        why = _REFUSALS.get(event, "an operator cannot ask for that")
    return f"'{event.value}' is refused in state {mode.value}: {why}"


def allowed_events(mode: Mode, events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return which of some events change a state."""
    return tuple(event for event in events if (mode, event) in TRANSITIONS)


def state_diagram() -> str:
    """Return the table as a Mermaid state diagram; `kill` leads from every state to `killed`."""
    arrows: dict[tuple[Mode, Mode], list[str]] = {}
    for (mode, event), target in TRANSITIONS.items():
        if event is not Event.KILL:
            arrows.setdefault((mode, target), []).append(event.value)
    lines = ["stateDiagram-v2", "    [*] --> disarmed"]
    for (mode, target), events in arrows.items():
        lines.append(f"    {mode.value} --> {target.value}: {', '.join(events)}")
    lines.append("    note right of killed: kill leads here from every state")
    return "\n".join(lines)


def commander_table() -> str:
    """Return who commands in each state and which events an operator and the guards may raise."""
    lines = ["| state | who commands | an operator may | guards may |", "|---|---|---|---|"]
    for mode in Mode:
        cells = [
            ", ".join(event.value for event in allowed_events(mode, events)) or "-"
            for events in (OPERATOR_EVENTS, GUARD_EVENTS)
        ]
        lines.append(f"| `{mode.value}` | {COMMANDERS[mode]} | {' | '.join(cells)} |")
    return "\n".join(lines)

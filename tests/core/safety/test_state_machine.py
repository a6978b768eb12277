"""The table of states and events: what must hold of it, whatever it contains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.safety.state_machine import (
    FINAL_MODES,
    GROUND_MODES,
    GUARD_EVENTS,
    MOTORLESS_MODES,
    OPERATOR_EVENTS,
    TRANSITIONS,
    Event,
    Mode,
    commander_table,
    next_mode,
    refusal,
    state_diagram,
)

AIR = set(Mode) - GROUND_MODES - FINAL_MODES


def test_every_state_but_killed_can_be_killed() -> None:
    for mode in set(Mode) - {Mode.KILLED}:
        assert next_mode(mode, Event.KILL) is Mode.KILLED


def test_nothing_leads_out_of_killed_and_only_kill_out_of_the_pilots_hands() -> None:
    assert not [event for event in Event if next_mode(Mode.KILLED, event)]
    assert [event for event in Event if next_mode(Mode.PILOT, event)] == [Event.KILL]


def test_motors_turn_only_after_checks_arming_and_armed() -> None:
    entries = {
        mode for (mode, _), target in TRANSITIONS.items() if mode in GROUND_MODES and target in AIR
    }
    assert entries == {Mode.ARMED}
    assert {m for (m, _), t in TRANSITIONS.items() if t is Mode.ARMED} == {Mode.ARMING}
    assert {m for (m, _), t in TRANSITIONS.items() if t is Mode.ARMING} == {Mode.CHECKS}
    assert {m for (m, _), t in TRANSITIONS.items() if t is Mode.CHECKS} == {Mode.DISARMED}


def test_no_disarming_in_the_air() -> None:
    for mode in AIR:
        assert next_mode(mode, Event.DISARM) is None


def test_every_state_in_the_air_answers_a_lost_state_and_a_pilot() -> None:
    for mode in AIR - {Mode.DESCENT}:
        assert next_mode(mode, Event.LOSE_STATE) is Mode.DESCENT
    for mode in AIR:
        assert next_mode(mode, Event.HAND_OVER) is Mode.PILOT


def test_the_policy_never_gets_control_back_from_a_guard() -> None:
    assert {m for (m, _), t in TRANSITIONS.items() if t is Mode.POLICY} == {
        Mode.ARMED,
        Mode.TAKEOFF,
    }
    assert not [t for (m, e), t in TRANSITIONS.items() if e in GUARD_EVENTS and t is Mode.POLICY]


def test_every_state_is_reached_and_every_event_used() -> None:
    assert {*TRANSITIONS.values()} == set(Mode)
    assert {event for _, event in TRANSITIONS} == set(Event)


@given(st.lists(st.sampled_from(list(Event)), max_size=40))
def test_no_sequence_of_events_skips_the_checks(events: list[Event]) -> None:
    mode, seen = Mode.DISARMED, [Mode.DISARMED]
    for event in events:
        mode = next_mode(mode, event) or mode
        seen.append(mode)
    if any(m not in MOTORLESS_MODES and m is not Mode.PILOT for m in seen):
        assert {Mode.CHECKS, Mode.ARMING, Mode.ARMED} <= set(seen)


@pytest.mark.parametrize("mode", Mode)
@pytest.mark.parametrize("event", OPERATOR_EVENTS)
def test_a_request_is_taken_or_refused_with_a_reason(mode: Mode, event: Event) -> None:
    if next_mode(mode, event) is None:
        sentence = refusal(mode, event)
        assert sentence.startswith(f"'{event.value}' is refused in state {mode.value}: ")
        assert len(sentence.split(": ", 1)[1]) > 10


@pytest.mark.parametrize(
    ("mode", "event", "words"),
    [
        (Mode.POLICY, Event.DISARM, "would fall"),
        (Mode.DISARMED, Event.DISARM, "disarmed already"),
        (Mode.KILLED, Event.ARM, "flight is over"),
        (Mode.DISARMED, Event.TAKE_OFF, "arm it first"),
        (Mode.DISARMED, Event.PASS, "cannot ask"),
    ],
)
def test_refusals_say_what_to_do(mode: Mode, event: Event, words: str) -> None:
    assert words in refusal(mode, event)


def test_the_picture_and_the_table_hold_every_state() -> None:
    picture, table = state_diagram(), commander_table()
    for mode in Mode:
        assert mode.value in picture
        assert f"| `{mode.value}` |" in table
    assert "policy --> fallback: fall back" in picture
    assert "disarmed --> killed" not in picture  # kill stands in the note

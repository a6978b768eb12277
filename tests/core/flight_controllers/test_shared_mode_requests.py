from __future__ import annotations

from types import SimpleNamespace

import pytest

from snn_controller.flight_controllers.shared.autopilot import (
    ARM_DISARM,
    DO_SET_MODE,
    PX4_MODES,
    STREAM_TIME,
    ModeRequests,
    Wish,
    next_request,
)

PERIOD = 20_000_000  # ns


def vehicle(**changes: object) -> SimpleNamespace:
    fields = dict(
        armed=False, takes_setpoints=False, mode="POSCTL", modes=PX4_MODES, refusals={}, words=()
    )
    return SimpleNamespace(**(fields | changes))


@pytest.mark.parametrize(
    ("wish", "changes", "streamed", "command", "parameters"),
    [
        (Wish.NOTHING, {"armed": True}, 9.0, None, None),
        (Wish.CONTROL, {}, STREAM_TIME - 0.1, None, None),
        (Wish.CONTROL, {}, STREAM_TIME, DO_SET_MODE, (1.0, 6.0, 0.0)),
        (Wish.CONTROL, {"takes_setpoints": True}, STREAM_TIME, ARM_DISARM, (1.0,)),
        (Wish.CONTROL, {"takes_setpoints": True, "armed": True}, STREAM_TIME, None, None),
        (Wish.CONTROL, {"modes": None}, STREAM_TIME, None, None),
        (Wish.DISARM, {"armed": True}, 0.0, ARM_DISARM, (0.0,)),
        (Wish.DISARM, {}, 0.0, None, None),
        (Wish.KILL, {"armed": True}, 0.0, ARM_DISARM, (0.0, 21196.0)),
        (Wish.LAND, {"armed": True}, 0.0, DO_SET_MODE, (1.0, 4.0, 6.0)),
        (Wish.LAND, {}, 0.0, None, None),
    ],
)
def test_each_wish_asks_for_what_is_missing(wish, changes, streamed, command, parameters) -> None:
    request = next_request(wish, vehicle(**changes), streamed=streamed)
    assert (request and request.command) == command
    assert (request and request.parameters) == parameters


def test_only_kill_is_forced() -> None:
    for wish in set(Wish) - {Wish.KILL}:
        for armed in (False, True):
            for taken in (False, True):
                asked = next_request(
                    wish, vehicle(armed=armed, takes_setpoints=taken), streamed=9.0
                )
                assert asked is None or 21196.0 not in asked.parameters


def stream(requests: ModeRequests, subject: SimpleNamespace, start: int, seconds: float) -> list:
    asked = []
    for now in range(start, start + round(seconds * 1e9), PERIOD):
        asked.append(requests.advance(subject, now))
        requests.note_setpoint(now)
    return [each for each in asked if each is not None]


def test_requests_are_repeated_and_counted() -> None:
    requests = ModeRequests()
    requests.want(Wish.CONTROL)
    asked = stream(requests, vehicle(), 0, STREAM_TIME + 2.5)
    assert [count for _, count in asked] == [0, 1, 2]
    refused = vehicle(refusals={DO_SET_MODE: "denied"}, words=("no home", "no GPS"))
    assert requests.refusal(refused) == "mode OFFBOARD denied: no home; no GPS"


def test_a_gap_in_the_stream_begins_it_anew() -> None:
    requests = ModeRequests()
    requests.want(Wish.CONTROL)
    assert stream(requests, vehicle(), 0, STREAM_TIME - 0.1) == []
    assert stream(requests, vehicle(), 5_000_000_000, STREAM_TIME - 0.1) == []


@pytest.mark.parametrize("lost", [{"takes_setpoints": False}, {"armed": False}])
def test_lost_control_is_never_asked_for_again(lost: dict) -> None:
    requests, subject = ModeRequests(), vehicle(armed=True, takes_setpoints=True)
    requests.want(Wish.CONTROL)
    assert stream(requests, subject, 0, 2.0) == []
    assert requests.refusal(subject) == ""
    vars(subject).update(lost)
    assert stream(requests, subject, 2_000_000_000, 5.0) == []
    assert requests.wish is Wish.NOTHING
    assert "its pilot's" in requests.refusal(subject)
    requests.want(Wish.CONTROL)
    assert requests.refusal(subject) == ""

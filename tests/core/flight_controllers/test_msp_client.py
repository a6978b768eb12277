from __future__ import annotations

import pytest

from snn_controller.errors import UserError
from snn_controller.flight_controllers.betaflight import msp as msp_client
from snn_controller.flight_controllers.betaflight import msp_messages as msp
from snn_controller.flight_controllers.betaflight.msp import MspClient
from support.betaflight_double import SETTINGS, BetaflightDouble


def test_a_question_is_answered() -> None:
    client = MspClient(BetaflightDouble(), "tcp:double")
    assert client.ask(msp.RC_TUNING) == SETTINGS[msp.RC_TUNING]


def test_a_lost_answer_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msp_client, "ANSWER_TIME", 0.01)
    vehicle = BetaflightDouble()
    read, lost = vehicle.read, [b""] * 2

    def read_late(timeout: float) -> bytes:
        answer = read(timeout)
        return lost.pop() if answer and lost else answer

    monkeypatch.setattr(vehicle, "read", read_late)
    assert MspClient(vehicle, "tcp:double").ask(msp.VARIANT) == b"BTFL"
    assert lost == []


def test_nobody_answering_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msp_client, "ANSWER_TIME", 0.01)
    vehicle = BetaflightDouble()
    vehicle.mute = True
    with pytest.raises(UserError, match="nobody answers MSP at tcp:double"):
        MspClient(vehicle, "tcp:double").ask(msp.VARIANT)


def test_a_connection_that_breaks_is_told() -> None:
    vehicle = BetaflightDouble()
    vehicle.lost = ConnectionError("gone")
    with pytest.raises(UserError, match=r"connection to tcp:double is lost \(gone\)"):
        MspClient(vehicle, "tcp:double").ask(msp.VARIANT)


def test_a_command_that_is_not_known_is_told() -> None:
    vehicle = BetaflightDouble()
    del vehicle.settings[msp.RC_DEADBAND]
    with pytest.raises(UserError, match="refuses MSP command 125"):
        MspClient(vehicle, "tcp:double").ask(msp.RC_DEADBAND)

"""What a flight leaves behind in its folder, also where a part of it cannot be drawn."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from snn_controller.errors import UserError
from snn_controller.flight.parameters import ControllerSettings
from snn_controller.flight_log.store import read_record
from snn_controller.policy.artifact import Layer
from snn_controller.report.page.page import NO_PLOTLY
from snn_controller.safety.guards import Limits
from support.synthetic_flight import LAYERS, make_flight

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("matplotlib", reason="matplotlib is not installed")
from snn_controller.nodes.controller import finish


class Logger:
    """Remembers what a node would have said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def warning(self, text: str) -> None:
        self.said.append(f"warning: {text}")

    def error(self, text: str) -> None:
        self.said.append(f"error: {text}")


def flown() -> Any:
    layers = tuple(Layer(name, size, 8, 8) for name, size in LAYERS.items())
    metadata = SimpleNamespace(action_kind="motors", layers=layers, input_macs=640)
    policy = SimpleNamespace(path=Path("a/policy.onnx"), sha256="ab" * 32, metadata=metadata)
    return SimpleNamespace(
        log=make_flight(seconds=4.0), policy=policy, landed_on_request=False,
        plan=SimpleNamespace(lands=False, ground_height=0.0), limits=Limits(),
    )  # fmt: skip


def finished(folder: Path, **settings: Any) -> tuple[int, list[str], list[str]]:
    logger = Logger()
    code = finish.finish_flight(
        flown(), ControllerSettings(duration=4.0, **settings), folder, logger
    )
    return code, logger.said, sorted(x.name for x in folder.iterdir())


def test_everything_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snn_controller.report.page.page.plotly_script", lambda: b"")
    monkeypatch.setattr(finish, "plotly_script", lambda: b"")
    code, said, files = finished(tmp_path)
    assert (code, said) == (0, [])
    assert files == ["flight.html", "flight.npz", "flight.png", "report.json"]
    assert read_record(tmp_path).report["network"] == {"neurons": 96, "macs": 640}


def test_without_plotly_the_picture_remains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> bytes:
        raise UserError(NO_PLOTLY)

    monkeypatch.setattr(finish, "plotly_script", missing)
    code, said, files = finished(tmp_path)
    assert (code, said) == (0, [f"warning: {NO_PLOTLY}"])
    assert files == ["flight.npz", "flight.png", "report.json"]


def test_nothing_is_drawn_where_nobody_wants_it(tmp_path: Path) -> None:
    assert finished(tmp_path, plot=False) == (0, [], ["flight.npz", "report.json"])

"""What Foxglove's layout names: topics, field paths and frames, panel by panel."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from snn_controller.paths import share_directory

# Kind of panel -> types that it can show; None for any.
PANELS: dict[str, tuple[str, ...] | None] = {
    "3D": (
        "visualization_msgs/msg/MarkerArray",
        "nav_msgs/msg/Path",
        "nav_msgs/msg/Odometry",
        "geometry_msgs/msg/PoseStamped",
    ),
    "Plot": None,
    "DiagnosticSummary": ("diagnostic_msgs/msg/DiagnosticArray",),
    "RawMessages": None,
}


@cache
def layout() -> dict[str, Any]:
    return json.loads((share_directory() / "config" / "foxglove.json").read_text())


def topics_of(panel: str) -> set[str]:
    """Return the topics that a panel shows."""
    kind, settings = panel.partition("!")[0], layout()["configById"][panel]
    if kind == "3D":
        return set(settings["topics"])
    if kind == "Plot":
        return {path["value"].partition(".")[0] for path in settings["paths"]}
    return {settings[{"DiagnosticSummary": "topicToRender", "RawMessages": "topicPath"}[kind]]}


def frames_of(panel: str) -> set[str]:
    """Return the frames that a panel names."""
    frame = layout()["configById"][panel].get("followTf")
    return set() if frame is None else {frame}


def plotted() -> list[tuple[str, str]]:
    """Return what is plotted: a path such as `/motors.position[0]`, and its label."""
    panels = layout()["configById"]
    return [
        (path["value"], path["label"])
        for name, settings in panels.items()
        if name.startswith("Plot!")
        for path in settings["paths"]
    ]


def look_up(path: str, message: Any) -> Any:
    """Return what a path leads to in a message of its topic."""
    for field in path.replace("[", ".[").split(".")[1:]:
        is_index = field.startswith("[")
        message = message[int(field[1:-1])] if is_index else getattr(message, field)
    return message

"""The facts of a flight that its ticks do not hold: what flew, what was asked, all parameters.

One JSON object; `docs/interfaces.md` lists its keys.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from snn_controller.flight import ControllerSettings
from snn_controller.flight_log import MODES, TICK_VERSION
from snn_controller.policy import Policy
from snn_controller.report.summary import versions

INFO_VERSION = 1
SECRETS = ("signing_key",)  # where a key lies is nobody's business


def flight_info(policy: Policy, settings: ControllerSettings) -> dict[str, Any]:
    """Return the facts of a flight that begins, fit for JSON."""
    metadata = policy.metadata
    return {
        "info_version": INFO_VERSION,
        "tick_version": TICK_VERSION,
        "modes": list(MODES),
        "task": settings.task,
        "seed": settings.seed,
        "asked_duration_s": settings.duration,
        "link": settings.link,
        "lockstep": settings.lockstep,
        "airframe": settings.airframe,
        "policy": policy.path.name,
        "policy_path": str(policy.path.absolute()),
        "policy_sha256": policy.sha256,
        "observation_version": metadata.observation_version,
        "action_kind": metadata.action_kind,
        "control_rate": metadata.control_rate,
        "target_return": policy.target_return,
        "layers": {layer.name: layer.neurons for layer in metadata.layers},
        "geofence": list(settings.geofence),
        "parameters": {k: v for k, v in asdict(settings).items() if k not in SECRETS},
        "versions": versions(),
    }

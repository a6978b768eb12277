"""What a replay comes to: figures for JSON, and one screen of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from snn_controller.replay.replay import Replay, odometry_agreement
from snn_controller.report import versions

REPLAY_VERSION = 1
CLOSE = 0.01  # of actions in [-1, 1]: a hundredth is nothing to a motor
DECIMALS = 9


def summarise_replay(replay: Replay) -> dict[str, Any]:
    """Return the figures of a replay: JSON types only."""
    flight, judged = replay.flight, replay.judged
    found, rebuilt = odometry_agreement(flight)
    return {
        "replay_version": REPLAY_VERSION,
        "bag": str(flight.source),
        "flight": flight.number,
        "task": flight.info["task"],
        "seed": flight.info.get("seed"),
        "flown": {"policy": flight.info.get("policy"), "sha256": flight.info["policy_sha256"]},
        "replayed": {"policy": replay.policy.path.name, "sha256": replay.policy.sha256},
        "same_artifact": replay.same_artifact,
        "ticks": len(flight),
        "lost_ticks": int((np.diff(flight.index, prepend=-1) - 1).clip(min=0).sum()),
        "policy_ticks": int(flight.ran.sum()),
        "judged_ticks": int(judged.sum()),
        "equal_ticks": int(replay.equal.sum()),
        "resets": int(flight.reset.sum()),
        "odometry_ticks": found,
        "odometry_equal_ticks": rebuilt,
        "first_difference": _first_difference(replay),
        "differences": _differences(replay),
        "damage": list(flight.damage),
        "flown_versions": flight.info.get("versions", {}),
        "versions": versions(),
    }


def replays_exactly(summary: Mapping[str, Any]) -> bool:
    """Whether every action that could be judged is the recorded one to the bit."""
    return summary["equal_ticks"] == summary["judged_ticks"]


def _first_difference(replay: Replay) -> dict[str, Any] | None:
    row = replay.first_difference
    if row is None:
        return None
    flight = replay.flight
    return {
        "tick": int(flight.index[row]),
        "time_s": round(float(flight.time[row]), DECIMALS),
        "mode": str(flight.mode[row]),
        "recorded": _numbers(flight.action[row]),
        "replayed": _numbers(replay.actions[row]),
    }


def _differences(replay: Replay) -> dict[str, Any]:
    """Return the figures of |replayed - recorded| over the judged ticks whose actions are finite.

    `per_action` is the root mean square of each of the four.
    """
    recorded = replay.flight.action[replay.judged].astype(np.float64)
    replayed = replay.actions[replay.judged].astype(np.float64)
    offset = replayed - recorded
    offset = offset[np.isfinite(offset).all(axis=1)]
    if not offset.size:
        return dict.fromkeys(("mean", "rms", "largest", "per_action", "close_share"))
    size = np.abs(offset)
    return {
        "mean": round(float(size.mean()), DECIMALS),
        "rms": round(float(np.sqrt((offset**2).mean())), DECIMALS),
        "largest": round(float(size.max()), DECIMALS),
        "per_action": _numbers(np.sqrt((offset**2).mean(axis=0))),
        "close_share": round(float((size.max(axis=1) <= CLOSE).mean()), DECIMALS),
    }


def _numbers(values: Any) -> list[float | None]:
    return [round(float(x), DECIMALS) if np.isfinite(x) else None for x in values]


def format_replay(summary: Mapping[str, Any]) -> str:
    """Return one screen of text that says how a replay went."""
    rows = {
        "flight": f"{summary['task']}, seed {summary['seed']}, {summary['ticks']:,} ticks",
        "flown": _policy(summary["flown"]),
        "replayed": _policy(summary["replayed"]),
        "judged": _judged(summary),
        "equal": f"{summary['equal_ticks']:,} of {summary['judged_ticks']:,} ticks to the bit",
        "odometry": _odometry(summary),
        "first": _first(summary["first_difference"]),
        "difference": _size(summary),
        "versions": _versions(summary),
    }
    lines = [f"  {name:<11} {text}" for name, text in rows.items() if text]
    return "\n".join([_verdict(summary), *lines, *summary["damage"]])


def _verdict(summary: Mapping[str, Any]) -> str:
    if not summary["same_artifact"]:
        return "ANOTHER POLICY on the inputs of this flight:"
    return "EQUAL" if replays_exactly(summary) else "DIFFERENT, though the policy file is the same:"


def _policy(policy: Mapping[str, Any]) -> str:
    return f"{policy['policy']} ({str(policy['sha256'])[:12]})"


def _judged(summary: Mapping[str, Any]) -> str:
    judged, ran = summary["judged_ticks"], summary["policy_ticks"]
    text = f"{judged:,} of {ran:,} ticks of the policy, {summary['resets']} resets"
    if judged < ran:
        text += f"; {summary['lost_ticks']:,} ticks are lost, and what follows up to a reset"
    return text


def _odometry(summary: Mapping[str, Any]) -> str:
    found, equal = summary["odometry_ticks"], summary["odometry_equal_ticks"]
    if not found:
        return "not in the bag: the vehicle told it by its link, so states come from the ticks"
    return f"gives the same observation to the bit in {equal:,} of {found:,} ticks"


def _first(first: Mapping[str, Any] | None) -> str:
    if first is None:
        return ""
    recorded, replayed = (
        " ".join("nan" if x is None else f"{x:+.6f}" for x in first[name])
        for name in ("recorded", "replayed")
    )
    return (
        f"difference at tick {first['tick']} ({first['time_s']:.2f} s, {first['mode']}):"
        f" {recorded} was recorded, {replayed} is replayed"
    )


def _size(summary: Mapping[str, Any]) -> str:
    sizes = summary["differences"]
    if replays_exactly(summary) or sizes["mean"] is None:
        return ""
    return (
        f"mean {sizes['mean']:.2g}, RMS {sizes['rms']:.2g}, largest {sizes['largest']:.2g};"
        f" {sizes['close_share']:.0%} of the ticks are within {CLOSE:g}"
    )


def _versions(summary: Mapping[str, Any]) -> str:
    """Name the parts that are of another version than in flight, where actions differ."""
    if replays_exactly(summary) or not summary["same_artifact"]:
        return ""
    flown, now = summary["flown_versions"], summary["versions"]
    changed = [
        f"{part} {flown[part]} then, {now[part]} now"
        for part in sorted(set(flown) & set(now))
        if flown[part] != now[part]
    ]
    return ", ".join(changed) or "the same as in flight, so the machine may be another"

"""A recorded flight fed to a policy again, tick by tick, and where its actions differ.

The policy that flew gives the same actions to the bit; another one is told how far it is off on
the same inputs, which is not how it would have flown: it would have come elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.flight_log import RecordedFlight
from snn_controller.paths import policy_path, share_directory
from snn_controller.policy import Policy
from snn_controller.report import versions
from snn_controller.vehicle import ACTION_SIZE, Array

REPLAY_VERSION = 1
CLOSE = 0.01  # of actions in [-1, 1]: a hundredth is nothing to a motor
DECIMALS = 9


@dataclass(frozen=True)
class ReplayedFlight:
    """What a policy answers to a recorded flight, with one row a tick."""

    flight: RecordedFlight
    policy: Policy
    actions: NDArray[np.float32]  # (ticks, 4), NaN where not judged
    judged: NDArray[np.bool_]  # (ticks,) the network ran, and all it saw since its reset is known
    equal: NDArray[np.bool_]  # (ticks,) judged, and every action is the recorded one to the bit
    difference: Array  # (ticks,) largest of the four, NaN where not judged

    @property
    def same_artifact(self) -> bool:
        """Whether the policy is the very file that flew."""
        return self.policy.sha256 == self.flight.info["policy_sha256"]

    @property
    def first_difference(self) -> int | None:
        """Row of the first tick that differs, None where none does."""
        rows = np.flatnonzero(self.judged & ~self.equal)
        return int(rows[0]) if rows.size else None


def find_policy(flight: RecordedFlight, given: str = "") -> Policy:
    """Load the policy of a file or a shipped one's name, by default the one that flew.

    Raises:
        UserError: It is not to be found, or gives another kind of action at another rate.
    """
    info = flight.info
    expected: dict[str, Any] = {key: info[key] for key in ("control_rate", "action_kind")}
    if given:
        return _aimed(Policy.load(policy_path(given), **expected), info)
    shipped = sorted((share_directory() / "policies").glob("*.onnx"))
    for path in (Path(str(info.get("policy_path", ""))), *shipped):
        policy = _load_if(path, str(info["policy_sha256"]), expected)
        if policy is not None:
            return _aimed(policy, info)
    raise UserError(
        f"policy {info.get('policy')} with the hash {info['policy_sha256']} that flew is not at"
        f" {info.get('policy_path')} any more; give it, or another one, with --policy FILE"
    )


def _aimed(policy: Policy, info: Mapping[str, Any]) -> Policy:
    """Return a policy that is asked for the return that the flight was asked for, if any was."""
    if policy.target_return is not None and info.get("target_return") is not None:
        policy.aim(float(info["target_return"]))
    return policy


def _load_if(path: Path, sha256: str, expected: dict[str, Any]) -> Policy | None:
    """Load a policy, or return None where it is not the one with this hash."""
    try:
        return Policy.load(path, sha256=sha256, **expected)
    except UserError:
        return None


def replay(flight: RecordedFlight, policy: Policy) -> ReplayedFlight:
    """Feed a recorded flight to a policy, which is reset wherever it was in flight.

    Raises:
        UserError: The policy never ran in the flight, or nothing of it can be judged.
    """
    if not flight.ran.any():
        raise UserError(
            f"the policy never ran in {flight.source}, so there is nothing to compare; choose a"
            " flight in which it took over"
        )
    actions = np.full((len(flight), ACTION_SIZE), np.nan, dtype=np.float32)
    judged = np.zeros(len(flight), dtype=bool)
    known, lost = False, flight.lost_before
    observe = policy.metadata.observation.observe
    for row in range(len(flight)):
        known &= not lost[row]  # the network may have run in what the bag lacks
        if not flight.ran[row]:
            continue
        if flight.reset[row]:
            policy.reset()
            known = True
        if known:
            judged[row] = True
            actions[row] = policy.step(
                observe(flight.state_at(row), flight.reference_at(row)),
                last_applied_action=flight.last_action[row],
            )
    if not judged.any():
        raise UserError(
            f"{flight.source} lacks the ticks in which the policy was reset, so nothing of it can"
            " be judged; record the flight from its start"
        )
    equal, difference = _compare(flight.action, actions, judged)
    return ReplayedFlight(flight, policy, actions, judged, equal, difference)


def _compare(
    recorded: NDArray[np.float32], replayed: NDArray[np.float32], judged: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], Array]:
    same_bits = recorded.view(np.uint32) == replayed.view(np.uint32)
    with np.errstate(invalid="ignore"):
        difference = np.abs(replayed.astype(np.float64) - recorded).max(axis=1)
    return judged & same_bits.all(axis=1), np.where(judged, difference, np.nan)


def odometry_agreement(flight: RecordedFlight) -> tuple[int, int]:
    """Count ticks whose odometry is in the bag, and those that see the same in it to the bit.

    Only ticks in which the network ran count. A flight controller tells its odometry by its link,
    so such a bag has none.
    """
    found = equal = 0
    observe = flight.observation.observe
    for row in np.flatnonzero(flight.ran).tolist():
        odometry = flight.odometry.get(int(flight.stamp[row]))
        if odometry is None:
            continue
        found += 1
        reference = flight.reference_at(row)
        seen, again = observe(flight.state_at(row), reference), observe(odometry.state, reference)
        equal += seen.tobytes() == again.tobytes()
    return found, equal


def summarise_replay(replay: ReplayedFlight) -> dict[str, Any]:
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


def _first_difference(replay: ReplayedFlight) -> dict[str, Any] | None:
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


def _differences(replay: ReplayedFlight) -> dict[str, Any]:
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

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
from snn_controller.vehicle import ACTION_SIZE, Array


@dataclass(frozen=True)
class Replay:
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


def replay(flight: RecordedFlight, policy: Policy) -> Replay:
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
    return Replay(flight, policy, actions, judged, *_compare(flight.action, actions, judged))


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

"""Small episodes of random numbers, for tests of what is done with them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from snn_controller.vehicle.observation import OBSERVATION_VERSION
from snn_sim.task.reward import END_COEFFICIENTS
from snn_training.data.episodes import EpisodeSet


def make_episodes(
    lengths: Sequence[int],
    *,
    skill: str = "good",
    skills: Sequence[str] | None = None,
    seed: int = 0,
    **told: Any,
) -> EpisodeSet:
    """Return episodes of these lengths; `told` replaces entries of their metadata."""
    rng, count, steps = np.random.default_rng(seed), len(lengths), max(lengths)
    alive = np.arange(steps) < np.array(lengths)[:, None]
    seen = np.arange(steps + 1) <= np.array(lengths)[:, None]
    parts = -rng.random((count, steps, 5)).astype(np.float32) * alive[..., None]
    parts[..., 4] = alive
    actions = rng.uniform(-1.0, 1.0, (count, steps, 4)).astype(np.float32) * alive[..., None]
    story = {
        "seed": seed,
        "policy": "made-up",
        "policy_sha256": "",
        "airframe": "crazyflie21",
        "control_rate": 100.0,
        "action_kind": "motors",
        "observation_version": OBSERVATION_VERSION,
        "reward_coefficients": asdict(END_COEFFICIENTS),
        "start": "easy",
        "disturbances": "nominal",
        **told,
    }
    named = list(skills) if skills is not None else [skill] * count
    return EpisodeSet(
        observations=rng.normal(size=(count, steps + 1, 18)).astype(np.float32) * seen[..., None],
        actions=actions,
        rewards=(parts @ END_COEFFICIENTS.as_array()).astype(np.float32),
        lengths=np.array(lengths, np.int64),
        terminated=rng.random(count) < 0.5,
        applied=np.clip(actions + 0.1 * alive[..., None], -1.0, 1.0).astype(np.float32),
        parts=parts,
        skills=named,
        metadata=[{**story, "skill": x, "number": i} for i, x in enumerate(named)],
    )

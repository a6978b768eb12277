"""The simulator reproduces the published scores of the geometric controller. Takes about 20 s.

250 episodes per cell; `docs/simulator.md` has the 2,000 that the design asks for.
"""

from __future__ import annotations

import pytest

from training.evaluate import Args, evaluate

EPISODES = 250
# cell -> score -> expected mean, standard deviation of one episode (measured over 6,000)
EXPECTED = {
    "standard": {
        "return_start": (433.0, 150.0),
        "return_end": (410.0, 158.0),
        "survival": (0.890, 0.31),
    },
    "hard": {
        "return_start": (356.0, 202.0),
        "return_end": (315.0, 204.0),
        "survival": (0.746, 0.43),
    },
}


@pytest.mark.parametrize("cell", EXPECTED)
def test_random_starts_score_as_published(cell: str) -> None:
    scores = evaluate(Args(policy="geometric", cells=(cell,), episodes=EPISODES))["cells"][cell]
    for name, (mean, deviation) in EXPECTED[cell].items():
        # a right simulator misses three standard errors once in 370 seeds; this seed is fixed
        error = 3.0 * deviation / EPISODES**0.5
        assert scores[name]["mean"] == pytest.approx(mean, abs=error), name


def test_easy_start_scores_500() -> None:
    scores = evaluate(Args(policy="geometric", cells=("easy",)))["cells"]["easy"]
    assert scores["survival"]["mean"] == 1.0
    assert 499.0 < scores["return_end"]["mean"] <= scores["return_start"]["mean"] <= 500.0

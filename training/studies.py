"""Named studies: which settings are compared, each a training script with options.

A study of your own is one more entry in STUDIES.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from snn_controller.errors import UserError

Axis = Literal["transitions", "updates"]


@dataclass(frozen=True)
class Setting:
    """One row of a study."""

    label: str  # also in file names
    script: str  # in training/, without .py
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """Settings that are compared over the same seeds, budget and test."""

    question: str
    settings: tuple[Setting, ...]
    axis: Axis = "transitions"  # what learning is measured against


def _slopes(script: str) -> tuple[Setting, ...]:
    """Return the schedules of the paper's figure for a script."""
    fixed = tuple(
        Setting(f"fixed-{k}", script, ("--slope.schedule", "fixed", "--slope.start", str(k)))
        for k in (2, 50, 100)
    )
    interval = ("--slope.schedule", "interval", "--slope.start", "1", "--slope.end", "100")
    adaptive = ("--slope.schedule", "adaptive", "--slope.start", "2")
    return (
        *fixed,
        Setting("interval", script, interval),
        Setting("adaptive", script, adaptive),
    )


STUDIES: dict[str, Study] = {
    "learners": Study(
        "Which learner gets furthest on the same budget?",
        (
            Setting("BC", "bc", ("--rounds", "1", "--updates", "1500")),
            Setting("DAgger", "bc"),
            Setting("TD3", "td3"),
        ),
    ),
    "slopes_bc": Study(
        "Which surrogate slope learns fastest from a teacher?", _slopes("bc"), axis="updates"
    ),
}


def find_study(name: str) -> Study:
    """Return a study by its name.

    Raises:
        UserError: There is none of that name.
    """
    if name not in STUDIES:
        raise UserError(f"unknown study '{name}'; choose from: {', '.join(STUDIES)}")
    return STUDIES[name]


def choose_settings(study: Study, labels: tuple[str, ...]) -> tuple[Setting, ...]:
    """Return the settings with these labels, all without any.

    Raises:
        UserError: The study has no setting of that label.
    """
    known = {setting.label: setting for setting in study.settings}
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise UserError(f"unknown setting '{unknown[0]}'; choose from: {', '.join(known)}")
    return tuple(known[label] for label in labels) or study.settings


def all_settings() -> Iterator[tuple[str, Setting]]:
    """Yield every setting of every study with the study's name."""
    for name, study in STUDIES.items():
        for setting in study.settings:
            yield name, setting

"""Bounds at the field: what is refused, in which words, under which name."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass, field
from typing import Any

import pytest
import tyro

from snn_controller.errors import UserError
from snn_training.common.bounds import (
    CHECK,
    Rules,
    bounded,
    check_bounds,
    layers,
    plain_name,
    some,
)


@dataclass(frozen=True)
class Inner:
    """Options inside."""

    last_rate: float = bounded(0.5, above=0, at_most=1)
    """Rate."""
    hidden: tuple[int, ...] = layers((8,))
    """Layers."""
    first_rate: float = bounded(0.6, above=0)
    """Another rate."""

    def relations(self) -> Rules:
        """The rate falls."""
        return {"last-rate": (self.last_rate <= self.first_rate, "at most --learner.first-rate")}


@dataclass
class Outer:
    """All options."""

    name: str = plain_name("run")
    """Name."""
    count: int = bounded(3, 1, 100_000)
    """Count."""
    share: float = bounded(0.0, 0, below=1)
    """Share."""
    size: float = bounded(1.0, above=0)
    """Size."""
    least: int = bounded(2, 2)
    """Least."""
    starts: tuple[str, ...] = some(("hover",), "distributions")
    """Starts."""
    learner: Inner = field(default_factory=Inner)
    """Inside."""


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"count": 0}, "--count is out of range; it must be 1 to 100000"),
        ({"count": 100_001}, "--count is out of range; it must be 1 to 100000"),
        ({"share": 1.0}, "--share is out of range; it must be 0 or more and below 1"),
        ({"share": -0.1}, "--share is out of range; it must be 0 or more and below 1"),
        ({"size": 0.0}, "--size is out of range; it must be above 0"),
        ({"size": float("nan")}, "--size is out of range; it must be above 0"),
        ({"least": 1}, "--least is out of range; it must be at least 2"),
        ({"name": "a/b"}, "--name is out of range; it must be a plain name"),
        ({"starts": ()}, "--starts is out of range; it must be one or more distributions"),
        (
            {"learner": Inner(last_rate=2.0)},
            "--learner.last-rate is out of range; it must be above 0 and at most 1",
        ),
        (
            {"learner": Inner(last_rate=0.7)},
            "--learner.last-rate is out of range; it must be at most --learner.first-rate",
        ),
        (
            {"learner": Inner(hidden=())},
            "--learner.hidden is out of range; it must be one to eight layers of 1 to 4096 neurons",
        ),
    ],
)
def test_what_is_out_of_bounds_is_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        check_bounds(Outer(**options))
    assert str(caught.value) == sentence


def test_what_is_within_passes_and_the_command_line_shows_its_default() -> None:
    check_bounds(Outer(count=100_000, share=0.999, size=1e9))
    assert tyro.cli(Outer, args=["--learner.last-rate", "0.1"]).learner == Inner(last_rate=0.1)
    assert tyro.cli(Outer, args=[]) == Outer()


SCRIPTS = ("bc", "td3", "iql", "apg.train", "decision_transformer.train")


@pytest.mark.parametrize("script", [*SCRIPTS, "td3bc.jsrl", "td3bc.offline"])
def test_every_default_is_within_its_bounds(script: str) -> None:
    args = importlib.import_module(f"snn_training.algorithms.{script}").Args()
    check_bounds(args)
    assert any(CHECK in each.metadata for each in dataclasses.fields(args))

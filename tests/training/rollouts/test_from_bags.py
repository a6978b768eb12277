"""Recorded flights as episodes: the spans that the policy flew, and what they earned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")
pytest.importorskip("pybullet")

from snn_controller.errors import UserError
from snn_controller.flight.flight import Flight
from snn_controller.flight_log.recorded_flight import read_flight
from snn_sim.task.reward import END_COEFFICIENTS
from snn_training.data.episodes import EpisodeSet
from snn_training.rollouts import from_bags as bag_episodes
from snn_training.rollouts.from_bags import episodes_of_bags
from support.recorded_bags import write_bag


@pytest.fixture
def flight(loop: Callable[..., Any]) -> Flight:
    flown = loop("takeoff_land", duration=1.0)
    flown.run(20.0)
    return flown.flight


def episodes_of(*bags: Path, notes: list[str] | None = None) -> EpisodeSet:
    warn = ([] if notes is None else notes).append
    return episodes_of_bags(bags, skill="flight", coefficients=END_COEFFICIENTS, warn=warn)


def test_what_the_policy_flew_becomes_one_episode(flight: Flight, tmp_path: Path) -> None:
    bag = write_bag(tmp_path / "bag", [flight])
    episodes, recorded = episodes_of(bag), read_flight(bag)
    ran = np.flatnonzero(recorded.ran)
    assert len(episodes) == 1 and episodes.lengths[0] == len(ran) - 1 > 80
    np.testing.assert_array_equal(episodes.observations[0], recorded.observations[ran])
    np.testing.assert_array_equal(episodes.actions[0], recorded.action[ran[:-1]])
    # what the network was told it had flown is what the next row of the flight says
    np.testing.assert_allclose(episodes.applied[0, :-1], recorded.last_action[ran[1:-1]], atol=1e-6)
    assert not episodes.terminated[0]
    story = episodes.metadata[0]
    assert story["policy"] == "hover.onnx" and len(story["policy_sha256"]) == 64
    assert story["at_rest"] and story["first_tick"] == ran[0]


def test_rewards_are_those_of_the_state_that_a_step_led_to(flight: Flight, tmp_path: Path) -> None:
    episodes = episodes_of(write_bag(tmp_path / "bag", [flight]))
    errors = episodes.observations[0, 1:, :3].astype(np.float64)
    np.testing.assert_allclose(episodes.parts[0, :, 0], -(errors**2).sum(axis=1), atol=1e-6)
    assert (episodes.parts[0, :, 4] == 1.0).all()
    np.testing.assert_allclose(
        episodes.rewards[0], episodes.parts[0] @ END_COEFFICIENTS.as_array(), rtol=1e-5
    )


def test_episodes_end_where_ticks_were_lost(flight: Flight, tmp_path: Path) -> None:
    whole = read_flight(write_bag(tmp_path / "whole", [flight]))
    first = int(np.flatnonzero(whole.ran)[0])
    bag = write_bag(tmp_path / "bag", [flight], lost=(first + 40, first + 45))
    episodes = episodes_of(bag)
    assert episodes.lengths[0] == 39
    begins = [entry["first_tick"] - first for entry in episodes.metadata]
    assert begins == [0, 46]  # the four ticks between the gaps are too few
    assert [entry["at_rest"] for entry in episodes.metadata] == [True, False]


def test_long_flights_are_cut(
    flight: Flight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "bag", [flight])
    (length,) = episodes_of(bag).lengths
    monkeypatch.setattr(bag_episodes, "EPISODE_STEPS", 30)
    cut = episodes_of(bag)
    assert cut.lengths.tolist()[:3] == [30, 30, 30]
    assert abs(int(cut.steps) - length) < bag_episodes.SHORTEST
    # the observation that ends one episode begins the next
    np.testing.assert_array_equal(cut.observations[0, 30], cut.observations[1, 0])


def test_a_damaged_bag_gives_what_was_before_the_damage(flight: Flight, tmp_path: Path) -> None:
    file = write_bag(tmp_path / "bag", [flight]) / "bag.mcap"
    whole = episodes_of(file)
    content = file.read_bytes()
    kept = next(
        share
        for share in np.arange(0.95, 0.2, -0.05)
        if file.write_bytes(content[: int(share * len(content))])
        and read_flight(file).ran.sum() < whole.lengths[0]
    )
    assert kept > 0.2
    notes: list[str] = []
    part = episodes_of(file, notes=notes)
    assert len(notes) == 1 and "what can be read of it is used" in notes[0]
    steps = part.lengths[0]
    assert 20 <= steps < whole.lengths[0]
    np.testing.assert_array_equal(part.actions[0, :steps], whole.actions[0, :steps])


def test_bags_without_such_a_stretch_are_one_sentence(
    flight: Flight, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bag = write_bag(tmp_path / "bag", [flight])
    monkeypatch.setattr(bag_episodes, "SHORTEST", 100_000)
    notes: list[str] = []
    with pytest.raises(UserError, match=r"in a row that a policy flew; record a flight with"):
        episodes_of(bag, notes=notes)
    assert "flight 1 of bag" in notes[0] and "is left out" in notes[0]
    with pytest.raises(UserError, match="does not exist"):
        episodes_of(tmp_path / "nothing")
    with pytest.raises(UserError, match="observation version 2"):
        episodes_of(write_bag(tmp_path / "old", [flight], changed={"observation_version": 2}))

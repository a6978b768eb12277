"""The fixed test as a program: episodes, pilots, workers, files, refusals. Takes about 10 s."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_controller.vehicle.airframe import load_quadrotor
from snn_controller.vehicle.frames import Array
from snn_controller.vehicle.state import Reference, State
from snn_sim.bullet.drone import Drone
from snn_sim.task.episode import EPISODE_STEPS, sample_start
from snn_training.evaluation.batched import fly_batch
from snn_training.evaluation.evaluate import Args, Simulator, evaluate
from snn_training.evaluation.pilots import PolicyPilot, load_pilot
from snn_training.evaluation.pybullet import Episode, fly_episode
from snn_training.evaluation.scenarios import CELLS, Conditions, Draw
from snn_training.evaluation.table import format_report
from support.places import ROOT

QUADROTOR = load_quadrotor("crazyflie21")
AT_REST = State.at_rest(np.zeros(3))


class FixedPilot:
    """Commands the same throttle always and counts what is asked of it."""

    def __init__(self, throttle: float) -> None:
        self.throttle = np.full(4, throttle)
        self.spikes: dict[str, NDArray[np.bool_]] = {"hidden": np.array([True, False])}
        self.synaptic_ops = 3
        self.resets = 0
        self.heeded: list[Array] = []

    def reset(self) -> None:
        self.resets += 1

    def step(self, state: State, reference: Reference, rotors: Array) -> tuple[Array, Array]:
        return 2.0 * self.throttle - 1.0, self.throttle

    def heed(self, action: Array) -> None:
        self.heeded.append(action)


def fly(throttle: float) -> tuple[FixedPilot, Episode]:
    pilot = FixedPilot(throttle)
    rotors = np.full(4, QUADROTOR.hover_throttle)
    with Drone(QUADROTOR, ground=False) as drone:
        return pilot, fly_episode(drone, pilot, Draw(AT_REST, rotors, Conditions()))


def test_episode_runs_to_the_cap_in_hover() -> None:
    pilot, episode = fly(QUADROTOR.hover_throttle)
    assert len(episode.states.position) == len(episode.actions) == EPISODE_STEPS
    assert not episode.crashed
    assert pilot.resets == 1
    assert episode.spike_rates == {"hidden": 0.5}
    assert episode.synaptic_ops == 3.0


def test_episode_ends_with_the_step_that_leaves_the_box() -> None:
    _, episode = fly(0.0)
    outside = np.abs(episode.states.position).max(axis=1) > 0.6
    assert episode.crashed
    np.testing.assert_array_equal(np.flatnonzero(outside), [len(outside) - 1])


def test_command_that_is_not_finite_is_a_crash() -> None:
    _, episode = fly(np.nan)
    assert episode.crashed
    assert len(episode.actions) == 1


@pytest.mark.parametrize("sim", ["pybullet", "batched"])
def test_scores_do_not_depend_on_the_number_of_workers(sim: str, tmp_path: Path) -> None:
    reports = []
    for workers in (1, 2):
        path = tmp_path / f"{workers}.json"
        command = [sys.executable, "training/evaluate.py", "--policy", "geometric"]
        command += ["--episodes", "12", "--cells", "easy", "hard", "--seed", "5"]
        command += ["--workers", str(workers), "--json", str(path), "--sim", sim]
        result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
        assert result.returncode == 0, result.stderr
        assert result.stdout.splitlines()[1].split()[0] == "easy"
        reports.append(json.loads(path.read_text()))
        assert reports[-1].pop("git")  # somebody may commit in between
    assert reports[0] == reports[1]
    report = reports[0]
    assert report["sim"] == sim
    assert report["cells"]["hard"]["episodes"] == 12
    assert report["cells"]["easy"]["episodes"] == 1  # a single start: more would be copies


@pytest.mark.parametrize("sim", ["pybullet", "batched"])
def test_shipped_policy_is_scored_as_it_flies(sim: Simulator, policy: Policy) -> None:
    report = evaluate(Args(policy=str(policy.path), sim=sim, cells=("easy",)))
    scores = report["cells"]["easy"]
    assert set(scores["spike_rate"]) == {layer.name for layer in policy.metadata.layers}
    assert all(0.0 < rate["mean"] < 1.0 for rate in scores["spike_rate"].values())
    assert scores["synaptic_ops"]["mean"] > 0.0
    assert "easy" in format_report(report)


@pytest.mark.parametrize("cell", CELLS)
def test_both_simulators_score_the_same_episodes_alike(cell: str) -> None:
    """Same starts, disturbances and noise: returns differ by what Bullet's integrator costs."""
    reports = [
        evaluate(Args(policy="geometric", sim=sim, cells=(cell,), episodes=6, seed=2))
        for sim in get_args(Simulator)
    ]
    batched, bullet = (report["cells"][cell] for report in reports)
    assert batched["episodes"] == bullet["episodes"] == (1 if cell == "easy" else 6)
    assert batched["survival"] == bullet["survival"]
    assert batched["return_end"]["mean"] == pytest.approx(bullet["return_end"]["mean"], rel=0.05)
    assert batched["rms_xy_m"]["mean"] == pytest.approx(bullet["rms_xy_m"]["mean"], abs=0.01)


def test_shipped_policy_survives_the_easy_start(policy: Policy) -> None:
    report = evaluate(Args(policy=str(policy.path), cells=("easy",)))
    assert report["cells"]["easy"]["survival"]["mean"] == 1.0


def test_without_memory_a_policy_flies_otherwise(policy: Policy) -> None:
    reports = [
        evaluate(Args(policy=str(policy.path), cells=("easy",), reset_every_tick=forget))
        for forget in (False, True)
    ]
    kept, forgotten = (report["cells"]["easy"]["return_end"]["mean"] for report in reports)
    assert kept != forgotten


def test_guide_flies_the_guided_steps_while_the_policy_looks_on() -> None:
    pilot, guide = FixedPilot(0.0), FixedPilot(QUADROTOR.hover_throttle)
    conditions = Conditions(steps=60, guided_steps=50)
    draw = Draw(AT_REST, np.full(4, QUADROTOR.hover_throttle), conditions)
    with Drone(QUADROTOR, ground=False) as drone:
        single = fly_episode(drone, pilot, draw, guide=guide)
    for one in (pilot, guide):  # a batch of one drone
        one.throttle = one.throttle[None]
        one.spikes = {name: fired[None] for name, fired in one.spikes.items()}
    (batched,) = fly_batch(QUADROTOR, pilot, [draw], guide=guide)
    flown = [2.0 * QUADROTOR.hover_throttle - 1.0] * 4
    assert [np.ravel(x).tolist() for x in pilot.heeded] == [flown] * 100
    assert guide.heeded == []
    for episode in (single, batched):
        np.testing.assert_array_equal(episode.throttles[:50] - guide.throttle, 0.0)
        np.testing.assert_array_equal(episode.throttles[50:], 0.0)
        assert episode.spike_rates == {"hidden": 0.5}
        assert np.abs(episode.states.position[49]).max() < 1e-6
        assert episode.states.velocity[-1, 2] < -0.1


def test_policy_starts_every_episode_afresh(policy: Policy) -> None:
    pilot = PolicyPilot(policy, QUADROTOR)
    state, rotors = sample_start(
        "standard", np.random.default_rng(0), target=np.zeros(3), quadrotor=QUADROTOR
    )
    with Drone(QUADROTOR, ground=False) as drone:
        flights = [fly_episode(drone, pilot, Draw(state, rotors, Conditions())) for _ in range(2)]
    np.testing.assert_array_equal(flights[0].actions, flights[1].actions)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (Args(policy="geometric", cells=("hrad",)), "easy, standard, hard, published"),
        (Args(policy="geometric", sim="bullet"), "batched, pybullet"),  # type: ignore[arg-type]
        (Args(policy="geometric", cells=()), "easy, standard, hard"),
        (Args(policy="geometric", tracks=("loop",)), "hover, step, figure8"),
        (Args(policy="geometric", flights=0), "at least 1"),
        (Args(policy="geometric", episodes=0), "at least 1"),
        (Args(policy="geometric", workers=0), "at least 1"),
        (Args(policy="geometric", seed=-1), "at least 0"),
        (Args(policy="no_such.onnx"), "does not exist"),
    ],
)
def test_wrong_arguments_are_refused(arguments: Args, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(arguments)


def test_program_prints_one_sentence_and_exits_with_2() -> None:
    command = [sys.executable, "training/evaluate.py", "--policy", "no_such.onnx"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert result.returncode == 2
    assert result.stderr.startswith("error: policy no_such.onnx does not exist")
    assert "Traceback" not in result.stderr


def test_calibration_gains_depend_on_the_cell() -> None:
    leads = [load_pilot("geometric", cell)[0]._gains.rate.lead for cell in ("easy", "hard")]
    assert leads == [2.0, 5.0]

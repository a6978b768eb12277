"""TD3: its curriculum, its gradient step, and tiny runs that reproduce, resume and refuse."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from snn_controller.errors import UserError
from snn_controller.policy.runtime import Policy
from snn_sim.task.action_history import GUIDE_INPUT_SIZE
from snn_sim.task.reward import END_COEFFICIENTS, START_COEFFICIENTS
from snn_training.algorithms import runner, td3
from snn_training.algorithms.td3 import Curriculum, TD3Config, TD3Learner, coefficients_at, follow
from snn_training.artifacts.guide import fly_closely
from snn_training.common.bounds import check_bounds
from snn_training.data.replay import Batch
from snn_training.evaluation.reporter import ReportingConfig
from snn_training.neurons.surrogate import SlopeConfig
from snn_training.runs import folder as run_folder
from support.finished_runs import Killed, outcome, same

INTERVALS = 3


def make_args(folder: Path, name: str, **options: Any) -> td3.Args:
    args = td3.Args(
        name=name,
        folder=folder,
        intervals=INTERVALS,
        ticks=20,
        drones=8,
        updates=1,
        batch=16,
        replay=600,  # fills up, so that the ring turns
        validation=8,
        learner=TD3Config(actor_hidden=(8,), critic_hidden=(8,)),
        reporting=ReportingConfig(tensorboard=False, pictures=False, batched=0, pybullet=0),
    )
    return replace(args, **options)


def test_a_spiking_actor_learns_with_the_schedule_of_its_slope(tmp_path: Path) -> None:
    learner = TD3Config(actor="spiking", actor_hidden=(8,), actor_steps=2, critic_hidden=(8,))
    slope = SlopeConfig(schedule="interval", start=1.0, end=100.0, intervals=INTERVALS)
    td3.main(make_args(tmp_path, "spiking", learner=learner, slope=slope))
    log = (tmp_path / "spiking" / "progress.csv").read_text().splitlines()
    place = log[0].split(",").index("slope")
    assert [float(row.split(",")[place]) for row in log[1:]] == [1.0, 50.5, 100.0]
    actor = run_folder.load_guide(tmp_path / "spiking")
    observation = np.zeros((1, 18), np.float32)
    action = Policy.load(tmp_path / "spiking" / "policy.onnx").step(observation[0])
    np.testing.assert_allclose(action, fly_closely(actor, observation)[0][0], atol=1e-5)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    for name, seed in (("one", 0), ("same", 0), ("other", 1)):
        td3.main(make_args(folder, name, seed=seed))
    return folder


@pytest.mark.slow
def test_same_seed_gives_the_same_run_bit_by_bit(runs: Path) -> None:
    assert same(runs / "one", runs / "same")
    assert not same(runs / "one", runs / "other")


def test_run_folder_reproduces_and_its_policy_loads(runs: Path) -> None:
    config = json.loads((runs / "one" / "config.json").read_text())
    assert config["config"]["learner"]["gamma"] == 0.99
    assert config["git"]
    assert (runs / "one" / "learning_curve.png").stat().st_size > 1000
    policy = Policy.load(runs / "one" / "policy.onnx", airframe="crazyflie21", control_rate=100.0)
    assert policy.metadata.provenance["seed"] == 0
    assert np.isfinite(policy.step(np.zeros(18))).all()


def test_the_artifact_is_the_best_interval(runs: Path) -> None:
    guide = run_folder.load_guide(runs / "one")
    policy = Policy.load(runs / "one" / "policy.onnx")
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(40, 18)).astype(np.float32)
    flown = np.stack([policy.step(x) for x in observations])
    np.testing.assert_allclose(flown, fly_closely(guide, observations)[0], atol=1e-6)
    _, rows = outcome(runs / "one")
    best = max(float(row["return_end"]) for row in rows)
    assert policy.metadata.provenance["validation"]["return_end"] == best


def stop_at(monkeypatch: pytest.MonkeyPatch, update: int, error: BaseException) -> None:
    real = TD3Learner.update

    def stopped(self: TD3Learner, batch: Any) -> tuple[float, float]:
        if self.updates >= update:
            raise error
        return real(self, batch)

    monkeypatch.setattr(TD3Learner, "update", stopped)


@pytest.mark.slow
@pytest.mark.parametrize("update", [7, 53])  # in the first interval and in the third
def test_a_killed_run_resumes_as_if_unbroken(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, update, Killed())
        with pytest.raises(Killed):
            td3.main(make_args(tmp_path, "killed"))
    td3.main(make_args(tmp_path, "killed", resume=True))
    assert same(tmp_path / "killed", runs / "one")


def test_a_killed_run_in_pybullet_resumes_as_if_unbroken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"sim": "pybullet", "drones": 3, "replay": 300, "intervals": 2, "starts": ("hard",)}
    td3.main(make_args(tmp_path, "unbroken", **options))
    with monkeypatch.context() as patch:
        stop_at(patch, 27, Killed())
        with pytest.raises(Killed):
            td3.main(make_args(tmp_path, "killed", **options))
    td3.main(make_args(tmp_path, "killed", resume=True, **options))
    assert same(tmp_path / "killed", tmp_path / "unbroken")
    with pytest.raises(UserError, match="another --sim"):
        td3.main(make_args(tmp_path, "killed", resume=True, **{**options, "sim": "batched"}))


def test_killed_between_log_and_checkpoint_repeats_no_row(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = runner.save_run

    def killed(run: run_folder.Run, state: Any) -> None:
        if len(run.rows) == 2:
            raise Killed
        real(run, state)

    with monkeypatch.context() as patch:
        patch.setattr(runner, "save_run", killed)
        with pytest.raises(Killed):
            td3.main(make_args(tmp_path, "killed"))
    td3.main(make_args(tmp_path, "killed", resume=True))
    assert same(tmp_path / "killed", runs / "one")


def test_interrupting_ends_cleanly_and_can_be_resumed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        stop_at(patch, 30, KeyboardInterrupt())
        td3.main(make_args(tmp_path, "short"))
    Policy.load(tmp_path / "short" / "policy.onnx")
    td3.main(make_args(tmp_path, "short", resume=True))
    assert same(tmp_path / "short", runs / "one")


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TD3Learner.update

    def spoilt(self: TD3Learner, batch: Any) -> tuple[float, float]:
        bad = np.full_like(batch.rewards, np.nan)
        return real(self, batch._replace(rewards=bad) if self.updates >= 30 else batch)

    monkeypatch.setattr(TD3Learner, "update", spoilt)
    with pytest.raises(UserError, match="no longer finite") as caught:
        td3.main(make_args(tmp_path, "spoilt"))
    assert "\n" not in str(caught.value)
    tensors, rows = outcome(tmp_path / "spoilt")
    assert len(rows) == 1
    assert all(bool(x.float().isfinite().all()) for x in tensors)


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(run_folder, "write_atomically", full)
    with pytest.raises(UserError, match="No space left"):
        td3.main(make_args(tmp_path, "full"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"resume": False}, "already holds a run"),
        ({"resume": True, "seed": 1}, "another --seed"),
        ({"resume": True, "batch": 4, "ticks": 9}, "another --ticks, --batch"),
        ({"resume": True, "name": "nowhere"}, "holds no checkpoint"),
    ],
)
def test_resuming_something_else_is_one_sentence(
    runs: Path, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        td3.main(make_args(runs, **{"name": "one", **options}))
    assert "\n" not in str(caught.value)


def test_a_damaged_or_foreign_checkpoint_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "run" / "checkpoint.pt"
    path.parent.mkdir()
    path.write_bytes(b"nonsense")
    with pytest.raises(UserError, match="cannot be used"):
        td3.main(make_args(tmp_path, "run", resume=True))
    torch.save({"format": 99, "provenance": "{}"}, path)
    with pytest.raises(UserError, match="another version"):
        td3.main(make_args(tmp_path, "run", resume=True))
    with pytest.raises(UserError, match="another version"):
        run_folder.load_guide(path.parent)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"drones": 0}, "--drones"),
        ({"drones": 65, "sim": "pybullet"}, "--drones .* 1 to 64 with --sim pybullet"),
        ({"updates": 0}, "--updates"),
        ({"replay": 200}, "--replay"),
        ({"starts": ()}, "--starts"),
        ({"starts": ("nowhere",)}, "nowhere"),
        ({"airframe": "airship"}, "airship"),
        ({"first_exploration": float("nan")}, "--first-exploration"),
        ({"name": "a/b"}, "--name"),
        ({"seed": -1}, "--seed"),
        ({"curriculum": Curriculum(until=2.0)}, "--curriculum.until"),
        ({"learner": TD3Config(actor_hidden=())}, "--learner.actor-hidden"),
        ({"learner": TD3Config(gamma=1.0)}, "--learner.gamma"),
        ({"learner": TD3Config(tau=0.0)}, "--learner.tau"),
        ({"learner": TD3Config(delay=0)}, "--learner.delay"),
    ],
)
def test_bad_arguments_are_one_sentence(tmp_path: Path, options: dict[str, Any], word: str) -> None:
    with pytest.raises(UserError, match=word) as caught:
        td3.main(replace(make_args(tmp_path, "bad"), **options))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_run_shows_itself_and_ends_with_its_scores(tmp_path: Path) -> None:
    reporting = ReportingConfig(batched=2, pybullet=1)
    td3.main(make_args(tmp_path, "shown", reporting=reporting))
    names = {file.name for file in (tmp_path / "shown").iterdir()}
    assert {"rollout.png", "evaluation.json"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)


SMALL = TD3Config(actor_hidden=(8,), critic_hidden=(8,))


def make_batch(count: int = 16, **changes: np.ndarray) -> Batch:
    rng = np.random.default_rng(0)
    flags = np.zeros(count, np.bool_)
    batch = Batch(
        inputs=rng.normal(size=(count, GUIDE_INPUT_SIZE)).astype(np.float32),
        actions=rng.uniform(-1, 1, (count, 4)).astype(np.float32),
        rewards=rng.normal(size=count).astype(np.float32),
        next_inputs=rng.normal(size=(count, GUIDE_INPUT_SIZE)).astype(np.float32),
        terminated=flags,
    )
    return batch._replace(**changes)


def test_an_update_leaves_its_batch_as_it_is() -> None:
    learner, batch = TD3Learner(SMALL, seed=0), make_batch()
    kept = [x.copy() for x in batch]
    for _ in range(4):
        learner.update(batch)
    for one, other in zip(batch, kept, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_crash_has_no_future_and_a_time_out_has() -> None:
    learner = TD3Learner(SMALL, seed=0)
    crashed, cut = make_batch(terminated=np.ones(16, np.bool_)), make_batch()
    np.testing.assert_array_equal(learner.target_values(crashed).numpy(), crashed.rewards)
    assert (np.abs(learner.target_values(cut).numpy() - cut.rewards) > 1e-4).all()


def test_target_takes_the_lower_value_of_the_target_networks() -> None:
    learner = TD3Learner(TD3Config((8,), (8,), policy_noise=0.0), seed=0)
    batch = make_batch()
    following = torch.from_numpy(batch.next_inputs)
    with torch.no_grad():
        for network in (learner.actor, learner.critic):  # only the targets count
            for parameter in network.parameters():
                parameter.add_(1.0)
        actions = learner.target_actor(following)
        lower = torch.minimum(*learner.target_critic(following, actions)).numpy()
    expected = batch.rewards + 0.99 * lower
    np.testing.assert_allclose(learner.target_values(batch).numpy(), expected, rtol=1e-6)


def test_smoothing_noise_is_clipped_and_has_its_size() -> None:
    learner = TD3Learner(TD3Config((8,), (8,), policy_noise=0.2, noise_clip=0.3), seed=0)
    inputs = torch.zeros(4000, GUIDE_INPUT_SIZE)
    noise = learner.smoothed_actions(inputs) - learner.target_actor(inputs)
    assert noise.abs().max() == pytest.approx(0.3, abs=1e-6)
    assert noise.std() == pytest.approx(0.18, abs=0.01)  # 0.2, clipped at 1.5 deviations


def test_the_value_has_a_gradient_into_the_actor() -> None:
    learner = TD3Learner(SMALL, seed=0)
    learner.actor_loss(torch.from_numpy(make_batch().inputs)).backward()
    assert all(x.grad is not None and x.grad.abs().max() > 0 for x in learner.actor.parameters())


def test_actor_and_targets_move_with_every_second_update_only() -> None:
    learner, batch = TD3Learner(SMALL, seed=0), make_batch()

    def weights() -> list[np.ndarray]:
        parts = (learner.actor, learner.target_actor, learner.target_critic)
        return [x.detach().numpy().copy() for part in parts for x in part.parameters()]

    start = weights()
    learner.update(batch)
    assert all((one == other).all() for one, other in zip(start, weights(), strict=True))
    learner.update(batch)
    assert all((one != other).any() for one, other in zip(start, weights(), strict=True))


def test_targets_follow_by_their_share() -> None:
    one, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    expected = one.weight.detach() * 0.9 + other.weight.detach() * 0.1
    follow(one, other, 0.1)
    torch.testing.assert_close(one.weight.detach(), expected)


def test_critics_learn_what_a_batch_is_worth() -> None:
    learner = TD3Learner(TD3Config((8,), (32,), critic_rate=3e-3), seed=0)
    batch = make_batch(terminated=np.ones(16, np.bool_))
    losses = [learner.update(batch)[0] for _ in range(300)]
    assert losses[-1] < 0.02 * losses[0]


def test_a_restored_learner_goes_on_identically() -> None:
    learner, other, batch = TD3Learner(SMALL, seed=0), TD3Learner(SMALL, seed=1), make_batch()
    for _ in range(3):
        learner.update(batch)
    other.restore(learner.snapshot())
    assert [learner.update(batch) for _ in range(3)] == [other.update(batch) for _ in range(3)]


def test_step_sizes_fall_to_their_last_share() -> None:
    learner = TD3Learner(TD3Config((8,), (8,), actor_rate=1e-3, last_rate=0.2), seed=0)
    rates = []
    for progress in (0.0, 0.5, 1.0):
        learner.set_progress(progress)
        rates.append(learner.actor_optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3, 6e-4, 2e-4])


def test_six_equal_steps_lead_from_start_to_end() -> None:
    levels = list(
        dict.fromkeys(coefficients_at(Curriculum(), x) for x in np.linspace(0.0, 1.0, 1001))
    )
    assert levels[0] == START_COEFFICIENTS
    assert astuple(levels[-1]) == pytest.approx(astuple(END_COEFFICIENTS))
    assert [x.position for x in levels] == pytest.approx(np.linspace(1.0, 3.5, 7))
    assert [x.velocity for x in levels] == pytest.approx(np.linspace(0.01, 0.1, 7))
    assert [x.throttle for x in levels] == pytest.approx(np.linspace(0.14, 0.5, 7))


@pytest.mark.parametrize("number", range(1, 7))
def test_a_step_is_taken_exactly_when_its_share_is_reached(number: int) -> None:
    curriculum = Curriculum(until=0.6)
    share = 0.6 * number / 6
    at, before = coefficients_at(curriculum, share), coefficients_at(curriculum, share - 1e-6)
    assert at.position - before.position == pytest.approx(2.5 / 6)


@given(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(1, 20), st.floats(0.01, 1.0))
def test_penalties_never_fall(one: float, other: float, steps: int, until: float) -> None:
    curriculum = Curriculum(steps, until)
    early, late = (coefficients_at(curriculum, x) for x in sorted((one, other)))
    assert early.position <= late.position + 1e-12
    assert late.position <= END_COEFFICIENTS.position + 1e-12


def test_without_steps_the_end_coefficients_hold_from_the_beginning() -> None:
    assert coefficients_at(Curriculum(steps=0), 0.0) == END_COEFFICIENTS


@pytest.mark.parametrize("curriculum", [Curriculum(steps=-1), Curriculum(until=0.0)])
def test_impossible_curricula_are_refused(curriculum: Curriculum) -> None:
    with pytest.raises(UserError, match="--curriculum"):
        check_bounds(curriculum, "curriculum.")

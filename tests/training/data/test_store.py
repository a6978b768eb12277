"""Datasets on disk: what comes back is what was stored, by Minari alone too; faults are told."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snn_controller.errors import UserError
from support.episode_samples import make_episodes

pytest.importorskip("minari")

from snn_training.data import store as dataset_store
from snn_training.data.store import load_episodes, save_episodes

NAME = "drone/hover/test-v0"
FIELDS = ("observations", "actions", "rewards", "lengths", "terminated", "applied", "parts")
# Imports nothing of this project, from a folder where it is not found.
PLAIN = f"""
import json, sys
import minari
import numpy as np
data = minari.load_dataset("{NAME}")
rows = [(len(x), x.observations.shape, x.actions.shape, x.rewards.shape, float(x.rewards.sum()),
         bool(x.terminations[-1]), bool(x.truncations[-1]),
         {{k: v.shape for k, v in x.infos.items()}}) for x in data.iterate_episodes()]
assert (data.observation_space.shape, data.action_space.shape) == ((18,), (4,))
assert data.action_space.contains(data[0].actions[0])
assert data.observation_space.contains(data[0].observations[-1])
assert data[0].observations.dtype == np.float32
first, second = minari.split_dataset(data, sizes=[1, 2], seed=0)
assert (len(first), len(second)) == (1, 2)
assert "{NAME}" in minari.list_local_datasets()
ours = ("snn_training", "snn_sim", "snn_controller", "torch")
assert not any(name in sys.modules for name in ours)
print(json.dumps(rows))
"""


def test_what_was_stored_comes_back(tmp_path: Path) -> None:
    episodes = make_episodes([3, 7, 1], skills=["good", "bad", "bad"])
    folder = save_episodes(episodes, NAME, root=tmp_path)
    assert folder == tmp_path / NAME
    for source in (NAME, folder):
        loaded = load_episodes(source, root=tmp_path)
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(loaded, field), getattr(episodes, field))
        assert loaded.skills == episodes.skills
        assert loaded.metadata == episodes.metadata
    both = load_episodes([NAME, folder], root=tmp_path)
    assert len(both) == 6


def test_minari_alone_reads_it(tmp_path: Path) -> None:
    episodes = make_episodes([3, 7, 1])
    save_episodes(episodes, NAME, root=tmp_path)
    done = subprocess.run(
        [sys.executable, "-I", "-c", PLAIN],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"MINARI_DATASETS_PATH": str(tmp_path), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0, done.stderr
    for number, row in enumerate(json.loads(done.stdout)):
        length, observations, actions, rewards, total, crashed, cut, infos = row
        assert length == episodes.lengths[number]
        assert (observations, actions) == ([length + 1, 18], [length, 4])
        assert rewards == [length]
        assert total == pytest.approx(episodes.returns[number], rel=1e-5)
        assert (crashed, cut) == (episodes.terminated[number], not episodes.terminated[number])
        shapes = {"applied_action": 4, "reward_parts": 5, "time": 1}
        assert infos == {name: [length + 1, size] for name, size in shapes.items()}


def test_the_folder_comes_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "there"))
    assert save_episodes(make_episodes([2]), NAME) == tmp_path / "there" / NAME
    monkeypatch.delenv("MINARI_DATASETS_PATH")
    assert dataset_store.datasets_root() == Path("datasets")


def test_a_taken_name_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    save_episodes(make_episodes([2]), NAME, root=tmp_path)
    with pytest.raises(UserError, match="is taken; choose another id, or replace it with"):
        save_episodes(make_episodes([3]), NAME, root=tmp_path)
    assert load_episodes(NAME, root=tmp_path).steps == 2
    save_episodes(make_episodes([3]), NAME, root=tmp_path, overwrite=True)
    assert load_episodes(NAME, root=tmp_path).steps == 3
    assert sorted(x.name for x in tmp_path.iterdir()) == ["drone"]  # nothing half written


@pytest.mark.parametrize("name", ["", "no-version", "drone/hover/spaced name-v0", "../up-v0"])
def test_a_malformed_name_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is no usable id; give letters"):
        save_episodes(make_episodes([2]), name, root=tmp_path)


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written"):
        save_episodes(make_episodes([2]), NAME, root=tmp_path / "file")


def test_a_missing_dataset_names_those_that_there_are(tmp_path: Path) -> None:
    save_episodes(make_episodes([2]), NAME, root=tmp_path)
    with pytest.raises(UserError, match=f"no dataset other-v0 in .*there are: {NAME}; make one"):
        load_episodes("other-v0", root=tmp_path)
    with pytest.raises(UserError, match=r"no dataset x in .*empty; make one"):
        load_episodes("x", root=tmp_path / "empty")


def change_metadata(folder: Path, **entries: Any) -> None:
    path = folder / "data" / "metadata.json"
    metadata = json.loads(path.read_text())
    for key, value in entries.items():
        part = metadata if value is None else metadata["snn_controller"]
        del part["snn_controller" if value is None else key]
        if value is not None:
            part[key] = value
    path.write_text(json.dumps(metadata))


def test_another_observation_version_is_one_sentence(tmp_path: Path) -> None:
    folder = save_episodes(make_episodes([2]), NAME, root=tmp_path)
    change_metadata(folder, observation_version=2)
    with pytest.raises(UserError, match="observations of version 2 and this release gives 1; make"):
        load_episodes(NAME, root=tmp_path)


def test_a_dataset_of_others_is_one_sentence(tmp_path: Path) -> None:
    folder = save_episodes(make_episodes([2]), NAME, root=tmp_path)
    change_metadata(folder, observation_version=None)
    with pytest.raises(UserError, match="is no dataset of this project"):
        load_episodes(NAME, root=tmp_path)


@pytest.mark.parametrize("size", [0, 100, 3000])
def test_a_truncated_file_is_one_sentence(tmp_path: Path, size: int) -> None:
    folder = save_episodes(make_episodes([20, 30]), NAME, root=tmp_path)
    file = folder / "data" / "main_data.hdf5"
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(UserError, match=r"cannot be read \(.*\); make it anew"):
        load_episodes(NAME, root=tmp_path)


def test_numbers_that_are_not_finite_are_not_stored_and_not_loaded(tmp_path: Path) -> None:
    import h5py

    bad = make_episodes([2, 2])
    bad.actions[0, 0, 0] = np.inf
    with pytest.raises(UserError, match="not finite"):
        save_episodes(bad, NAME, root=tmp_path)
    folder = save_episodes(make_episodes([2, 2]), NAME, root=tmp_path)
    with h5py.File(folder / "data" / "main_data.hdf5", "a") as file:
        file["episode_1/rewards"][0] = np.nan
    with pytest.raises(UserError, match=r"not finite, first in episode 1"):
        load_episodes(NAME, root=tmp_path)


def test_a_dataset_without_episodes_is_one_sentence(tmp_path: Path) -> None:
    folder = save_episodes(make_episodes([2]), NAME, root=tmp_path)
    path = folder / "data" / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "total_episodes": 0}))
    with pytest.raises(UserError, match="holds no episodes; make it anew"):
        load_episodes(NAME, root=tmp_path)


def test_what_differs_is_neither_stored_nor_loaded_together(tmp_path: Path) -> None:
    one, other = make_episodes([2]), make_episodes([2], control_rate=50.0)
    mixed = replace(make_episodes([2, 2]), metadata=[one.metadata[0], other.metadata[0]])
    with pytest.raises(UserError, match="differ in their control rate; write one dataset for each"):
        save_episodes(mixed, NAME, root=tmp_path)
    save_episodes(one, NAME, root=tmp_path)
    save_episodes(other, "drone/hover/slow-v0", root=tmp_path)
    with pytest.raises(UserError, match=r"differ in their control rate \(100.0, 50.0\)"):
        load_episodes([NAME, "drone/hover/slow-v0"], root=tmp_path)


def test_without_minari_one_sentence_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minari", None)
    with pytest.raises(UserError, match=r"pip install minari h5py pillow, on Python 3\.11"):
        save_episodes(make_episodes([2]), NAME, root=tmp_path)

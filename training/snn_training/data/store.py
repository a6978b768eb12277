"""Episodes on disk, as Minari datasets that `minari.load_dataset` reads without this project.

A dataset holds T + 1 observations for T actions. What is told of a step is stored with the
observation that the step led to, as Gymnasium tells it: row 0 of each info is zero.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from snn_controller.errors import UserError
from snn_controller.vehicle import ACTION_SIZE, OBSERVATION_SIZE, OBSERVATION_VERSION
from snn_training.common import git_hash
from snn_training.data.episodes import PART_NAMES, EpisodeSet, Rows, check_episodes, join_sets

ROOT_VARIABLE, DEFAULT_ROOT = "MINARI_DATASETS_PATH", Path("datasets")
OURS = "snn_controller"  # the entry of a dataset's metadata that is this project's
MADE_ANEW = "make it anew with training/dataset.py"
SHARED = ("airframe", "control_rate", "action_kind", "observation_version", "reward_coefficients")


def datasets_root() -> Path:
    """Return where datasets are: $MINARI_DATASETS_PATH, or `datasets` where that is not set."""
    return Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)


def dataset_folder(name: str | Path, *, root: Path | None = None) -> Path:
    """Return the folder of a dataset that is there, by its id or its folder.

    Raises:
        UserError: There is none; the sentence lists those that there are.
    """
    root = datasets_root() if root is None else root
    for folder in (root / name, Path(name)):
        if (folder / "data").is_dir():
            return folder
    known = sorted(str(x.parent.relative_to(root)) for x in root.glob("**/data") if x.is_dir())
    listed = f"; there are: {', '.join(known)}" if known else ""
    raise UserError(
        f"there is no dataset {name} in {root}{listed}; make one, or set {ROOT_VARIABLE}"
    )


def save_episodes(
    episodes: EpisodeSet,
    dataset: str,
    *,
    root: Path | None = None,
    description: str = "",
    overwrite: bool = False,
) -> Path:
    """Write a dataset, whole or not at all, and return its folder.

    Args:
        episodes: Of one airframe, control rate, kind of action and reward.
        dataset: Its Minari id, like `drone/hover/expert-v0`.
        root: Where datasets are; None for `datasets_root()`.
        description: For those who find it.
        overwrite: Replace a dataset of that id.

    Raises:
        UserError: The episodes are unusable or too different for one dataset, the id is malformed
            or taken, Minari is not installed, or the place cannot be written.
    """
    check_episodes(episodes, dataset)
    folder = check_free(dataset, root=root, overwrite=overwrite)
    root = datasets_root() if root is None else root
    shared = _shared_metadata(episodes, dataset)
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=root, prefix=".writing-") as scratch:
            written = _write(episodes, dataset, Path(scratch), description, shared)
            if folder.exists():
                shutil.rmtree(folder)
            folder.parent.mkdir(parents=True, exist_ok=True)
            written.rename(folder)
            _name_spaces(Path(scratch), root, dataset)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error}); make room or choose another place with "
            f"{ROOT_VARIABLE}"
        ) from error
    return folder


def check_free(dataset: str, *, root: Path | None = None, overwrite: bool = False) -> Path:
    """Return the folder of a dataset that is to be written.

    Raises:
        UserError: The id is malformed or taken, or Minari is not installed.
    """
    _minari()
    from minari.dataset.minari_dataset import DATASET_ID_RE

    if not DATASET_ID_RE.fullmatch(dataset) or not dataset.rpartition("-v")[2].isdigit():
        raise UserError(
            f"'{dataset}' is no usable id; give letters, digits, - and _, a version at the end and "
            "folders before it, like drone/hover/expert-v0"
        )
    folder = (datasets_root() if root is None else root) / dataset
    if folder.exists() and not overwrite:
        raise UserError(f"{folder} is taken; choose another id, or replace it with --overwrite")
    return folder


def load_episodes(
    datasets: str | Path | Sequence[str | Path], *, root: Path | None = None
) -> EpisodeSet:
    """Return all episodes of datasets, each given by its Minari id or its folder.

    Raises:
        UserError: One is missing, damaged, not of this project or of another observation version;
            or they differ in airframe, control rate or kind of action.
    """
    names = [datasets] if isinstance(datasets, str | Path) else list(datasets)
    episodes = join_sets([_load(dataset_folder(name, root=root)) for name in names])
    for key in SHARED[:3]:
        values = {str(entry[key]) for entry in episodes.metadata}
        if len(values) > 1:
            raise UserError(
                f"the datasets differ in their {key.replace('_', ' ')} "
                f"({', '.join(sorted(values))}); train on one kind at a time"
            )
    return episodes


def _write(
    episodes: EpisodeSet, dataset: str, scratch: Path, description: str, shared: dict[str, Any]
) -> Path:
    """Write the dataset under another root and return its folder."""
    minari = _minari()
    from gymnasium.spaces import Box

    skills = sorted(set(episodes.skills))
    with _minari_root(scratch), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like addresses and an environment
        stored = minari.create_dataset_from_buffers(
            dataset,
            list(_buffers(episodes)),
            observation_space=Box(-np.inf, np.inf, (OBSERVATION_SIZE,), np.float32),
            action_space=Box(-1.0, 1.0, (ACTION_SIZE,), np.float32),
            algorithm_name=", ".join(sorted({x["policy"] for x in episodes.metadata})),
            description=description or f"quadrotor flights, skill: {', '.join(skills)}",
            data_format="hdf5",
        )
    stored.storage.update_metadata({OURS: {**shared, "skills": skills, "git": git_hash()}})
    return scratch / dataset


def _name_spaces(scratch: Path, root: Path, dataset: str) -> None:
    """Copy the files by which Minari knows the folders around a dataset."""
    for space in list(Path(dataset).parents)[:-1]:
        for file in (scratch / space).glob("*.json"):
            if not (root / space / file.name).exists():
                shutil.copy(file, root / space)


def _buffers(episodes: EpisodeSet) -> Iterator[Any]:
    from minari.data_collector import EpisodeBuffer

    for number, length in enumerate(episodes.lengths.tolist()):
        ends = np.arange(1, length + 1) == length
        crashed = bool(episodes.terminated[number])
        period = 1.0 / episodes.metadata[number]["control_rate"]
        told = dict(episodes.metadata[number])
        yield EpisodeBuffer(
            id=number,
            seed=told.get("seed"),
            # one text, because every attribute of an HDF5 group takes its time
            options={"story": json.dumps(told), "skill": episodes.skills[number]},
            observations=episodes.observations[number, : length + 1],  # pyright: ignore
            actions=episodes.actions[number, :length],  # pyright: ignore
            rewards=episodes.rewards[number, :length],  # pyright: ignore
            terminations=ends & crashed,  # pyright: ignore
            truncations=ends & (not crashed),  # pyright: ignore
            infos={
                "applied_action": _led_to(episodes.applied[number, :length]),
                "reward_parts": _led_to(episodes.parts[number, :length]),
                "time": (period * np.arange(length + 1, dtype=np.float32))[:, None],
            },
        )


def _led_to(rows: Rows) -> Rows:
    """Return rows (T, n) as those of the observations (T + 1, n) that they led to."""
    return np.concatenate([np.zeros_like(rows[:1]), rows])


def _load(folder: Path) -> EpisodeSet:
    minari = _minari()
    try:
        stored = minari.MinariDataset(folder / "data")
        ours = stored.storage.metadata.get(OURS)
        _check_metadata(stored, ours, folder)
        numbers = range(stored.total_episodes)
        rows = list(stored.storage.get_episodes(numbers))
        told = list(stored.storage.get_episode_metadata(numbers))
    except (OSError, RuntimeError, ValueError, KeyError, AssertionError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{folder} cannot be read ({reason}); {MADE_ANEW}") from error
    if not rows:
        raise UserError(f"{folder} holds no episodes; {MADE_ANEW}")
    episodes = _assemble(rows, told)
    check_episodes(episodes, str(folder))
    return episodes


def _assemble(rows: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]]) -> EpisodeSet:
    lengths = np.array([len(row["rewards"]) for row in rows], np.int64)
    count, steps = len(rows), int(lengths.max())
    episodes = EpisodeSet(
        np.zeros((count, steps + 1, OBSERVATION_SIZE), np.float32),
        np.zeros((count, steps, ACTION_SIZE), np.float32),
        np.zeros((count, steps), np.float32),
        lengths,
        np.array([bool(row["terminations"][-1:].any()) for row in rows]),
        np.zeros((count, steps, ACTION_SIZE), np.float32),
        np.zeros((count, steps, len(PART_NAMES)), np.float32),
        [str(entry["options"]["skill"]) for entry in told],
        [json.loads(entry["options"]["story"]) for entry in told],
    )
    for number, (row, length) in enumerate(zip(rows, lengths.tolist(), strict=True)):
        episodes.observations[number, : length + 1] = row["observations"]
        episodes.actions[number, :length] = row["actions"]
        episodes.rewards[number, :length] = row["rewards"]
        episodes.applied[number, :length] = row["infos"]["applied_action"][1:]
        episodes.parts[number, :length] = row["infos"]["reward_parts"][1:]
    return episodes


def _check_metadata(stored: Any, ours: Any, folder: Path) -> None:
    shapes = (stored.observation_space.shape, stored.action_space.shape)
    if not isinstance(ours, dict) or shapes != ((OBSERVATION_SIZE,), (ACTION_SIZE,)):
        raise UserError(f"{folder} is no dataset of this project; give one of training/dataset.py")
    version = ours["observation_version"]
    if version != OBSERVATION_VERSION:
        raise UserError(
            f"{folder} holds observations of version {version} and this release gives "
            f"{OBSERVATION_VERSION}; {MADE_ANEW}"
        )


def _shared_metadata(episodes: EpisodeSet, dataset: str) -> dict[str, Any]:
    """Return what all episodes have in common."""
    for key in SHARED:
        values = {json.dumps(entry[key], sort_keys=True) for entry in episodes.metadata}
        if len(values) > 1:
            raise UserError(
                f"the episodes of {dataset} differ in their {key.replace('_', ' ')}; write one "
                "dataset for each"
            )
    return {key: episodes.metadata[0][key] for key in SHARED}


@contextmanager
def _minari_root(root: Path) -> Iterator[None]:
    """Let Minari write below a folder for a while."""
    before = os.environ.get(ROOT_VARIABLE)
    os.environ[ROOT_VARIABLE] = str(root)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ROOT_VARIABLE]
        else:
            os.environ[ROOT_VARIABLE] = before


def _minari() -> Any:
    try:
        import h5py  # noqa: F401
        import minari
        import PIL  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"datasets need Minari ({error}); pip install minari h5py pillow, on Python 3.11 or "
            "later"
        ) from error
    return minari

"""Results of studies: one small JSON file a run, kept in the repository.

Each top-level entry, column of the curve and cell of the test is one line, so that a difference
between two results reads well.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from snn_controller.errors import UserError
from snn_controller.system import write_atomically

FORMAT = 1
MAX_CURVE_ROWS = 60  # keeps a result below 20 kB
DIGITS = 5  # significant, of every number of curve and evaluation
SAME = ("script", "options", "budget", "test")  # what must agree for two runs to be comparable
SPREAD_OVER_LINES = ("curve", "evaluation")

Result = dict[str, Any]


def result_path(folder: Path, label: str, seed: int) -> Path:
    """Return where the result of a setting and a seed is kept."""
    return folder / f"{label}-{seed}.json"


def write_result(path: Path, result: Mapping[str, Any]) -> None:
    """Write a result in one piece.

    Raises:
        UserError: The place cannot be written.
    """
    write_atomically(path, _format(result).encode())


def read_result(path: Path) -> Result | None:
    """Return a result, None if there is none.

    Raises:
        UserError: The file is damaged or of another version.
    """
    try:
        result = json.loads(path.read_text())
        version = result["format"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}); remove it to run it again") from error
    if version != FORMAT:
        raise UserError(f"{path} is of another version ({version}); remove it to run it again")
    return result


def check_same(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Refuse to take a result for that of a run with other options.

    Raises:
        UserError: They differ; the sentence says in what.
    """
    for key in SAME:
        if old[key] != new[key]:
            raise UserError(
                f"{path} was made with {key} {old[key]} and not {new[key]}; "
                "move it away, or choose another --results"
            )


def read_curve(path: Path) -> dict[str, list[float | None]]:
    """Return the columns of a run's CSV log, thinned to evenly spaced rows and the last one.

    What is no finite number is None.
    """
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0]) if rows else []
    kept = [rows[index] for index in _evenly(len(rows), MAX_CURVE_ROWS)]
    return {name: [_number(row[name]) for row in kept] for name in columns}


def rounded(value: Any) -> Any:
    """Return nested JSON values with numbers of five significant digits."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def _evenly(count: int, most: int) -> list[int]:
    if count <= most:
        return list(range(count))
    return [round(index * (count - 1) / (most - 1)) for index in range(most)]


def _number(text: str) -> float | None:
    if text.isdecimal():
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return None
    return rounded(value) if math.isfinite(value) else None


def _format(result: Mapping[str, Any]) -> str:
    lines = []
    for key, value in result.items():
        if key in SPREAD_OVER_LINES and value:
            inner = ",\n".join(f"  {json.dumps(k)}: {_dump(x)}" for k, x in value.items())
            lines.append(f" {json.dumps(key)}: {{\n{inner}\n }}")
        else:
            lines.append(f" {json.dumps(key)}: {_dump(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _dump(value: Any) -> str:
    return json.dumps(value, allow_nan=False)

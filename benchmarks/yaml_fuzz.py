"""Damaged YAML against its readers: airframe files, and parameter files as nodes take them.

    python benchmarks/yaml_fuzz.py --count 10000 --seed 1 --json yaml.json

Every file must end in a `UserError` of one line or in something that can be flown: numbers that are
finite and in their ranges. Exit code 1 where a reader died, hung, raised anything else, or took too
much time or memory. Parameter files need rclpy, and a node that declares its parameters each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from sandbox import Result, Sandbox, Work

from snn_controller.flight.parameters import ControllerSettings
from snn_controller.paths import share_directory
from snn_controller.vehicle.airframe import QUADROTORS_FILE

AIRFRAME = "crazyflie21"
MOST_SECONDS, MOST_MIB = 20.0, 512.0
HUGE = ("1e400", "-1e400", ".nan", ".inf", "-.inf", "9" * 400, str(2**63), str(-(2**70)), "1e-320")
ODD = (
    *HUGE,
    *("null", "true", "{}", "[]", "[[]]", "''", "~", "2001-01-01", "0x7f", "1_0", "*a", "&a 1"),
    *(
        "!!python/object/apply:os.system [id]",
        "!!binary aGk=",
        "!!set {a}",
        "text",
        "'\\0'",
        "\u2028",
    ),
    *("[1.0, 2, a]", "[true, 1]", "{a: {b: {c: 1}}}", "-1", "0", "0.0", "1", "100", "-0.0", "1.0"),
)
TOKENS = (
    ":",
    "- ",
    "\n",
    "\t",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "!",
    "|",
    ">",
    "%",
    "---",
    "?",
    "#",
)


def main() -> None:
    """Fuzz and print the result."""
    parser = argparse.ArgumentParser(description="Damaged YAML against its readers.")
    parser.add_argument("--count", type=int, default=1000, help="of each kind of file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write the result to")
    args = parser.parse_args()
    readers: dict[str, tuple[Work, str]] = {
        "airframe": (load_airframe, one_airframe()),
        "parameters": (load_parameters, all_parameters()),
    }
    result: dict[str, Any] = {"files": args.count, "seed": args.seed, "broken": 0}
    for name, (work, source) in readers.items():
        result[name] = fuzz(work, source, args.count, args.seed)
        result["broken"] += result[name]["broken"]
    text = json.dumps(result, indent=2)
    sys.stdout.write(f"{text}\n")
    if args.json:
        args.json.write_text(text + "\n")
    sys.exit(0 if result["broken"] == 0 else 1)


def one_airframe() -> str:
    """Return a file with the one airframe that is asked for."""
    return yaml.safe_dump({AIRFRAME: yaml.safe_load(QUADROTORS_FILE.read_text())[AIRFRAME]})


def all_parameters() -> str:
    """Return the shipped parameter file and, below it, every parameter with its default."""
    values = asdict(ControllerSettings())
    shipped = (share_directory() / "config" / "fly.yaml").read_text()
    return shipped + yaml.safe_dump({"snn_controller": {"ros__parameters": values}})


def fuzz(work: Work, source: str, count: int, seed: int) -> dict[str, Any]:
    """Give one reader that many files and return what came of them."""
    outcomes: Counter[str] = Counter()
    broken, worst = [], {"seconds": 0.0, "mib": 0.0}
    with (
        tempfile.TemporaryDirectory(prefix="yaml-fuzz-") as folder,
        Sandbox(work, Path(folder)) as sandbox,
    ):
        path = Path(folder) / "file.yaml"
        for kind, content in files(source, count, seed):
            path.write_bytes(content)
            result = sandbox(str(path))
            worst = {key: max(most, getattr(result, key)) for key, most in worst.items()}
            costly = result.seconds > MOST_SECONDS or result.mib > MOST_MIB
            outcomes[result.outcome if not costly else "too much time or memory"] += 1
            if costly or result.outcome not in ("refused", "loaded"):
                broken.append(f"{kind}: {result.outcome} {result.text[:300]} {content[:200]!r}")
    return {
        "outcomes": dict(outcomes),
        "worst_seconds": round(worst["seconds"], 3),
        "worst_mib": round(worst["mib"], 1),
        "broken": len(broken),
        "what_broke": broken[:50],
    }


def files(source: str, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield damaged files with the kind of their damage."""
    rng = np.random.default_rng(seed)
    damages: tuple[Callable[[str, np.random.Generator], bytes], ...] = (
        *(flip, cut, tokens, lines, values, values, values, bomb),
    )
    for _ in range(count):
        damage = damages[rng.integers(len(damages))]
        yield damage.__name__, damage(source, rng)


def flip(source: str, rng: np.random.Generator) -> bytes:
    """Turn some bits."""
    data = bytearray(source.encode())
    for _ in range(int(rng.integers(1, 9))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(source: str, rng: np.random.Generator) -> bytes:
    """Leave a piece out, or put random bytes in its place."""
    data, (a, b) = source.encode(), np.sort(rng.integers(0, len(source) + 1, 2))
    return data[:a] + (rng.bytes(int(rng.integers(50))) if rng.random() < 0.5 else b"") + data[b:]


def tokens(source: str, rng: np.random.Generator) -> bytes:
    """Put signs of the language where they do not belong."""
    for _ in range(int(rng.integers(1, 6))):
        place = int(rng.integers(len(source)))
        source = source[:place] + TOKENS[rng.integers(len(TOKENS))] + source[place:]
    return source.encode()


def lines(source: str, rng: np.random.Generator) -> bytes:
    """Shuffle, repeat, indent or drop lines."""
    rows = source.splitlines()
    for _ in range(int(rng.integers(1, 4))):
        a, b = rng.integers(len(rows), size=2)
        kind = int(rng.integers(4))
        if kind == 0:
            rows[a], rows[b] = rows[b], rows[a]
        elif kind == 1:
            rows.insert(a, rows[b])
        elif kind == 2:
            rows[a] = " " * int(rng.integers(9)) + rows[a].lstrip()
        else:
            del rows[a]
    return "\n".join(rows).encode()


def values(source: str, rng: np.random.Generator) -> bytes:
    """Give one or two entries another value, of any type and size."""
    rows = source.splitlines()
    entries = [i for i, row in enumerate(rows) if ": " in row and not row.lstrip().startswith("#")]
    for _ in range(int(rng.integers(1, 3))):
        number = entries[int(rng.integers(len(entries)))]
        key = rows[number].partition(": ")[0]
        rows[number] = f"{key}: {ODD[rng.integers(len(ODD))]}"
    return "\n".join(rows).encode()


def bomb(source: str, rng: np.random.Generator) -> bytes:
    """Grow without end: aliases of aliases, depth, length."""
    kind, size = int(rng.integers(4)), int(2.0 ** rng.uniform(3.0, 16.0))
    if kind == 0:
        count = min(size, 60)
        rows = ["a0: &a0 [0, 0, 0, 0, 0, 0, 0, 0, 0]"]
        rows += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, count)]
        return "\n".join([*rows, source.replace(": 0.1", f": *a{count - 1}")]).encode()
    if kind == 1:
        return (source + "\nx: " + "[" * size).encode()
    if kind == 2:
        return (
            source + "\n" + "".join(" " * i + f"k{i}:\n" for i in range(min(size, 1000)))
        ).encode()
    return (source + "\nlong: " + "9" * size * 16).encode()


def load_airframe(path: str) -> Result:
    """Read an airframe file and see whether what it describes can fly."""
    from snn_controller.vehicle.airframe import load_quadrotor

    quadrotor = load_quadrotor(AIRFRAME, Path(path))
    numbers = (quadrotor.mass, quadrotor.hover_throttle, *quadrotor.inverse_mixer.ravel())
    sane = np.isfinite(numbers).all() and 0.0 < quadrotor.hover_throttle < 1.0
    return Result("loaded" if sane else "loaded, not sane", str(numbers))


def load_parameters(path: str) -> Result:
    """Read a parameter file as the controller does, and prepare the flight that it asks for."""
    import rclpy
    from rclpy.utilities import try_shutdown

    from snn_controller.errors import UserError
    from snn_controller.flight.setup import prepare_flight
    from snn_controller.nodes.ros.main import start_ros
    from snn_controller.nodes.ros.parameters import declare_settings

    try:
        start_ros(["--ros-args", "--params-file", path])
        node = rclpy.create_node("snn_controller")
        try:
            settings = declare_settings(node, ControllerSettings)
            prepare_flight(settings)
        finally:
            node.destroy_node()
    except UserError as error:
        raise UserError(f"{path}: {error}") from error  # sentences name the parameter
    finally:
        try_shutdown()
    return Result("loaded" if _in_range(settings) else "loaded, not sane", str(settings)[:300])


def _in_range(settings: Any) -> bool:
    for field in fields(settings):
        value, low, high = (
            getattr(settings, field.name),
            field.metadata["low"],
            field.metadata["high"],
        )
        if isinstance(value, float) and not np.isfinite(value):
            return False
        if low is not None and not low - 1e-9 <= value <= (np.inf if high is None else high + 1e-9):
            return False
    return True


if __name__ == "__main__":
    main()

"""Command line of the training scripts: dataclass arguments, one-sentence errors, clean Ctrl-C.

Also which source a result comes from.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from snn_controller.errors import UserError

Arguments = TypeVar("Arguments")


def run_command(main: Callable[[Arguments], object], arguments: type[Arguments]) -> None:
    """Parse the command line into the dataclass and run; exit 2 on bad input, 130 on Ctrl-C."""
    import tyro

    try:
        main(tyro.cli(arguments, description=arguments.__doc__))
    except UserError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("stopped\n")
        sys.exit(130)


Budget = Literal["full", "study"]


def with_budget(args: Arguments, study: Mapping[str, Any]) -> Arguments:
    """Return a script's arguments as its `--budget` wants them.

    Args:
        args: A dataclass with defaults for all fields and a field `budget`.
        study: Field -> value in a study, used where the argument has its default.
    """
    is_study = getattr(args, "budget") == "study"  # noqa: B009 (a type variable has no such field)
    return _with_defaults(args, study) if is_study else args


def with_simulator(args: Arguments, pybullet: Mapping[str, Any]) -> Arguments:
    """Return a script's arguments as its `--sim` wants them.

    Args:
        args: A dataclass with defaults for all fields and a field `sim`.
        pybullet: Field -> value for `pybullet`, used where the argument has its default.
    """
    is_pybullet = getattr(args, "sim") == "pybullet"  # noqa: B009 (as above)
    return _with_defaults(args, pybullet) if is_pybullet else args


def _with_defaults(args: Arguments, defaults: Mapping[str, Any]) -> Arguments:
    """Return arguments with other defaults; what was chosen stays."""
    usual = type(args)()
    untouched = {k: x for k, x in defaults.items() if getattr(args, k) == getattr(usual, k)}
    return replace(args, **untouched)  # type: ignore[type-var]


def git_hash() -> str:
    """Return the commit of the source tree, with `+changes` if files differ, or `unknown`."""
    here = Path(__file__).parent
    try:
        commit = _git("rev-parse", "HEAD", folder=here)
        changed = _git("status", "--porcelain", "--untracked-files=no", folder=here)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}+changes" if changed else commit


def _git(*arguments: str, folder: Path) -> str:
    result = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return result.stdout.strip()

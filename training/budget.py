"""How much a run may cost: everything, or the few minutes on one core that a study gives it.

Studies compare settings over several seeds, so each run is short and all of them equally so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, TypeVar

Budget = Literal["full", "study"]
Arguments = TypeVar("Arguments")


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

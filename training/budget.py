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
    if getattr(args, "budget") != "study":  # noqa: B009 (a type variable has no such field)
        return args
    defaults = type(args)()
    untouched = {k: x for k, x in study.items() if getattr(args, k) == getattr(defaults, k)}
    return replace(args, **untouched)  # type: ignore[type-var]

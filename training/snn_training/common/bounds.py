"""Bounds of options, written at the field and checked in one place.

    @dataclass
    class Options:
        rate: float = bounded(3e-4, above=0, at_most=1)

`check_bounds` refuses what is out of them in a sentence that names the option as the command line
does, `--learner.rate`. What ties options of one dataclass together is its method `relations`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, fields, is_dataclass
from typing import Any

from snn_controller.errors import UserError

CHECK = "check"  # of a field's metadata: whether a value is good, what is allowed

Rules = dict[str, tuple[bool, str]]  # option -> whether it is good, what is allowed


def checked(default: Any, good: Callable[[Any], bool], allowed: str) -> Any:
    """Return a dataclass field with a check of its own.

    Args:
        default: Its default.
        good: Whether a value is allowed.
        allowed: What is, as it follows "it must be".
    """
    return field(default=default, metadata={CHECK: (good, allowed)})


def bounded(
    default: float,
    at_least: float | None = None,
    at_most: float | None = None,
    *,
    above: float | None = None,
    below: float | None = None,
    note: str = "",
) -> Any:
    """Return a dataclass field whose number is bounded; NaN is never allowed.

    Args:
        default: Its default.
        at_least: Smallest value.
        at_most: Largest value.
        above: What it must be larger than.
        below: What it must be smaller than.
        note: What the refusing sentence says behind the bounds.
    """

    def good(value: float) -> bool:
        return (
            value == value
            and (at_least is None or value >= at_least)
            and (at_most is None or value <= at_most)
            and (above is None or value > above)
            and (below is None or value < below)
        )

    return checked(default, good, _words(at_least, at_most, above, below) + note)


def layers(default: tuple[int, ...]) -> Any:
    """Return a dataclass field for the sizes of hidden layers."""

    def good(sizes: tuple[int, ...]) -> bool:
        return 1 <= len(sizes) <= 8 and all(1 <= size <= 4096 for size in sizes)

    return checked(default, good, "one to eight layers of 1 to 4096 neurons")


def some(default: tuple[str, ...], of_what: str) -> Any:
    """Return a dataclass field for one or more names."""
    return checked(default, lambda names: len(names) >= 1, f"one or more {of_what}")


def plain_name(default: str) -> Any:
    """Return a dataclass field for the name of a folder."""

    def good(name: str) -> bool:
        return name not in ("", ".", "..") and "/" not in name

    return checked(default, good, "a plain name")


def check_bounds(options: Any, prefix: str = "") -> None:
    """Refuse the first field of a dataclass, or of those inside, that is out of its bounds.

    Args:
        options: Instance of a dataclass.
        prefix: Of its options on the command line, as `learner.`.

    Raises:
        UserError: One is; the sentence names it and what is allowed.
    """
    for each in fields(options):
        name, value = prefix + each.name.replace("_", "-"), getattr(options, each.name)
        if is_dataclass(value):
            check_bounds(value, f"{name}.")
        elif CHECK in each.metadata:
            good, allowed = each.metadata[CHECK]
            require({name: (good(value), allowed)})
    relations: Rules = options.relations() if hasattr(options, "relations") else {}
    require({prefix + name: rule for name, rule in relations.items()})


def require(rules: Rules) -> None:
    """Refuse the first option that breaks its rule.

    Raises:
        UserError: One does; the sentence names it and what is allowed.
    """
    for option, (good, allowed) in rules.items():
        if not good:
            raise UserError(f"--{option} is out of range; it must be {allowed}")


def _words(
    at_least: float | None, at_most: float | None, above: float | None, below: float | None
) -> str:
    """Return bounds in words, as "0 to 1" or "above 0 and at most 1"."""
    if at_least is not None and at_most is not None:
        return f"{_number(at_least)} to {_number(at_most)}"
    words = []
    if at_least is not None:
        words.append("0 or more" if at_least == 0 else f"at least {_number(at_least)}")
    for word, limit in (("above", above), ("at most", at_most), ("below", below)):
        if limit is not None:
            words.append(f"{word} {_number(limit)}")
    return " and ".join(words)


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"

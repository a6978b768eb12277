"""The one exception that is meant for people: a sentence that says what is wrong and the mend."""

from __future__ import annotations

LONGEST_QUOTE = 120  # characters


class UserError(Exception):
    """Bad input or a missing part. Entry points print its text without a traceback and exit 2."""


def quote(value: object) -> str:
    """Return what somebody gave as one short line that is fit for a sentence.

    Files and messages of libraries may hold anything: line breaks, control characters, megabytes.
    """
    line = _printable(str(value)[: LONGEST_QUOTE + 1])
    return line if len(line) <= LONGEST_QUOTE else f"{line[: LONGEST_QUOTE - 3]}..."


def quote_end(value: object) -> str:
    """Return the end of what somebody gave likewise: of a path its file, of an error its cause."""
    line = _printable(str(value)[-LONGEST_QUOTE - 1 :])
    return line if len(line) <= LONGEST_QUOTE else f"...{line[3 - LONGEST_QUOTE :]}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)

"""The one exception that is meant for people: a sentence that says what is wrong and the mend."""

from __future__ import annotations


class UserError(Exception):
    """Bad input or a missing part. Entry points print its text without a traceback and exit 2."""

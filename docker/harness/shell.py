"""Commands, and the one exception that is meant for people."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class DockerError(Exception):
    """What is missing, in one sentence with the mend. The entry point prints it and exits 2."""


def run(
    command: Sequence[str | Path],
    *,
    timeout: float = 60.0,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return it with its output; it may fail.

    A program that is missing counts as exit code 127, one that takes longer than `timeout` s as
    124, as in a shell.
    """
    words = [str(word) for word in command]
    try:
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            env=None if environment is None else dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return subprocess.CompletedProcess(words, 127, "", f"{words[0]} is not installed")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(words, 124, "", f"no answer after {timeout:g} s")


def must(command: Sequence[str | Path], sentence: str, **options: object) -> str:
    """Run a command and return its output.

    Raises:
        DockerError: It failed; `sentence` says what that means, its last words say why.
    """
    done = run(command, **options)  # type: ignore[arg-type]
    if done.returncode != 0:
        raise DockerError(f"{sentence} ({last_words(done.stderr or done.stdout)})")
    return done.stdout


def last_words(text: str) -> str:
    """Return the last line that is not empty, shortened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"

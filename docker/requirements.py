"""Prints what extras of pyproject.toml ask for, a line each: `requirements.py flight training`."""

from __future__ import annotations

import sys
from pathlib import Path

import tomllib  # pyright: ignore[reportMissingImports] - runs on the image's Python 3.11


def requirements(project: Path, extras: list[str]) -> list[str]:
    """Return the requirements of the core and of some extras."""
    table = tomllib.loads(project.read_text())["project"]
    lists = [table["dependencies"], *(table["optional-dependencies"][extra] for extra in extras)]
    return [line for lines in lists for line in lines]


if __name__ == "__main__":
    print(*requirements(Path("pyproject.toml"), sys.argv[1:]), sep="\n")

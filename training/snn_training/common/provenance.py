"""Which source a result comes from."""

from __future__ import annotations

import subprocess
from pathlib import Path


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

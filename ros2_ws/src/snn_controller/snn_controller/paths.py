"""Where files are: what the package ships, and where a flight's report goes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from snn_controller.errors import UserError

SHIPPED_POLICY = "hover.onnx"


def share_directory() -> Path:
    """Return the folder that holds `policies/` and `config/`.

    That is the ROS package itself in a source tree (also for `pip install -e` and colcon's
    --symlink-install), else `share/snn_controller` of the prefix this module is installed in.

    Raises:
        UserError: Neither is there, so the installation is broken.
    """
    here = Path(__file__).resolve()
    candidates = [here.parents[1]]
    if len(here.parents) > 4:
        candidates.append(here.parents[4] / "share" / "snn_controller")
    for candidate in candidates:
        if (candidate / "policies").is_dir() and (candidate / "config").is_dir():
            return candidate
    raise UserError(
        f"the data files of snn_controller are missing from {candidates[-1]}; install it again"
    )


def policy_path(name: str) -> Path:
    """Return the policy file of that path, or the shipped one of that name (`hover_rates`).

    An empty name is the shipped policy `hover`. A file of the name in the working folder wins.
    """
    given = Path(os.path.expanduser(name))  # Path's own raises for a user who does not exist
    if name and (os.path.exists(given) or given.suffix or given.name != name):
        return given
    shipped = share_directory() / "policies"
    found = shipped / (f"{name}.onnx" if name else SHIPPED_POLICY)
    return found if not name or os.path.isfile(found) else given


def report_folder(folder: str, task: str, seed: int) -> Path:
    """Return the folder of a flight's report: the one asked for, or a new one under flights/."""
    if folder:
        return Path(os.path.expanduser(folder)).absolute()
    return (Path("flights") / f"{datetime.now():%Y%m%d-%H%M%S}-{task}-seed{seed}").absolute()


def check_writable(folder: Path) -> None:
    """Create a folder and make sure that it can be written.

    Raises:
        UserError: It cannot.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"report folder {folder} cannot be written ({reason}); give report:=FOLDER"
        ) from error


LOG_VARIABLE = "ROS_LOG_DIR"


def log_folder(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variable that sends ROS's logs to a temporary folder, where it needs one.

    ROS does not start where it cannot make its log folder, as without a home that can be written.
    None is needed where somebody has chosen a folder, or the usual one can be written.
    """
    if environment.get(LOG_VARIABLE):
        return {}
    home = environment.get("HOME", "")
    usual = environment.get("ROS_HOME") or (os.path.join(home, ".ros") if home else "")
    try:
        if usual:
            folder = os.path.join(home + usual[1:] if usual[0] == "~" else usual, "log")
            os.makedirs(folder, exist_ok=True)
            if os.access(folder, os.W_OK | os.X_OK):
                return {}
    except OSError:
        pass
    try:
        return {LOG_VARIABLE: tempfile.mkdtemp(prefix="ros-log-")}
    except OSError:
        return {}  # ROS refuses to start, which is told

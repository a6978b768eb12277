"""The base image where no registry answers: made from the distribution's own archive.

It takes the host's certificates and the host's pip and apt settings, without which nothing could be
installed on top of it. So it is for tests on this machine, has a name of its own, and is never to
be published.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.shell import DockerError, last_words, must, run

OFFICIAL = "debian:bookworm-slim"
LOCAL = "snn-controller-base:bookworm"
SUITE = "bookworm"
PULL_TIME = 60.0  # s; a registry that can be reached answers sooner
BOOTSTRAP_TIME = 600.0  # s
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
# What the official slim image leaves out too.
DISPENSABLE = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")


def base_image(*, private: bool) -> str:
    """Return the name of an image to build on, which is there.

    Args:
        private: Whether the engine is ours; only there a base image is made.

    Raises:
        DockerError: There is none, and none can be fetched or made.
    """
    for name in (OFFICIAL, LOCAL):
        if has_image(name):
            return name
    done = run(["docker", "pull", "--quiet", OFFICIAL], timeout=PULL_TIME)
    if done.returncode == 0:
        return OFFICIAL
    why = last_words(done.stderr)
    if not private:
        raise DockerError(
            f"image {OFFICIAL} is missing and no registry gives it ({why}); bring it by docker"
            " load, or stop the engine and run as root: a private one makes its own base image"
        )
    print(f"docker: no registry gives {OFFICIAL}; making a base image by debootstrap", flush=True)
    _make()
    return LOCAL


def has_image(name: str) -> bool:
    """Whether the engine has an image."""
    return run(["docker", "image", "inspect", name]).returncode == 0


def archive_address(sources: str) -> str | None:
    """Return the first archive in the text of APT's sources, of either format; None if none."""
    for line in sources.splitlines():
        words = line.split()
        if words[:1] == ["URIs:"] and len(words) > 1:
            return words[1]
        if words[:1] == ["deb"]:
            return next((word for word in words[1:] if "://" in word), None)
    return None


def _make() -> None:
    if shutil.which("debootstrap") is None:
        raise DockerError(
            "debootstrap is not installed and no registry answers; run: apt-get install debootstrap"
        )
    with tempfile.TemporaryDirectory(prefix="snn-base-") as folder:
        root = Path(folder) / "root"
        root.mkdir(mode=0o755)
        _bootstrap(root)
        _copy_settings(root)
        _shrink(root)
        _import(root)


def _bootstrap(root: Path) -> None:
    address = archive_address(_sources())
    words = ["debootstrap", "--variant=minbase", "--include=ca-certificates", SUITE, str(root)]
    must(
        words + ([address] if address else []),
        "debootstrap could not make a base image; check that APT's archive can be reached",
        timeout=BOOTSTRAP_TIME,
    )


def _sources() -> str:
    folder = Path("/etc/apt")
    files = [*sorted(folder.glob("sources.list.d/*.sources")), folder / "sources.list"]
    files += sorted(folder.glob("sources.list.d/*.list"))
    return "\n".join(file.read_text(errors="replace") for file in files if file.is_file())


def _copy_settings(root: Path) -> None:
    """Give the image what lets this host install packages."""
    own = root / "usr/local/share/ca-certificates"
    own.mkdir(parents=True, exist_ok=True)
    for file in Path("/usr/local/share/ca-certificates").glob("*.crt"):
        shutil.copy(file, own)
    must(["chroot", root, "update-ca-certificates"], "the base image takes no certificates")
    if Path("/etc/pip.conf").is_file():
        shutil.copy("/etc/pip.conf", root / "etc")
    for file in Path("/etc/apt/apt.conf.d").iterdir():
        if run(["dpkg", "--search", file]).returncode != 0:  # the host's own, of no package
            shutil.copy(file, root / "etc/apt/apt.conf.d")


def _shrink(root: Path) -> None:
    for name in (*DISPENSABLE, "var/cache/apt/archives", "var/lib/apt/lists"):
        for entry in (root / name).iterdir() if (root / name).is_dir() else ():
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (root / "var/lib/apt/lists/partial").mkdir(parents=True, exist_ok=True)
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)


def _import(root: Path) -> None:
    environment = f"ENV SSL_CERT_FILE={CERTIFICATES} PIP_CERT={CERTIFICATES}"
    command = ["docker", "import", "-c", 'CMD ["bash"]', "-c", environment, "-", LOCAL]
    archive = ["tar", "--directory", str(root), "--numeric-owner", "--create", "."]
    with subprocess.Popen(archive, stdout=subprocess.PIPE) as tar:
        done = subprocess.run(
            command, stdin=tar.stdout, capture_output=True, text=True, env=dict(os.environ)
        )
    if done.returncode != 0 or tar.returncode != 0:
        raise DockerError(f"the base image could not be imported ({last_words(done.stderr)})")

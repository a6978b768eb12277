"""Builds the images, with what the engine at hand can give."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from harness.base_image import base_image
from harness.engine import Engine
from harness.shell import DockerError, last_words, run

IMAGE = "snn-controller"
BUILD_TIME = 1800.0  # s


def build(engine: Engine, root: Path, target: str = "flight") -> str:
    """Build a stage of the Dockerfile and return the image's name.

    Raises:
        DockerError: It cannot be built.
    """
    name, begin = f"{IMAGE}:{target}", monotonic()
    base = base_image(private=engine.private)
    revision = run(["git", "rev-parse", "HEAD"], folder=root).stdout.strip() or "unknown"
    program, environment = builder()
    words = [program, "build", *engine.build_options, "--target", target, "--tag", name]
    for key, value in {"BASE_IMAGE": base, "REVISION": revision}.items():
        words += ["--build-arg", f"{key}={value}"]
    words += ["--file", str(root / "docker" / "Dockerfile"), str(root)]
    before = run(["docker", "image", "inspect", "--format", "{{.Id}}", name]).stdout.strip()
    done = run(words, timeout=BUILD_TIME, environment={**os.environ, **environment})
    if done.returncode != 0:
        raise DockerError(
            f"image {name} cannot be built ({explain_build(done.stdout, done.stderr)})"
        )
    _remove_nameless(before)
    size = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", name]).stdout or 0)
    print(f"docker: {name}, {size / 1e6:.0f} MB, in {monotonic() - begin:.0f} s", flush=True)
    return name


def require_images(stages: Sequence[str]) -> None:
    """Refuse to go on without images, before Compose looks for them in a registry.

    Raises:
        DockerError: One is missing.
    """
    for stage in stages:
        name = f"{IMAGE}:{stage}"
        if run(["docker", "image", "inspect", name]).returncode != 0:
            raise DockerError(f"image {name} is missing; leave --no-build away, and it is built")


def _remove_nameless(image: str) -> None:
    """Remove an image that its successor has left without a name; layers that are shared stay."""
    tags = run(["docker", "image", "inspect", "--format", "{{len .RepoTags}}", image])
    if image and tags.stdout.strip() == "0":
        run(["docker", "image", "rm", "--no-prune", image])


@contextmanager
def host_wheels(root: Path) -> Iterator[None]:
    """Lend the build what only this host has: torch's wheels of the folders in PIP_FIND_LINKS."""
    lent: list[Path] = []
    for folder in os.environ.get("PIP_FIND_LINKS", "").split():
        for wheel in Path(folder).glob("torch-*.whl"):
            copy = root / "docker" / "wheels" / wheel.name
            if not copy.exists():
                shutil.copy(wheel, copy)
                lent.append(copy)
    try:
        yield
    finally:
        for copy in lent:
            copy.unlink(missing_ok=True)


def builder() -> tuple[str, dict[str, str]]:
    """Return the client to build with and what it needs in its environment.

    BuildKit halves the time. Clients before 23 have it built in, later ones by the plugin buildx;
    where several clients are installed, one that has it is taken.
    """
    clients = [
        found for folder in os.get_exec_path() if (found := shutil.which("docker", path=folder))
    ]
    for client in clients:
        version = run([client, "version", "--format", "{{.Client.Version}}"]).stdout
        if run([client, "buildx", "version"]).returncode == 0:
            return client, {"DOCKER_BUILDKIT": "1"}
        if has_buildkit(version):
            return client, {"DOCKER_BUILDKIT": "1"}
    return "docker", {"DOCKER_BUILDKIT": "0"}


def has_buildkit(version: str) -> bool:
    """Whether a client of this version builds by BuildKit without a plugin."""
    major = version.strip().partition(".")[0]
    return major.isdigit() and 19 <= int(major) < 23


def explain_build(output: str, errors: str) -> str:
    """Return why a build failed, with the mend where one is known."""
    text = f"{output}\n{errors}"
    if "No space left" in text or "no space left" in text:
        return "the disk is full; free some space: docker system prune"
    # The builder's own error only repeats the command; the command's says why.
    lines = [line.strip() for line in text.splitlines() if "executor failed running" not in line]
    causes = [line for line in lines if "ERROR:" in line or "E: " in line]
    return causes[-1][:300] if causes else last_words(errors or output)

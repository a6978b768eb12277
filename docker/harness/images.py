"""Builds the images, with what the engine at hand can give."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from harness.base_image import base_image
from harness.engine import Engine
from harness.shell import DockerError, last_words, run

IMAGE = "snn-controller"
BUILD_TIME = 1200.0  # s


def build(engine: Engine, root: Path, target: str = "flight") -> str:
    """Build a stage of the Dockerfile and return the image's name.

    Raises:
        DockerError: It cannot be built.
    """
    name, begin = f"{IMAGE}:{target}", monotonic()
    base = base_image(private=engine.private)
    revision = run(["git", "rev-parse", "HEAD"], folder=root).stdout.strip() or "unknown"
    words = ["docker", "build", *engine.build_options, "--target", target, "--tag", name]
    for key, value in {"BASE_IMAGE": base, "REVISION": revision}.items():
        words += ["--build-arg", f"{key}={value}"]
    done = run([*words, "--file", root / "docker" / "Dockerfile", root], timeout=BUILD_TIME)
    if done.returncode != 0:
        raise DockerError(
            f"image {name} cannot be built ({explain_build(done.stdout, done.stderr)})"
        )
    size = int(run(["docker", "image", "inspect", "--format", "{{.Size}}", name]).stdout or 0)
    print(f"docker: {name}, {size / 1e6:.0f} MB, in {monotonic() - begin:.0f} s", flush=True)
    return name


def explain_build(output: str, errors: str) -> str:
    """Return why a build failed, with the mend where one is known."""
    text = f"{output}\n{errors}"
    if "No space left" in text or "no space left" in text:
        return "the disk is full; free some space: docker system prune"
    causes = [line.strip() for line in text.splitlines() if "ERROR:" in line or "E: " in line]
    return causes[-1][:300] if causes else last_words(errors or output)

"""Real container engines for the tests, and the images that the tests run in them."""

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from support import ROOT

IN_CI = os.environ.get("CI") == "true"


def no_engine(reason: str) -> None:
    """Skip on a desk that lacks an engine; fail in CI, which must not."""
    (pytest.fail if IN_CI else pytest.skip)(reason)


def build(engine: str, *names: str) -> None:
    """Build images of ``docker/``; those that are up to date cost nothing."""
    done = subprocess.run(
        [ROOT / "docker" / "build.sh", *names], env=dict(os.environ, ENGINE=engine), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def hand_over(names: list[str]) -> None:
    """Bring images from Podman to Docker, where Docker does not have just these yet."""
    images = [f"localhost/tef-{name}:1" for name in names]
    stale = [image for image in images if image_id("podman", image) != image_id("docker", image)]
    if stale:
        command = ["podman", "save", "--quiet", "--multi-image-archive", *stale]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as save:
            subprocess.run(["docker", "load", "--quiet"], stdin=save.stdout, check=True, capture_output=True)
        assert save.returncode == 0


def image_id(engine: str, image: str) -> str | None:
    """The id of an image, or None where the engine has none."""
    told = subprocess.run(
        [engine, "image", "inspect", "--format", "{{.Id}}", image], capture_output=True, text=True, check=False
    )
    return told.stdout.strip().removeprefix("sha256:") if told.returncode == 0 else None


def podman() -> None:
    """Podman is there, or the test is not for this desk."""
    if shutil.which("podman") is None:
        no_engine("Podman is not installed")


def docker(folder: Path) -> subprocess.Popen[bytes] | None:
    """Docker answers; its daemon is started where it is installed, asleep, and we may. Returns the daemon that we started."""
    if _docker_answers():
        return None
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        no_engine("Docker is not up, and this user cannot start it")
    command = ["dockerd", "--bridge=none", "--iptables=false", "--ip6tables=false"]
    with (folder / "dockerd.log").open("wb") as log:
        daemon = subprocess.Popen(command, stdout=log, stderr=log)
    for _ in range(120):
        if _docker_answers():
            return daemon
        if daemon.poll() is not None:
            break
        time.sleep(0.5)
    no_engine(f"dockerd does not start: {(folder / 'dockerd.log').read_text()[-500:]}")
    return None


def _docker_answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0

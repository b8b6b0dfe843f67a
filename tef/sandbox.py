"""What a sealed container is: the one description that every runtime starts from, and what a runtime must be able to do."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tef.benchmark import Limits


@dataclass(frozen=True, slots=True)
class PinnedImage:
    """An image that is on this machine, pinned to its bytes.

    Attributes:
        reference: As the submission names it.
        digest: ``sha256:...`` of the image as the engine identifies it; containers are started from this and nothing else.
        size_bytes: Unpacked size as the engine tells it.
        platform: Such as ``linux/amd64``.
        labels: The image's labels.
    """

    reference: str
    digest: str
    size_bytes: int
    platform: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of the host as the container sees it."""

    source: Path
    target: str
    writable: bool


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """Everything that decides how a container is started; nothing else does.

    Attributes:
        image: `PinnedImage.digest`.
        name: Unique on the host.
        run_id: Written as a label, by which leftovers of a killed run are found.
        gpus: Names of the devices as the site configured them, such as ``0`` or a CDI name.
    """

    image: str
    name: str
    run_id: str
    mounts: tuple[Mount, ...]
    limits: Limits
    gpus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How a container ended.

    Attributes:
        exit_code: The container's; 125 to 127 where it did not come to life.
        oom_killed: Ended by the memory limit. Where the engine does not tell, exit code 137 that the harness did not cause.
        engine_error: What the engine said, where the container never came to life; else None. Nothing of it is the model's.
    """

    exit_code: int
    oom_killed: bool
    engine_error: str | None = None


class Container(Protocol):
    """A running container, its three standard streams in the hands of a contract."""

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The engine's foreground process: stdin, stdout and stderr are pipes to the container."""

    def kill(self) -> None:
        """End it at once, and everything in it; harmless when it has ended already."""

    def ending(self) -> Ending:
        """Wait until it has ended, remove it, and say how it ended."""


class Runtime(Protocol):
    """A container engine."""

    @property
    def gpus(self) -> tuple[str, ...]:
        """Devices that this site gives to models, one a worker."""

    def pin(self, reference: str, digest: str | None) -> PinnedImage:
        """Find an image on this machine and pin it.

        Raises:
            SubmissionError: ``IMAGE_UNAVAILABLE``, or an image that cannot be run sealed.
            ConfigError: The engine does not answer.
        """

    def start(self, spec: ContainerSpec) -> Container:
        """Start a container as `spec` says."""

    def run_ids(self) -> frozenset[str]:
        """Runs of which there are containers on this machine, alive or not."""

    def remove_leftovers(self, run_id: str) -> int:
        """Remove containers that a killed run left behind, and say how many."""

    def facts(self) -> Mapping[str, str]:
        """Name and version of the engine and of what it starts containers with, for the record."""

"""Podman and Docker, spoken to through their command lines."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

from tef.errors import ConfigError, SubmissionError
from tef.runtimes.container import RUN_LABEL, EngineName, container_args
from tef.sandbox import ContainerSpec, Ending, PinnedImage

_ANSWER_TIMEOUT_S = 120
_FAREWELL_S = 10
# Devices may be written as numbers, as people do.
_strict = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


def _listed(gpus: object) -> object:
    if not isinstance(gpus, list | tuple):
        raise ValueError("must be a list, such as [0,1]")
    return gpus


Gpus = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/=:-]*$")], ...],
    BeforeValidator(_listed),
]


@dataclass(frozen=True, config=_strict)
class _Engine:
    """What Podman and Docker have in common, which is nearly all.

    Attributes:
        oci_runtime: What starts containers: ``runc``, ``crun``, ``runsc``, or None for the engine's own choice.
        gpus: Devices given to models, one a worker: indexes, CDI names such as ``nvidia.com/gpu=0``, or UUIDs.
    """

    oci_runtime: str | None = None
    gpus: Gpus = ()
    name: ClassVar[EngineName]

    def pin(self, reference: str, digest: str | None) -> PinnedImage:
        """See `tef.sandbox.Runtime.pin`."""
        return _pin(self.name, reference, digest)

    def start(self, spec: ContainerSpec) -> "EngineContainer":
        """See `tef.sandbox.Runtime.start`."""
        return EngineContainer(self.name, spec.name, container_args(self.name, spec, oci_runtime=self._oci_runtime()))

    def run_ids(self) -> frozenset[str]:
        """See `tef.sandbox.Runtime.run_ids`."""
        return _run_ids(self.name)

    def remove_leftovers(self, run_id: str) -> int:
        """See `tef.sandbox.Runtime.remove_leftovers`."""
        return _remove_leftovers(self.name, run_id)

    def _oci_runtime(self) -> str | None:
        return self.oci_runtime


@dataclass(frozen=True, config=_strict)
class Podman(_Engine):
    """Podman, with root or without.

    Attributes:
        oci_runtime: ``auto`` is the engine's own choice, save that it is ``runc`` where the host's control groups are version
            1, which ``crun`` refuses.
    """

    oci_runtime: str | None = "auto"
    name: ClassVar[EngineName] = "podman"

    def facts(self) -> Mapping[str, str]:
        """See `tef.sandbox.Runtime.facts`."""
        info = json.loads(_ask(self.name, "info", "--format", "json"))
        return {
            "engine": self.name,
            "version": info["version"]["Version"],
            "oci_runtime": self._oci_runtime() or info["host"]["ociRuntime"]["name"],
            "cgroups": info["host"]["cgroupVersion"],
            "rootless": str(os.geteuid() != 0).lower(),
        }

    def _oci_runtime(self) -> str | None:
        if self.oci_runtime != "auto":
            return self.oci_runtime
        version_1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
        return "runc" if version_1 and shutil.which("runc") else None


@dataclass(frozen=True, config=_strict)
class Docker(_Engine):
    """Docker; the daemon must be up."""

    name: ClassVar[EngineName] = "docker"

    def facts(self) -> Mapping[str, str]:
        """See `tef.sandbox.Runtime.facts`."""
        info = json.loads(_ask(self.name, "info", "--format", "{{json .}}"))
        return {
            "engine": self.name,
            "version": info["ServerVersion"],
            "oci_runtime": self.oci_runtime or info["DefaultRuntime"],
            "cgroups": f"v{info['CgroupVersion']}",
            "rootless": str(any("rootless" in option for option in info.get("SecurityOptions") or [])).lower(),
        }


def available(gpus: Gpus = ()) -> Podman | Docker:
    """Podman where it is installed, else Docker.

    Raises:
        ConfigError: Neither is there.
    """
    if shutil.which("podman"):
        return Podman(gpus=gpus)
    if shutil.which("docker"):
        return Docker(gpus=gpus)
    raise ConfigError(
        "runtime: neither podman nor docker is installed; install one, such as with 'apt-get install podman runc'"
    )


class EngineContainer:
    """A container in the foreground of an engine's process."""

    def __init__(self, engine: EngineName, name: str, args: list[str]) -> None:
        self._engine = engine
        self._name = name
        self._killed = False
        # Podman's monitor leaves a file ``oom`` where it was started, when the kernel has ended something for its memory.
        self._folder = Path(tempfile.mkdtemp(prefix="tef-"))
        pipe = subprocess.PIPE
        # A session of its own keeps a terminal's Ctrl-C from reaching the engine before the harness has decided.
        self.process = subprocess.Popen(
            [engine, *args], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, bufsize=0, cwd=self._folder
        )

    def kill(self) -> None:
        """See `tef.sandbox.Container.kill`."""
        if self.process.poll() is None:
            self._killed = True
            _run(self._engine, "kill", self._name)

    def ending(self) -> Ending:
        """See `tef.sandbox.Container.ending`."""
        # Closed first: an engine that still forwards a flood of output would wait for a reader for ever.
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()
        try:
            code = self.process.wait(timeout=_FAREWELL_S)
        except subprocess.TimeoutExpired:
            # It was killed while still being created, or it lingers: removing it by force ends it whatever its state.
            _remove(self._engine, self._name)
            self.process.kill()
            code = self.process.wait()
        try:
            told = _run(self._engine, "inspect", "--type", "container", "--format", "{{json .State}}", self._name)
        finally:
            _remove(self._engine, self._name)
            noted = (self._folder / "oom").exists()
            shutil.rmtree(self._folder, ignore_errors=True)
        if told.returncode != 0:
            return Ending(code, oom_killed=False, engine_error="the engine did not create the container")
        state = json.loads(told.stdout)
        code = state["ExitCode"] or code
        oom = bool(state.get("OOMKilled")) or (code == 137 and (noted or not self._killed))
        never = str(state["StartedAt"]).startswith("0001-")
        return Ending(code, oom, (state.get("Error") or "it never started") if never else None)


def _run(engine: str, *args: str) -> subprocess.CompletedProcess[str]:
    try:
        # In a session of its own, so that an impatient second Ctrl-C does not stop the removal of a container.
        return subprocess.run(
            [engine, *args], capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=False, start_new_session=True
        )
    except FileNotFoundError as error:
        raise ConfigError(f"runtime: {engine} is not installed; install it or choose another with runtime=...") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigError(
            f"runtime: '{engine} {args[0]}' gave no answer in {_ANSWER_TIMEOUT_S} s; look after the engine"
        ) from error


def _ask(engine: str, *args: str) -> str:
    done = _run(engine, *args)
    if done.returncode != 0:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise ConfigError(f"runtime: '{engine} {args[0]}' failed: {said[-1]}; is {engine} up and allowed for this user?")
    return done.stdout


def _remove(engine: str, *names: str) -> None:
    # Podman would give a container ten seconds to end by itself.
    at_once = ["--time", "0"] if engine == "podman" else []
    _run(engine, "rm", "--force", "--volumes", *at_once, *names)


def _run_ids(engine: str) -> frozenset[str]:
    template = '{{index .Labels "%s"}}' if engine == "podman" else '{{.Label "%s"}}'
    told = _ask(engine, "ps", "--all", "--filter", f"label={RUN_LABEL}", "--format", template % RUN_LABEL)
    return frozenset(told.split())


def _remove_leftovers(engine: str, run_id: str) -> int:
    names = _ask(engine, "ps", "--all", "--quiet", "--filter", f"label={RUN_LABEL}={run_id}").split()
    if names:
        _remove(engine, *names)
    return len(names)


def _pin(engine: str, reference: str, digest: str | None) -> PinnedImage:
    _ask(engine, "version", "--format", "{{.Client.Version}}")
    wanted = reference if digest is None else digest
    done = _run(engine, "image", "inspect", wanted)
    if done.returncode != 0 and digest is not None and "@" not in reference:
        done = _run(engine, "image", "inspect", f"{reference.rsplit(':', 1)[0]}@{digest}")
    if done.returncode != 0:
        raise SubmissionError(
            f"image {reference}{f' with digest {digest}' if digest else ''} is not on this machine; "
            f"build it or load it first ('{engine} load -i FILE')",
            code="IMAGE_UNAVAILABLE",
        )
    image: dict[str, Any] = json.loads(done.stdout)[0]
    if volumes := (image["Config"] or {}).get("Volumes"):
        raise SubmissionError(
            f"image {reference} declares the volume {min(volumes)}, which escapes the limits; remove it from the Dockerfile",
            code="IMAGE_UNAVAILABLE",
        )
    pinned = image["Id"] if image["Id"].startswith("sha256:") else f"sha256:{image['Id']}"
    return PinnedImage(
        reference=reference,
        digest=pinned,
        size_bytes=int(image["Size"]),
        platform=f"{image['Os']}/{image['Architecture']}",
        labels=(image["Config"] or {}).get("Labels") or {},
    )

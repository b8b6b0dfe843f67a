"""Podman and Docker, spoken to through their command lines."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from tef.errors import ConfigError, SubmissionError
from tef.runtimes.container import RUN_LABEL, EngineName, container_args
from tef.sandbox import ContainerSpec, Ending, PinnedImage

_ANSWER_TIMEOUT_S = 120
_FAREWELL_S = 10
_strict = ConfigDict(extra="forbid")


@dataclass(frozen=True, config=_strict)
class Podman:
    """Podman, with root or without.

    Attributes:
        oci_runtime: What starts containers: ``runc``, ``crun``, ``runsc``, or None for the engine's own choice. ``auto`` is the
            engine's own choice, save that it is ``runc`` where the host's control groups are version 1, which ``crun`` refuses.
        gpus: Devices given to models, one a worker: indexes, or CDI names such as ``nvidia.com/gpu=0``.
    """

    oci_runtime: str | None = "auto"
    gpus: tuple[str, ...] = ()
    name: ClassVar[EngineName] = "podman"

    def pin(self, reference: str, digest: str | None) -> PinnedImage:
        """See `tef.sandbox.Runtime.pin`."""
        return _pin(self.name, reference, digest)

    def start(self, spec: ContainerSpec) -> "EngineContainer":
        """See `tef.sandbox.Runtime.start`."""
        rootless = os.geteuid() != 0
        args = container_args(self.name, spec, oci_runtime=_oci_runtime(self.oci_runtime), rootless=rootless)
        return EngineContainer(self.name, spec.name, args)

    def remove_leftovers(self, run_id: str) -> int:
        """See `tef.sandbox.Runtime.remove_leftovers`."""
        return _remove_leftovers(self.name, run_id)

    def facts(self) -> Mapping[str, str]:
        """See `tef.sandbox.Runtime.facts`."""
        info = json.loads(_ask(self.name, "info", "--format", "json"))
        return {
            "engine": self.name,
            "version": info["version"]["Version"],
            "oci_runtime": _oci_runtime(self.oci_runtime) or info["host"]["ociRuntime"]["name"],
            "cgroups": info["host"]["cgroupVersion"],
            "rootless": str(os.geteuid() != 0).lower(),
        }


@dataclass(frozen=True, config=_strict)
class Docker:
    """Docker; the daemon must be up.

    Attributes:
        oci_runtime: A runtime that the daemon knows, or None for its default.
        gpus: Devices given to models, one a worker: indexes or UUIDs.
    """

    oci_runtime: str | None = None
    gpus: tuple[str, ...] = ()
    name: ClassVar[EngineName] = "docker"

    def pin(self, reference: str, digest: str | None) -> PinnedImage:
        """See `tef.sandbox.Runtime.pin`."""
        return _pin(self.name, reference, digest)

    def start(self, spec: ContainerSpec) -> "EngineContainer":
        """See `tef.sandbox.Runtime.start`."""
        args = container_args(self.name, spec, oci_runtime=self.oci_runtime, rootless=False)
        return EngineContainer(self.name, spec.name, args)

    def remove_leftovers(self, run_id: str) -> int:
        """See `tef.sandbox.Runtime.remove_leftovers`."""
        return _remove_leftovers(self.name, run_id)

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


def available(gpus: tuple[str, ...] = ()) -> Podman | Docker:
    """Podman where it is installed, else Docker.

    Raises:
        ConfigError: Neither is there.
    """
    if shutil.which("podman"):
        return Podman(gpus=tuple(gpus))
    if shutil.which("docker"):
        return Docker(gpus=tuple(gpus))
    raise ConfigError(
        "runtime: neither podman nor docker is installed; install one, such as with 'apt-get install podman runc'"
    )


class EngineContainer:
    """A container in the foreground of an engine's process."""

    def __init__(self, engine: EngineName, name: str, args: list[str]) -> None:
        self._engine = engine
        self._name = name
        self._killed = False
        pipe = subprocess.PIPE
        # A session of its own keeps a terminal's Ctrl-C from reaching the engine before the harness has decided.
        self.process = subprocess.Popen(
            [engine, *args], stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, bufsize=0
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
            _run(self._engine, "rm", "--force", "--volumes", self._name)
            self.process.kill()
            code = self.process.wait()
        told = _run(self._engine, "inspect", "--type", "container", "--format", "{{json .State}}", self._name)
        _run(self._engine, "rm", "--force", "--volumes", self._name)
        if told.returncode != 0:
            return Ending(code, oom_killed=False, engine_error="the engine did not create the container")
        state = json.loads(told.stdout)
        code = state["ExitCode"] or code
        oom = bool(state.get("OOMKilled")) or (code == 137 and not self._killed)
        return Ending(code, oom, state.get("Error") or None if code in (125, 126, 127) else None)


def _run(engine: str, *args: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run([engine, *args], capture_output=True, text=True, timeout=_ANSWER_TIMEOUT_S, check=False)
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


def _remove_leftovers(engine: str, run_id: str) -> int:
    names = _ask(engine, "ps", "--all", "--quiet", "--filter", f"label={RUN_LABEL}={run_id}").split()
    if names:
        _ask(engine, "rm", "--force", "--volumes", *names)
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
        labels=image["Config"].get("Labels") or {},
    )


def _oci_runtime(wanted: str | None) -> str | None:
    if wanted != "auto":
        return wanted
    version_1 = not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    return "runc" if version_1 and shutil.which("runc") else None

"""The complete argument list of a sealed container: one pure function, every flag of it tested."""

from typing import Literal

from tef.benchmark import Limits
from tef.errors import ConfigError
from tef.sandbox import ContainerSpec, Mount

EngineName = Literal["podman", "docker"]

RUN_LABEL = "org.tef.run"

_TMP = "/tmp"  # noqa: S108 - the container's own tmpfs
# A uid without an entry in /etc/passwd and a read-only root break libraries that look for a home or a cache.
_ENVIRONMENT = {
    "HOME": _TMP,
    "USER": "model",
    "XDG_CACHE_HOME": f"{_TMP}/.cache",
    "MPLCONFIGDIR": f"{_TMP}/.matplotlib",
    "NUMBA_CACHE_DIR": f"{_TMP}/.numba",
    "TORCHINDUCTOR_CACHE_DIR": f"{_TMP}/.inductor",
}
NOBODY = "65534:65534"
# Counted over all processes of the uid on the host, so it must leave room for other containers; pids-limit is the real bound.
_NPROC = 4096


def container_args(engine: EngineName, spec: ContainerSpec, *, oci_runtime: str | None) -> list[str]:
    """Everything after the engine's name on the command line, global options included.

    Args:
        engine: Decides the few spellings that differ.
        spec: What to start.
        oci_runtime: ``runc``, ``crun``, ``runsc`` or a path; None leaves the engine's own default.

    Raises:
        ConfigError: A mount's path cannot be written in an engine's option.
    """
    limits = spec.limits
    chosen = ["--runtime", oci_runtime] if oci_runtime else []
    args = [*chosen, "run"] if engine == "podman" else ["run", *chosen]
    args += [
        "--name", spec.name,
        "--label", f"{RUN_LABEL}={spec.run_id}",
        "--interactive",
        "--pull", "never",
        "--log-driver", "none",
        "--no-healthcheck",
        "--network", "none",
        "--ipc", "private",
        "--hostname", "sandbox",
        "--read-only",
        "--cap-drop", "ALL",
        "--security-opt", "no-new-privileges",
        "--user", NOBODY,
        "--memory", f"{limits.memory_mb}m",
        "--memory-swap", f"{limits.memory_mb}m",
        "--cpus", f"{limits.cpus:g}",
        "--pids-limit", str(limits.pids),
        "--shm-size", f"{limits.shm_mb}m",
        "--tmpfs", f"{_TMP}:rw,nosuid,nodev,mode=1777,size={limits.tmp_mb}m",
        "--ulimit", f"nofile={limits.open_files}:{limits.open_files}",
        "--ulimit", f"nproc={_NPROC}:{_NPROC}",
        "--ulimit", f"fsize={_file_limit(limits)}:{_file_limit(limits)}",
        "--ulimit", "core=0:0",
    ]  # fmt: skip
    if engine == "podman":
        args += ["--read-only-tmpfs=false", "--image-volume", "ignore"]
    for mount in spec.mounts:
        args += ["--mount", _mount(mount)]
    args += _gpu_args(engine, spec.gpus)
    for key, value in (_ENVIRONMENT | {"OMP_NUM_THREADS": str(max(1, round(limits.cpus)))}).items():
        args += ["--env", f"{key}={value}"]
    return [*args, spec.image]


def _file_limit(limits: Limits) -> int:
    # One byte more than an output may have, so that a file at the kernel's limit is seen to be too large.
    return int(limits.output_mb * 1024 * 1024) + 1


def _mount(mount: Mount) -> str:
    if "," in str(mount.source) or "," in mount.target:
        raise ConfigError(f"{mount.source}: has a comma, which a container engine cannot mount; use a path without one")
    text = f"type=bind,source={mount.source},target={mount.target}"
    return text if mount.writable else text + ",readonly"


def _gpu_args(engine: EngineName, gpus: tuple[str, ...]) -> list[str]:
    if not gpus:
        return []
    if engine == "docker":
        return ["--gpus", f'"device={",".join(gpus)}"']
    return [part for gpu in gpus for part in ("--device", gpu if "/" in gpu else f"nvidia.com/gpu={gpu}")]

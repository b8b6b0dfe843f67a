"""The argument list of a sealed container: every control is there, nothing that opens it is."""

from dataclasses import replace
from pathlib import Path

import pytest

from tef.benchmark import Limits
from tef.errors import ConfigError
from tef.runtimes.container import container_args
from tef.sandbox import ContainerSpec, Mount

LIMITS = Limits(
    memory_mb=2048, shm_mb=256, tmp_mb=512, cpus=1.5, pids=128, open_files=4096,
    startup_timeout_s=120, case_timeout_s=60, output_mb=64, log_mb=4,
)  # fmt: skip
SPEC = ContainerSpec(
    image="sha256:" + "a" * 64,
    name="tef-r1-w0-1",
    run_id="r1",
    mounts=(
        Mount(Path("/runs/r1/exchange/0/input"), "/input", writable=False),
        Mount(Path("/runs/r1/exchange/0/output"), "/output", writable=True),
    ),
    limits=LIMITS,
)


def pairs(args):
    """Every option as it stands, with the word after it."""
    return [" ".join(two) for two in zip(args, [*args[1:], ""], strict=True)]


@pytest.mark.parametrize("engine", ["podman", "docker"])
@pytest.mark.parametrize(
    "flag",
    [
        "--network none",
        "--read-only",
        "--cap-drop ALL",
        "--security-opt no-new-privileges",
        "--user 65534:65534",
        "--memory 2048m",
        "--memory-swap 2048m",
        "--cpus 1.5",
        "--pids-limit 128",
        "--shm-size 256m",
        "--tmpfs /tmp:rw,nosuid,nodev,mode=1777,size=512m",
        "--ulimit nofile=4096:4096",
        "--ulimit nproc=4096:4096",
        f"--ulimit fsize={64 * 1024 * 1024 + 1}:{64 * 1024 * 1024 + 1}",
        "--ulimit core=0:0",
        "--ipc private",
        "--hostname sandbox",
        "--pull never",
        "--log-driver none",
        "--no-healthcheck",
        "--interactive",
        "--name tef-r1-w0-1",
        "--label org.tef.run=r1",
        "--mount type=bind,source=/runs/r1/exchange/0/input,target=/input,readonly",
        "--mount type=bind,source=/runs/r1/exchange/0/output,target=/output",
        "--env HOME=/tmp",
        "--env OMP_NUM_THREADS=2",
    ],
)
def test_every_control_is_on_the_command_line(engine, flag):
    """No isolation control can be lost without this test failing."""
    args = container_args(engine, SPEC, oci_runtime=None)

    assert flag in (pairs(args) if " " in flag else args)


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_nothing_that_opens_the_sandbox_is_there(engine):
    """No flag gives back what the controls take away."""
    args = container_args(engine, SPEC, oci_runtime=None)

    forbidden = (
        "--privileged",
        "--cap-add",
        "--volume",
        "-v",
        "--publish",
        "-p",
        "--pid",
        "--uts",
        "--device",
        "--gpus",
        "--add-host",
    )
    assert not set(args) & set(forbidden)
    assert not any("host" in arg for arg in args if not arg.startswith("--hostname"))
    assert sum(arg == "--mount" for arg in args) == 2


def test_the_image_is_last_and_started_by_digest_without_arguments():
    """What runs is the pinned image's own entry point."""
    for engine in ("podman", "docker"):
        assert container_args(engine, SPEC, oci_runtime=None)[-1] == SPEC.image


def test_podman_mounts_no_tmpfs_and_no_volume_of_its_own():
    """The only writable places are /tmp and /output."""
    args = container_args("podman", SPEC, oci_runtime=None)

    assert "--read-only-tmpfs=false" in args
    assert "--image-volume ignore" in pairs(args)


def test_the_oci_runtime_stands_where_each_engine_wants_it():
    """Podman takes it before the command, Docker after."""
    assert container_args("podman", SPEC, oci_runtime="runc")[:3] == ["--runtime", "runc", "run"]
    assert container_args("docker", SPEC, oci_runtime="runsc")[:3] == ["run", "--runtime", "runsc"]


@pytest.mark.parametrize(
    ("engine", "gpus", "expected"),
    [
        ("podman", ("0",), ["--device nvidia.com/gpu=0"]),
        ("podman", ("nvidia.com/gpu=GPU-12ab",), ["--device nvidia.com/gpu=GPU-12ab"]),
        ("podman", ("0", "1"), ["--device nvidia.com/gpu=0", "--device nvidia.com/gpu=1"]),
        ("docker", ("0",), ['--gpus "device=0"']),
        ("docker", ("0", "1"), ['--gpus "device=0,1"']),
    ],
)
def test_gpus_are_given_as_each_engine_wants_them(engine, gpus, expected):
    """A site names devices once, for either engine."""
    args = container_args(engine, replace(SPEC, gpus=gpus), oci_runtime=None)

    assert [pair for pair in pairs(args) if pair.startswith(("--device", "--gpus"))] == expected


def test_a_path_that_cannot_be_mounted_is_named():
    """A comma would be read as the next option of a mount."""
    odd = replace(SPEC, mounts=(Mount(Path("/runs/a,b"), "/input", writable=False),))

    with pytest.raises(ConfigError, match="/runs/a,b: has a comma"):
        container_args("podman", odd, oci_runtime=None)

"""Real containers, sealed as in production, that misbehave in every way of ``docker/hostile``: the harness holds."""

import importlib.util
import os
import subprocess
from functools import cache

import engines
import pytest
from support import ROOT, make_cohort, protocol, write_benchmark, write_submission
from test_evaluate import Silent, run_it

from tef.errors import ConfigError, SubmissionError
from tef.prediction import Failure
from tef.preflight import remove_orphans
from tef.run import open_run
from tef.runtimes import Docker, Podman

pytestmark = pytest.mark.container

spec = importlib.util.spec_from_file_location("hostile_model", ROOT / "docker" / "hostile" / "model.py")
hostile = importlib.util.module_from_spec(spec)
spec.loader.exec_module(hostile)

RUNTIMES = {"podman": Podman(), "docker": Docker()}
ON_DOCKER = (
    "correct", "correct-probability", "exits-at-start", "never-answers", "crash-at-7", "oom", "huge-output", "symlink",
    "network", "writes-root", "privileges", "fork-bomb", "fills-tmp", "folder-correct", "folder-crash-at-7",
)  # fmt: skip
N_CASES = 8


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("cohorts") / "cubes", N_CASES)


@cache
def images(engine):
    """Build every mode's image once; Docker is handed Podman's."""
    engines.podman()
    engines.build("podman", *(f"hostile-{mode}" for mode in hostile.MODES))
    if engine == "docker":
        engines.hand_over([f"hostile-{mode}" for mode in ON_DOCKER])


@pytest.fixture
def evaluated(cohort, tmp_path, request):
    """Evaluate a mode's image and return its outcomes and the report."""

    def evaluated(engine, mode, *, workers=1):
        request.getfixturevalue(f"{engine}_engine")
        images(engine)
        values = protocol(cohort, "classification" if mode.endswith("-probability") else "segmentation")
        limits = {"memory_mb": 512, "tmp_mb": 64, "pids": 64, "output_mb": 2, "log_mb": 1}
        times = {"case_timeout_s": 4, "startup_timeout_s": 3 if mode == "never-ready" else 60}
        if mode == "folder-never-ends":
            times = {"case_timeout_s": 0.5, "startup_timeout_s": 6}
        values["limits"] = values["limits"] | limits | times
        benchmark = write_benchmark(tmp_path / "benchmark" / "cubes", values)
        contract = "folder" if mode.startswith("folder-") and mode != "folder-output" else "tef"
        submission = write_submission(tmp_path / "hostile", image=f"localhost/tef-hostile-{mode}:1", contract=contract)
        progress = Silent()
        run, report = run_it(
            benchmark, submission, cohort, tmp_path / "runs", RUNTIMES[engine], workers=workers, progress=progress
        )
        return run, report, progress.outcomes

    return evaluated


CASES = [("podman", mode) for mode in hostile.MODES] + [("docker", mode) for mode in ON_DOCKER]


@pytest.mark.parametrize(("engine", "mode"), CASES)
def test_a_hostile_container_ends_as_its_table_says_and_hurts_nobody(engine, mode, evaluated):
    """Each way to misbehave gets its failure code on its cases, all other cases are scored, and nothing is left running."""
    expected = hostile.MODES[mode][1]
    if expected == "STARTUP_FAILED":
        with pytest.raises(SubmissionError, match="did not become ready") as caught:
            evaluated(engine, mode)
        assert caught.value.code == "STARTUP_FAILED"
        return

    run, report, outcomes = evaluated(engine, mode)

    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert {str(failure.code) for failure in failures} == ({expected} - {"OK"}), [f.message for f in failures]
    assert len(outcomes) == N_CASES
    if expected != "OK":
        assert 1 <= len(failures) <= N_CASES // 2
    good = [case for case in report.cases if case.outcome == "ok"]
    assert all(case.scores.get("dice", 1.0) == 1.0 for case in good)
    assert _containers(engine, run.run_id) == []
    assert list(run.folder.glob("exchange/*/*/*")) == []
    assert all(path.stat().st_size < 1.2 * 1024 * 1024 for path in run.folder.glob("logs/*"))
    assert all(path.is_file() and not path.is_symlink() for path in run.folder.glob("predictions/*/*"))


def test_a_model_that_hides_a_full_disk_in_deleted_files_is_found_out(evaluated, tmp_path):
    """Room that comes back when a container has ended was the model's doing: its case fails, and the run goes on."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    (tmp_path / "runs").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", tmp_path / "runs"], check=True)
    try:
        _, _, outcomes = evaluated("podman", "holds-deleted")
    finally:
        subprocess.run(["umount", tmp_path / "runs"], check=True)

    failures = [outcome for outcome in outcomes if isinstance(outcome, Failure)]
    assert {str(failure.code) for failure in failures} == {"OUTPUT_TOO_LARGE"}
    assert "MB of the disk in files that it had deleted" in failures[0].message
    assert len(outcomes) == N_CASES


@pytest.mark.parametrize("engine", ["podman", "docker"])
def test_an_image_that_is_not_there_is_the_submitter_s_to_fix(engine, cohort, tmp_path, request):
    """One line with the code IMAGE_UNAVAILABLE and what to do."""
    request.getfixturevalue(f"{engine}_engine")
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cohort))
    submission = write_submission(tmp_path / "sub", image="localhost/tef-no-such-image:1")

    with pytest.raises(
        SubmissionError, match="image localhost/tef-no-such-image:1 is not on this machine; build it or load"
    ) as caught:
        run_it(benchmark, submission, cohort, tmp_path / "runs", RUNTIMES[engine])
    assert caught.value.code == "IMAGE_UNAVAILABLE"


def test_another_image_under_the_same_name_is_refused(cohort, tmp_path, podman_engine):
    """A submission that names a digest is evaluated with these bytes or not at all."""
    images("podman")
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cohort))
    digest = "sha256:" + "0" * 64
    submission = write_submission(tmp_path / "sub", image="localhost/tef-hostile-correct:1", digest=digest)

    with pytest.raises(
        SubmissionError, match=f"image localhost/tef-hostile-correct:1 with digest {digest} is not on this machine"
    ):
        run_it(benchmark, submission, cohort, tmp_path / "runs", Podman())


def test_an_image_that_is_named_by_its_digest_runs(cohort, tmp_path, podman_engine):
    """The id that the engine shows is a digest to pin with."""
    images("podman")
    digest = "sha256:" + engines.image_id("podman", "localhost/tef-hostile-correct:1")
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cohort))
    submission = write_submission(tmp_path / "sub", image="localhost/tef-hostile-correct:1", digest=digest)

    run, report = run_it(benchmark, submission, cohort, tmp_path / "runs", Podman())

    assert report.estimate("dice").value == 1.0
    assert run.record["image"]["digest"] == digest


def test_an_image_with_a_volume_is_refused(cohort, tmp_path, podman_engine):
    """A declared volume would be a writable place without a limit."""
    images("podman")
    name = "localhost/tef-test-volume:1"
    base = subprocess.run(
        ["podman", "create", "localhost/tef-hostile-correct:1"], capture_output=True, text=True, check=True
    ).stdout.strip()
    subprocess.run(["podman", "commit", "--quiet", "--format", "docker", "--change", "VOLUME /scratch", base, name], check=True)
    subprocess.run(["podman", "rm", base], check=True, capture_output=True)
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cohort))

    with pytest.raises(SubmissionError, match="declares the volume /scratch, which escapes the limits"):
        run_it(benchmark, write_submission(tmp_path / "sub", image=name), cohort, tmp_path / "runs", Podman())


def test_workers_are_apart_and_together_do_all_cases(evaluated):
    """Two containers at a time give the same estimates as one, and each case is done once."""
    _, report, outcomes = evaluated("podman", "peeks", workers=2)

    assert len({outcome.case_id for outcome in outcomes}) == N_CASES
    assert report.estimate("dice").value == 1.0


def test_containers_that_outlived_their_harness_are_removed_by_the_next_start(cohort, tmp_path, podman_engine):
    """A container of a killed run does not stay beside the held-out data, and one of a run at work is let alone."""
    images("podman")
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cohort))
    run = open_run(tmp_path / "runs", benchmark, write_submission(tmp_path / "s"), cohort, {"digest": "sha256:0"}, {})
    runtime = Podman()
    engine = ["podman", "--runtime", runtime.facts()["oci_runtime"], "run", "--detach", "--network", "none"]
    limits = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--entrypoint", "sleep"]
    image = "localhost/tef-hostile-correct:1"
    subprocess.run([*engine, "--label", f"org.tef.run={run.run_id}", *limits, image, "600"], check=True, capture_output=True)

    with run.locked():
        remove_orphans(tmp_path / "runs", runtime)
        assert len(_containers("podman", run.run_id)) == 1
    remove_orphans(tmp_path / "runs", runtime)
    assert _containers("podman", run.run_id) == []


def test_an_engine_that_is_not_there_is_the_operator_s_to_fix(cohort, tmp_path, monkeypatch):
    """One line that names the engine."""
    monkeypatch.setenv("PATH", str(tmp_path))
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cohort))

    with pytest.raises(ConfigError, match="runtime: podman is not installed; install it or choose another with runtime="):
        run_it(benchmark, write_submission(tmp_path / "sub"), cohort, tmp_path / "runs", Podman())


def _containers(engine, run_id):
    command = [engine, "ps", "--all", "--quiet", "--filter", f"label=org.tef.run={run_id}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

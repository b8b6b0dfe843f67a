"""The straight line, with a plain process where the container would be: outcomes, resume, denominators, refusals."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from support import ROOT, ProcessRuntime, make_cohort, protocol, read_ledger, write_benchmark, write_submission

from tef.cohort import load_cohort
from tef.errors import CohortError, ConfigError, RunError, SubmissionError
from tef.evaluate import evaluate, finish
from tef.executors import Local
from tef.ledger import Ledger
from tef.preflight import check
from tef.report import load_report
from tef.run import load_run
from tef.scoring import read_scores
from tef.trackers import Nowhere


class Silent:
    """Shows nothing, remembers outcomes, and may end the run."""

    def __init__(self, interrupt_after=None):
        self.outcomes, self.done, self.interrupt_after = [], 0, interrupt_after

    def began(self, run, total, done):
        self.done = done

    def case(self, outcome):
        self.outcomes.append(outcome)
        if len(self.outcomes) == self.interrupt_after:
            raise KeyboardInterrupt


def run_it(benchmark, submission, cohort, runs_dir, runtime=None, *, workers=1, progress=None):
    run, report = evaluate(
        benchmark,
        submission,
        cohort,
        runs_dir=runs_dir,
        runtime=runtime or ProcessRuntime(),
        executor=Local(workers=workers),
        session={"site": "test", "overrides": [], "engine": {"engine": "process"}},
        progress=progress or Silent(),
        resolved="runtime: process\n",
    )
    Nowhere().track(run, report)
    return run, report


def test_a_good_model_is_accepted_with_every_case_counted(benchmark, submission, cubes, tmp_path):
    """The line ends with estimates over all cases, subgroups and a verdict, and a folder that holds the evidence."""
    run, report = run_it(benchmark, submission, cubes, tmp_path / "runs")

    dice = report.estimate("dice")
    assert (dice.value, dice.n_used, dice.n_total, dice.n_failed) == (1.0, 10, 10, 0)
    assert {e.subgroup for e in report.estimates} == {None, "sex=F", "sex=M", "size=<8 mm", "size=>=8 mm"}
    assert report.flow["n_predicted"] == 10
    for path in (run.report_file, run.html_file, run.scores_file, run.ledger_file, run.config_file, run.record_file):
        assert path.is_file()
    assert load_report(run) == report


def test_the_container_stays_warm_and_is_started_once_a_worker(benchmark, submission, cubes, tmp_path):
    """A model is loaded once, not once a case."""
    runtime = ProcessRuntime()
    run_it(benchmark, submission, cubes, tmp_path / "runs", runtime, workers=2)

    assert runtime.starts == 2


def test_classification_is_scored_from_probabilities(cubes, submission, tmp_path):
    """Probabilities and reference classes are on record case by case, and the estimates follow from them."""
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cubes, "classification"))
    _, report = run_it(benchmark, submission, cubes, tmp_path / "runs", ProcessRuntime(output="malignancy"))

    from sklearn.metrics import roc_auc_score

    expected = roc_auc_score([c.scores["reference"] for c in report.cases], [c.scores["probability"] for c in report.cases])
    assert report.estimate("auroc").value == pytest.approx(expected)
    assert {curve.name for curve in report.curves} == {"roc", "reliability"}


def test_a_crash_costs_one_case_and_the_worker_goes_on(benchmark, submission, cubes, tmp_path):
    """After a crash the container is started anew; the crashed case is a Failure with exit code and last words."""
    runtime = ProcessRuntime("crash-at-3")
    progress = Silent()
    _, report = run_it(benchmark, submission, cubes, tmp_path / "runs", runtime, progress=progress)

    failures = [o for o in progress.outcomes if hasattr(o, "code")]
    assert [f.code for f in failures] == ["NONZERO_EXIT"] * 3
    assert failures[0].message == "ended with exit code 3; last line: Traceback: something in layer 5"
    assert report.flow["failures"] == {"NONZERO_EXIT": 3}
    assert report.estimate("dice").n_failed == 3
    assert report.estimate("dice").n_total == 10


def test_a_case_without_an_answer_times_out(cubes, submission, tmp_path):
    """A model that hangs costs its case and the time limit, not the run."""
    values = protocol(cubes)
    values["limits"] = values["limits"] | {"case_timeout_s": 0.5}
    benchmark = write_benchmark(tmp_path / "cubes", values)
    progress = Silent()
    run_it(benchmark, submission, cubes, tmp_path / "runs", ProcessRuntime("hangs-at-2"), workers=2, progress=progress)

    timed_out = [o for o in progress.outcomes if hasattr(o, "code")]
    assert timed_out
    assert {(o.code, o.message) for o in timed_out} == {("TIMEOUT", "no answer in 0.5 s")}
    assert len(progress.outcomes) == 10


def test_a_failed_case_counts_as_the_worst_or_not_at_all_as_the_protocol_says(cubes, submission, tmp_path):
    """The failure policy decides the value, never the denominator."""
    worst = write_benchmark(tmp_path / "a" / "cubes", protocol(cubes))
    exclude = write_benchmark(tmp_path / "b" / "cubes", protocol(cubes, on_failure="exclude"))
    _, first = run_it(worst, submission, cubes, tmp_path / "runs", ProcessRuntime("error-at-2"))
    _, second = run_it(exclude, submission, cubes, tmp_path / "runs", ProcessRuntime("error-at-2"))

    assert (first.estimate("dice").value, first.estimate("dice").n_used) == (pytest.approx(0.9), 10)
    assert (second.estimate("dice").value, second.estimate("dice").n_used) == (1.0, 9)
    assert second.estimate("dice").undefined == {"failed: MODEL_ERROR": 1}
    assert first.estimate("dice").n_total == second.estimate("dice").n_total == 10


@pytest.mark.parametrize(("mode", "said"), [("exits-at-start", "no weights found"), ("never-ready", "not ready after 0.5 s")])
def test_a_container_that_never_becomes_ready_is_the_submitter_s_to_fix(cubes, submission, tmp_path, mode, said):
    """An image that cannot start is not evaluated: one line, and no case is spent."""
    values = protocol(cubes)
    values["limits"] = values["limits"] | {"startup_timeout_s": 0.5}
    benchmark = write_benchmark(tmp_path / "cubes", values)

    with pytest.raises(SubmissionError, match=f"did not become ready.*{said}") as caught:
        run_it(benchmark, submission, cubes, tmp_path / "runs", ProcessRuntime(mode))

    assert caught.value.code == "STARTUP_FAILED"
    assert not list(tmp_path.glob("runs/*/ledger.jsonl"))


def test_a_model_sees_one_case_at_a_time_and_nothing_that_tells_which(benchmark, submission, cubes, tmp_path):
    """In sight are the inputs of the case in hand under an opaque name, dated 1970, and its empty output folder."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs", ProcessRuntime("peeks"))

    peeks = [json.loads(line) for line in run.log(0).read_text().splitlines() if line.startswith('{"seen"')]
    assert len(peeks) == 10
    for peek in peeks:
        token = peek["line"]["case"]
        assert peek["seen"] == [token, f"{token}/scan.nii.gz", token]
        assert peek["dates"] == [0.0]
        assert "secret" not in json.dumps(peek)
    tokens = [peek["line"]["case"] for peek in peeks]
    assert tokens == sorted(tokens)
    assert tokens != [run.token(case.case_id) for case in cubes]


def test_names_and_order_of_cases_differ_from_run_to_run(benchmark, submission, cubes, tmp_path):
    """Two runs cannot be matched case by case by a submitter."""
    first, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")
    second, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")

    assert first.run_id != second.run_id
    assert not {first.token(c.case_id) for c in cubes} & {second.token(c.case_id) for c in cubes}
    assert (first.record["attempt"], second.record["attempt"]) == (1, 2)


def test_an_interrupted_run_goes_on_and_ends_as_an_undisturbed_one(benchmark, submission, cubes, tmp_path):
    """Ctrl-C loses no finished case, repeats none, and changes no number."""
    with pytest.raises(KeyboardInterrupt):
        run_it(benchmark, submission, cubes, tmp_path / "runs", ProcessRuntime("slow"), progress=Silent(interrupt_after=4))
    second = Silent()
    run, resumed = run_it(benchmark, submission, cubes, tmp_path / "runs", progress=second)
    _, undisturbed = run_it(benchmark, submission, cubes, tmp_path / "other")

    assert len(list((tmp_path / "runs").iterdir())) == 1
    assert second.done == 4
    assert len(second.outcomes) == 6
    assert resumed.estimates == undisturbed.estimates
    assert any("resumed" in finding.text for finding in resumed.findings)
    assert sum(line["kind"] == "prediction" for line in read_ledger(run.folder)) == 10


KILLED = """
import sys
sys.path[:0] = [{tests!r}]
from pathlib import Path
from support import ProcessRuntime
from test_evaluate import run_it
from tef.benchmark import load_benchmark
from tef.cohort import load_cohort
from tef.submission import load_submission
base = Path({base!r})
run_it(load_benchmark(base / "benchmarks/cubes"), load_submission(base / "submissions/cube-finder"),
       load_cohort(Path({cohort!r})), base / "runs", ProcessRuntime("slow"), workers=2)
"""


@pytest.mark.parametrize("after_s", [0.05, 0.25, 0.6])
def test_a_run_killed_at_any_instant_goes_on(benchmark, submission, cubes, tmp_path, after_s):
    """After SIGKILL the same call finishes the same run: no case is lost, none is recorded twice, no number differs."""
    code = KILLED.format(tests=str(ROOT / "tests"), base=str(tmp_path), cohort=str(cubes.folder))
    process = subprocess.Popen([sys.executable, "-c", code])
    while not list(tmp_path.glob("runs/*/ledger.jsonl")):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(after_s)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    run, report = run_it(benchmark, submission, cubes, tmp_path / "runs")
    _, undisturbed = run_it(benchmark, submission, cubes, tmp_path / "other")

    assert len(list((tmp_path / "runs").iterdir())) == 1
    cases = [line["case_id"] for line in read_ledger(run.folder) if line["kind"] == "prediction"]
    assert sorted(cases) == sorted(case.case_id for case in cubes)
    assert report.estimates == undisturbed.estimates


def test_two_processes_do_not_work_on_one_run(benchmark, submission, cubes, tmp_path):
    """The second is told to wait, and changes nothing."""
    with pytest.raises(KeyboardInterrupt):
        run_it(benchmark, submission, cubes, tmp_path / "runs", progress=Silent(interrupt_after=1))
    run = load_run(next((tmp_path / "runs").iterdir()))
    before = run.ledger_file.read_bytes()

    with run.locked(), pytest.raises(RunError, match="another process is at work on this run"):
        run_it(benchmark, submission, cubes, tmp_path / "runs")

    assert run.ledger_file.read_bytes() == before


def test_rescoring_gives_the_same_report_to_the_byte_and_starts_nothing(benchmark, submission, cubes, tmp_path):
    """A report follows from the kept predictions alone."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")
    before = {path: path.read_bytes() for path in (run.report_file, run.scores_file, run.html_file)}
    for path in before:
        path.unlink()

    finish(run, benchmark, submission, cubes, Ledger(run.ledger_file))

    assert {path: path.read_bytes() for path in before} == before


def test_a_prediction_that_was_changed_later_is_found(benchmark, submission, cubes, tmp_path):
    """Kept predictions are held against the digests in the ledger before they are scored."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")
    next(run.folder.glob("predictions/*/lesion.nii")).write_bytes(b"better")

    with pytest.raises(RunError, match=r"lesion.nii: is missing or was changed since it was recorded"):
        finish(run, benchmark, submission, cubes, Ledger(run.ledger_file))


def test_scores_hold_each_case_once_a_metric(benchmark, submission, cubes, tmp_path):
    """The table of scores is complete: cases times metrics."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")

    scores = read_scores(run)
    assert len(scores) == 10 * 3
    assert {score.case_id for score in scores} == {case.case_id for case in cubes}


def test_declared_training_images_are_found_in_the_cohort(benchmark, cubes, tmp_path):
    """A leak is reported as an error with the number of images and their opaque names."""
    folder = tmp_path / "leaky"
    folder.mkdir()
    (folder / "training.txt").write_text("\n".join([cubes.cases[3].pixel_sha256, "f" * 64]))
    submission = write_submission(
        folder, name="leaky", training_data={"description": "Cubes.", "pixel_sha256_file": "training.txt"}
    )
    run, report = run_it(benchmark, submission, cubes, tmp_path / "runs")

    leak = next(f for f in report.findings if f.topic == "independence")
    assert leak.severity == "error"
    assert leak.text.startswith("1 of 10 held-out images also stands, pixel for pixel, in the 2 declared training images")
    assert leak.cases == (run.token("secret-case-3"),)


def test_no_name_of_the_cohort_is_in_the_report(benchmark, submission, cubes, tmp_path):
    """What leaves the site holds opaque names only."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")

    for path in (run.report_file, run.html_file):
        text = path.read_text()
        assert "secret-case" not in text
        assert "secret-patient" not in text
        assert run.record["secret"] not in text


def test_another_cohort_than_the_protocol_s_is_refused(cubes, submission, tmp_path):
    """Numbers from other data than announced are never made."""
    values = protocol(cubes)
    values["cohort"] = {"name": "cubes", "sha256": "0" * 64}
    benchmark = write_benchmark(tmp_path / "cubes", values)

    with pytest.raises(
        CohortError, match=r"is not the cohort that cubes version 1 was announced with \(digest .*, expected 0000"
    ):
        run_it(benchmark, submission, cubes, tmp_path / "runs")


def test_a_changed_cohort_file_is_named(cubes, tmp_path):
    """One flipped byte of one held-out file stops the run and is named."""
    copy = tmp_path / "cubes"
    shutil.copytree(cubes.folder, copy)
    path = copy / "scan" / "004.nii.gz"
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)

    with pytest.raises(CohortError, match=r"scan/004.nii.gz: does not match its digest \(1 changed files\)"):
        load_cohort(copy)


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("cpus", 10_000, "gives a model 10000; use a larger machine"), ("memory_mb", 10**9, "MB of memory, cubes gives a model")],
)
def test_a_machine_that_is_too_small_is_told_so_before_it_starts(cubes, tmp_path, limit, value, message):
    """Limits are the protocol's; a site that cannot grant them does not run with less."""
    values = protocol(cubes)
    values["limits"] = values["limits"] | {limit: value}
    benchmark = write_benchmark(tmp_path / "cubes", values)

    with pytest.raises(ConfigError, match=message):
        check(benchmark, cubes)


def test_a_subgroup_of_an_attribute_that_the_cohort_lacks_is_named(cubes, tmp_path):
    """A typo in a subgroup's attribute is found before a container is started."""
    values = protocol(cubes, subgroups=[{"name": "age", "attribute": "age_yers"}])
    benchmark = write_benchmark(tmp_path / "cubes", values)

    with pytest.raises(CohortError, match="subgroup age: the cohort has no attribute 'age_yers'; it has sex, size_mm"):
        check(benchmark, cubes)


def test_an_error_of_ours_in_a_worker_ends_the_run_and_is_not_a_failure(benchmark, submission, cubes, tmp_path):
    """What is not the submitter's fault propagates; it never becomes a bad score."""

    class Broken(ProcessRuntime):
        def start(self, spec):
            if self.starts == 1:
                raise ConfigError("runtime: the engine went away")
            return super().start(spec)

    with pytest.raises(ConfigError, match="the engine went away"):
        run_it(benchmark, submission, cubes, tmp_path / "runs", Broken("crash-at-3"))
    assert threading.active_count() == 1


def test_the_record_says_what_the_run_depended_on(benchmark, submission, cubes, tmp_path):
    """run.json names code, packages, machine, digests and the session; resolved.yaml the site's configuration."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")

    record = json.loads(run.record_file.read_text())
    assert record["identity"]["benchmark_sha256"] == benchmark.sha256
    assert record["identity"]["cohort_sha256"] == cubes.sha256
    assert record["provenance"]["packages"].keys() >= {"numpy", "scipy", "mlflow"}
    assert record["sessions"][0]["site"] == "test"
    assert yaml.safe_load(run.config_file.read_text()) == {"runtime": "process"}


def test_a_run_that_was_killed_before_its_tracker_was_told_is_completed(benchmark, submission, cubes, tmp_path):
    """The same command goes on with a run until all of it is done; only then does it begin another attempt."""
    run, report = run_it(benchmark, submission, cubes, tmp_path / "runs")
    run.tracked_file.unlink()
    run.report_file.unlink()

    again, same = run_it(benchmark, submission, cubes, tmp_path / "runs")

    assert again.run_id == run.run_id
    assert same.estimates == report.estimates


def test_the_same_image_under_another_name_is_another_attempt(benchmark, submission, cubes, tmp_path):
    """Looks at a cohort are counted by name and by image."""
    run_it(benchmark, submission, cubes, tmp_path / "runs")
    other = write_submission(tmp_path / "other", name="other-name")
    run, report = run_it(benchmark, other, cubes, tmp_path / "runs")

    assert run.record["attempt"] == 2
    assert any("attempt 2 of this submission" in finding.text for finding in report.findings)


@pytest.mark.parametrize("what", ["benchmark", "submission", "training", "cohort"])
def test_nothing_is_scored_but_what_was_run(cubes, submission, tmp_path, what):
    """Rescoring with another protocol, declaration or cohort than the run's is refused, however alike it looks."""
    folder = tmp_path / "declared"
    folder.mkdir()
    (folder / "pixels.txt").write_text("f" * 64 + "\n")
    submission = write_submission(folder, training_data={"description": "", "pixel_sha256_file": "pixels.txt"})
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cubes))
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")
    cohort = cubes
    if what == "benchmark":
        benchmark = write_benchmark(tmp_path / "cubes", protocol(cubes, version=2))
    elif what == "submission":
        submission = write_submission(folder, intended_use="Everything.", training_data=submission.training_data.model_dump())
    elif what == "training":
        (folder / "pixels.txt").write_text("e" * 64 + "\n")
    else:
        cohort = make_cohort(tmp_path / "other", 12)

    with pytest.raises(RunError, match=f"the {what} is not the one of the run"):
        finish(run, benchmark, submission, cohort, Ledger(run.ledger_file))


def test_a_run_without_its_end_is_not_scored(benchmark, submission, cubes, tmp_path):
    """A ledger that lacks its last line belongs to a run that must go on first."""
    run, _ = run_it(benchmark, submission, cubes, tmp_path / "runs")
    lines = run.ledger_file.read_text().splitlines(keepends=True)
    run.ledger_file.write_text("".join(lines[:-1]))

    with pytest.raises(RunError, match="was not finished; run the same 'tef evaluate' again"):
        finish(run, benchmark, submission, cubes, Ledger(run.ledger_file))


def test_cases_that_a_policy_leaves_out_are_an_error_in_the_report(cubes, submission, tmp_path):
    """A model must not look good by failing where it would be bad."""
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cubes, on_failure="exclude"))
    _, report = run_it(benchmark, submission, cubes, tmp_path / "runs", ProcessRuntime("error-at-2"))

    (finding,) = [f for f in report.findings if f.topic == "failures"]
    assert finding.severity == "error"
    assert finding.text == "1 of 10 cases have no prediction and are left out: the estimates tell of the others only."


def test_a_submission_that_asks_for_more_than_it_gets_is_told_before_it_starts(cubes, benchmark, tmp_path):
    """Less memory than declared would only end in OOM_KILLED on every case."""
    greedy = write_submission(tmp_path / "greedy", resources={"gpus": 0, "memory_mb": 900_000})

    with pytest.raises(SubmissionError, match="submission cube-finder: asks for 900000 MB of memory; cubes gives 256"):
        run_it(benchmark, greedy, cubes, tmp_path / "runs")


@pytest.mark.parametrize("sign", [",", '"'])
def test_a_path_that_engines_cannot_mount_is_refused_before_a_run_is_made(cubes, benchmark, submission, tmp_path, sign):
    """The operator is told which sign of the path is the matter."""
    with pytest.raises(ConfigError, match=r"site.runs_dir: .* which engines cannot mount; choose another"):
        run_it(benchmark, submission, cubes, tmp_path / f"runs{sign}here")


def test_mounts_are_absolute_wherever_the_runs_folder_is_named_from(cubes, benchmark, submission, tmp_path, monkeypatch):
    """Docker takes no relative path, and a runs folder usually is one."""
    monkeypatch.chdir(tmp_path)
    seen = []

    class Watching(ProcessRuntime):
        def start(self, spec):
            seen.extend(mount.source for mount in spec.mounts)
            return super().start(spec)

    run_it(benchmark, submission, cubes, Path("runs"), Watching())

    assert seen
    assert all(source.is_absolute() for source in seen)


def test_a_damaged_record_of_another_run_is_named_and_stops_nobody(benchmark, submission, cubes, tmp_path, caplog):
    """One bad run.json costs that run alone."""
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "run.json").write_text("{}")

    run_it(benchmark, submission, cubes, tmp_path / "runs")

    assert "broken/run.json: is not the record of a run" in caplog.text

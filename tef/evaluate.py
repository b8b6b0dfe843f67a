"""The straight line: from a benchmark, a submission and a cohort to a report."""

import logging
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import psutil

from tef.benchmark import Benchmark
from tef.cohort import Case, Cohort
from tef.contracts import CONTRACTS, Slot
from tef.errors import CohortError, ConfigError, SubmissionError
from tef.executors import Local
from tef.ledger import Ledger
from tef.metrics import build_metrics
from tef.prediction import Failure, FailureCode, Outcome
from tef.readers import UnreadableOutput, WrongGeometry, check_output
from tef.report import Report, write_report
from tef.report.html import write_html
from tef.run import Run, load_run, open_run
from tef.sandbox import Runtime
from tef.scoring import assess, write_scores
from tef.subgroups import subgroup_labels
from tef.submission import Submission

_log = logging.getLogger(__name__)
_UNMOUNTABLE = ',"\n\r'


class Progress(Protocol):
    """Told how a run goes."""

    def began(self, run: Run, total: int, done: int) -> None:
        """The run is open; ``done`` cases of ``total`` were finished by an earlier session."""

    def case(self, outcome: Outcome) -> None:
        """A case is finished and on record."""


def evaluate(
    benchmark: Benchmark,
    submission: Submission,
    cohort: Cohort,
    *,
    runs_dir: Path,
    runtime: Runtime,
    executor: Local,
    session: Mapping[str, Any],
    progress: Progress,
    resolved: str,
) -> tuple[Run, Report]:
    """Run a submission over a cohort and report on it, or go on with the unfinished run of exactly that.

    Args:
        runs_dir: Where the run's folder is, or is to be.
        session: What is recorded of this start: overrides, site, engine.
        resolved: The composed site configuration, kept with the run.

    Raises:
        TefError: Somebody must fix something; what is finished is kept, and the same call goes on.
    """
    check(benchmark, cohort)
    check_submission(submission, benchmark)
    check_path(runs_dir)
    remove_orphans(runs_dir, runtime)
    image = runtime.pin(submission.image, submission.digest)
    pinned = {"reference": image.reference, "digest": image.digest, "size_bytes": image.size_bytes, "platform": image.platform}
    run = open_run(runs_dir, benchmark, submission, cohort, pinned, dict(session) | {"gpus": list(runtime.gpus)})
    with run.locked():
        run.config_file.write_text(resolved, encoding="utf-8")
        ledger = Ledger(run.ledger_file)
        predict_all(run, benchmark, submission, cohort, ledger, runtime=runtime, executor=executor, progress=progress)
        return run, finish(run, benchmark, submission, cohort, ledger)


def predict_all(
    run: Run,
    benchmark: Benchmark,
    submission: Submission,
    cohort: Cohort,
    ledger: Ledger,
    *,
    runtime: Runtime,
    executor: Local,
    progress: Progress,
) -> None:
    """Bring every case of the cohort that has no outcome yet to one, each on record the moment it is known."""
    if ledger.repaired_bytes:
        _log.warning("%s: dropped an unfinished last line of %d bytes", ledger.path, ledger.repaired_bytes)
    done = ledger.outcomes()
    pending = [case for case in run.shuffled(cohort.cases) if case.case_id not in done]
    progress.began(run, len(cohort), len(done))
    contract = CONTRACTS[submission.contract]
    digest = run.record["image"]["digest"]
    cases = {case.case_id: case for case in cohort}

    def work(index: int, mine: Iterator[Case], stop: threading.Event) -> Iterable[Outcome]:
        gpus = (runtime.gpus[index % len(runtime.gpus)],) if runtime.gpus and submission.resources.gpus else ()
        slot = Slot(index, runtime, digest, run, benchmark, gpus, stop)
        for outcome in contract.predict(slot, mine):
            outcome = checked(outcome, cases[outcome.case_id], benchmark, run)
            if isinstance(outcome, Failure):
                check_room(run.folder, benchmark.limits.output_mb * executor.workers)
            yield outcome

    run.sweep_exchange()
    for outcome in executor.map(work, pending, one_start=contract.one_start) if pending else ():
        ledger.record(outcome)
        progress.case(outcome)
    if not any(entry["kind"] == "end" for entry in ledger.entries):
        ledger.append("end", {"n_cases": len(cohort)})


def check_room(folder: Path, needed_mb: float) -> None:
    """A full disk is the site's to mend: a case that failed on one is not held against the model, and is run again.

    Raises:
        ConfigError: The disk has less room than models that run together may write.
    """
    free_mb = shutil.disk_usage(folder).free / (1024 * 1024)
    if free_mb < needed_mb:
        raise ConfigError(
            f"{folder}: no space left on the disk (a case failed with {free_mb:.0f} MB free; models may write {needed_mb:g}); "
            "free some and run the same command again: finished cases are kept"
        )


def checked(outcome: Outcome, case: Case, benchmark: Benchmark, run: Run) -> Outcome:
    """A prediction whose file can be read and fits the case, else the Failure that it is."""
    if isinstance(outcome, Failure):
        return outcome
    name = benchmark.output
    path = run.folder / outcome.outputs[name].path
    try:
        check_output(path, benchmark.interface.outputs[name].kind, case.reference[name])
    except WrongGeometry as error:
        code, message = FailureCode.WRONG_GEOMETRY, str(error)
    except UnreadableOutput as error:
        code, message = FailureCode.MALFORMED_OUTPUT, str(error)
    else:
        return outcome
    return Failure(case.case_id, code, "collect", message, outcome.total_s)


def finish(run: Run, benchmark: Benchmark, submission: Submission, cohort: Cohort, ledger: Ledger) -> Report:
    """Score, estimate, decide, and write every file of the report; ``report.json`` last, as its presence says "finished"."""
    report, scores = assess(run, benchmark, submission, cohort, ledger)
    write_scores(run, scores)
    write_html(run, report)
    write_report(run, report)
    return report


def remove_orphans(runs_dir: Path, runtime: Runtime) -> None:
    """Remove containers of this folder's runs that no process works on: a killed harness leaves none beside held-out data."""
    for run_id in runtime.run_ids():
        if (runs_dir / run_id / "run.json").is_file() and not load_run(runs_dir / run_id).is_locked():
            runtime.remove_leftovers(run_id)


def check_submission(submission: Submission, benchmark: Benchmark) -> None:
    """Whatever of a submission can be found wrong before its container is started.

    Raises:
        SubmissionError: It asks for more than the benchmark gives, or its declaration cannot be read.
    """
    asked, given = submission.resources.memory_mb, benchmark.limits.memory_mb
    if asked > given:
        raise SubmissionError(f"submission {submission.name}: asks for {asked} MB of memory; {benchmark.name} gives {given}")
    submission.declared_pixel_sha256()


def check_path(runs_dir: Path) -> None:
    """Raise ConfigError where a container engine could not mount what lies below a folder."""
    if odd := sorted(set(str(runs_dir.resolve())) & set(_UNMOUNTABLE)):
        raise ConfigError(
            f"site.runs_dir: {runs_dir.resolve()} has a {odd[0]!r}, which engines cannot mount; choose another path"
        )


def check(benchmark: Benchmark, cohort: Cohort) -> None:
    """Whatever can be found wrong before a container is started.

    Raises:
        ProtocolError, CohortError, ConfigError: By who must act.
    """
    build_metrics(benchmark)
    if cohort.sha256 != benchmark.cohort.sha256:
        raise CohortError(
            f"{cohort.folder}: is not the cohort that {benchmark.name} version {benchmark.version} was announced with "
            f"(digest {cohort.sha256[:12]}, expected {benchmark.cohort.sha256[:12]}); provide that one"
        )
    masks = benchmark.task == "segmentation"
    for case in cohort:
        if absent := [name for name in benchmark.interface.inputs if name not in case.inputs]:
            raise CohortError(f"{cohort.folder}: case {case.case_id} has no input '{absent[0]}'; the protocol asks for it")
        reference = case.reference.get(benchmark.output)
        if isinstance(reference, Path) if not masks else not isinstance(reference, Path):
            what = "mask" if masks else "class (0 or 1)"
            raise CohortError(f"{cohort.folder}: case {case.case_id} has no {what} as reference '{benchmark.output}'")
        if not masks and reference not in (0, 1):
            raise CohortError(f"{cohort.folder}: case {case.case_id}: reference '{benchmark.output}' is {reference!r}; 0 or 1")
    subgroup_labels(benchmark.subgroups, [case.attributes for case in cohort])
    limits, cpus = benchmark.limits, os.cpu_count() or 1
    if limits.cpus > cpus:
        raise ConfigError(f"this machine has {cpus} CPUs, {benchmark.name} gives a model {limits.cpus:g}; use a larger machine")
    memory_mb = psutil.virtual_memory().total // (1024 * 1024)
    if limits.memory_mb > memory_mb:
        raise ConfigError(
            f"this machine has {memory_mb} MB of memory, {benchmark.name} gives a model {limits.memory_mb}; use a larger one"
        )

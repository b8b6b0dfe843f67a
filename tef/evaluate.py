"""The straight line: from a benchmark, a submission and a cohort to a report."""

import logging
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tef.benchmark import Benchmark
from tef.cohort import Case, Cohort
from tef.contracts import CONTRACTS, Slot
from tef.errors import ConfigError
from tef.executors import Local
from tef.ledger import Ledger
from tef.prediction import Failure, FailureCode, Outcome
from tef.preflight import check, check_path, check_submission, remove_orphans
from tef.readers import UnreadableOutput, WrongGeometry, check_output
from tef.report import Report, write_report
from tef.report.html import write_html
from tef.run import Run, open_run
from tef.sandbox import Runtime
from tef.scoring import assess, write_scores
from tef.submission import Submission

_log = logging.getLogger(__name__)


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

    runtime.remove_leftovers(run.run_id)
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

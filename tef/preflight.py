"""Whatever can be found wrong, or left over, before a container is started."""

import logging
import os
from pathlib import Path

import psutil

from tef.benchmark import Benchmark
from tef.cohort import Cohort
from tef.errors import CohortError, ConfigError, RunError, SubmissionError
from tef.metrics import build_metrics
from tef.run import load_run
from tef.sandbox import Runtime
from tef.subgroups import subgroup_labels
from tef.submission import Submission

_log = logging.getLogger(__name__)
_UNMOUNTABLE = ',"\n\r'


def remove_orphans(runs_dir: Path, runtime: Runtime) -> None:
    """Remove containers of this folder's runs that no process works on: a killed harness leaves none beside held-out data."""
    for run_id in runtime.run_ids():
        if not (runs_dir / run_id / "run.json").is_file():
            continue
        try:
            with load_run(runs_dir / run_id).locked():
                runtime.remove_leftovers(run_id)
        except RunError as error:
            # A process is at work on it, or its record is damaged.
            _log.info("%s", error)


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

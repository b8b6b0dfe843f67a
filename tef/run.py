"""A run: its id, its provenance, its secret names for cases, and every file name in its folder."""

import fcntl
import hashlib
import hmac
import json
import logging
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tef
from tef.benchmark import Benchmark
from tef.cohort import Case, Cohort, file_sha256
from tef.errors import RunError
from tef.files import fsync_folder, remove_tree, write_json
from tef.provenance import provenance
from tef.submission import Submission

_KEYS = {"run_id", "identity", "benchmark", "submission", "cohort", "image", "attempt", "secret", "provenance", "sessions"}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation of one submission on one benchmark; no other module builds a path in its folder.

    Attributes:
        folder: ``runs/<run id>``.
        record: The content of ``run.json``.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def run_id(self) -> str:
        """Name of the folder."""
        return self.folder.name

    @property
    def record_file(self) -> Path:
        """Provenance: versions, digests, hardware, overrides, attempt number on this cohort."""
        return self.folder / "run.json"

    @property
    def config_file(self) -> Path:
        """The composed site configuration."""
        return self.folder / "resolved.yaml"

    @property
    def ledger_file(self) -> Path:
        """See `tef.ledger`."""
        return self.folder / "ledger.jsonl"

    @property
    def scores_file(self) -> Path:
        """Case x metric x label."""
        return self.folder / "scores.parquet"

    @property
    def report_file(self) -> Path:
        """The truth, schema-versioned."""
        return self.folder / "report.json"

    @property
    def html_file(self) -> Path:
        """The view of the report for people."""
        return self.folder / "report.html"

    @property
    def tracked_file(self) -> Path:
        """Where the tracker has put the run; with it the run is complete."""
        return self.folder / "tracked.json"

    @property
    def benchmark_folder(self) -> Path:
        """The protocol as it was when the run began, to the byte."""
        return self.folder / "benchmark" / str(self.record["benchmark"]["name"])

    @property
    def submission_folder(self) -> Path:
        """What the submission declared when the run began, to the byte."""
        return self.folder / "submission"

    def prediction(self, case_id: str) -> Path:
        """Folder of a case's outputs."""
        return self.folder / "predictions" / self.token(case_id)

    def log(self, worker: int) -> Path:
        """What the containers of a worker printed."""
        return self.folder / "logs" / f"worker-{worker}.log"

    def exchange(self, worker: int) -> Path:
        """Folder that holds ``input`` and ``output`` as a worker's container sees them; made anew where it is missing."""
        # Absolute: an engine takes nothing else for a mount.
        folder = self.folder.resolve() / "exchange" / str(worker)
        for name in ("input", "output"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name).chmod(0o755)
        return folder

    def token(self, case_id: str) -> str:
        """The case's opaque name in this run: another one in each run, and no way back without the run's secret."""
        return "c" + self.opaque("case", case_id)[:16]

    def opaque(self, kind: str, name: str) -> str:
        """Another name in hexadecimal: the same within this run, other ones in others, and no way back without the secret."""
        return hmac.new(bytes.fromhex(self.record["secret"]), f"{kind}\0{name}".encode(), hashlib.sha256).hexdigest()

    def shuffled(self, cases: Sequence[Case]) -> list[Case]:
        """The cases in the order of their opaque names, which is random and the same whenever the run goes on."""
        return sorted(cases, key=lambda case: self.token(case.case_id))

    def sweep_exchange(self) -> None:
        """Delete what an earlier session left in the workers' folders; no container of the run may be alive."""
        for folder in sorted((self.folder / "exchange").iterdir()):
            remove_tree(folder)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run alone.

        Raises:
            RunError: Another process has it.
        """
        with (self.folder / ".lock").open("a") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise RunError(f"{self.folder}: another process is at work on this run; wait for it or end it") from error
            yield


def identity(benchmark: Benchmark, submission: Submission, cohort: Cohort, image_digest: str) -> dict[str, str | None]:
    """The digests that decide which evaluation this is: two runs with the same ones answer the same question."""
    declared = submission.training_data.pixel_sha256_file
    return {
        "benchmark_sha256": benchmark.sha256,
        "submission_sha256": submission.sha256,
        "training_sha256": file_sha256(submission.folder / declared) if declared is not None else None,
        "image_digest": image_digest,
        "cohort_sha256": cohort.sha256,
        "tef_version": tef.__version__,
    }


def open_run(
    runs_dir: Path,
    benchmark: Benchmark,
    submission: Submission,
    cohort: Cohort,
    image: Mapping[str, Any],
    session: Mapping[str, Any],
) -> Run:
    """Go on with the run of exactly this evaluation that is not complete, or begin a new one.

    Args:
        image: The pinned image, as recorded.
        session: How the run was started this time (overrides, engine); appended to ``run.json``.

    Raises:
        RunError: Another process is at work on that run.
    """
    digests = identity(benchmark, submission, cohort, image["digest"])
    earlier = list(runs(runs_dir))
    now = datetime.now(UTC)
    this = dict(session) | {"started_at": now.isoformat(timespec="seconds")}
    for run in earlier:
        if run.record["identity"] == digests and not run.tracked_file.exists():
            run = Run(run.folder, dict(run.record) | {"sessions": [*run.record["sessions"], this]})
            with run.locked():
                write_json(run.record_file, run.record)
            return run
    same = [run for run in earlier if _another_attempt(run, submission, digests)]
    # To the millisecond, so that names sort in the order of time.
    moment = f"{now:%Y%m%dT%H%M%S}.{now.microsecond // 1000:03d}"
    folder = runs_dir / f"{moment}-{benchmark.name}-{submission.name}-{secrets.token_hex(2)}"
    record = {
        "schema_version": 1,
        "run_id": folder.name,
        "identity": digests,
        "benchmark": {"name": benchmark.name, "version": benchmark.version, "sha256": benchmark.sha256},
        "submission": {"name": submission.name, "version": submission.version, "sha256": submission.sha256},
        "cohort": {"name": cohort.card["name"], "version": cohort.card["version"], "sha256": cohort.sha256},
        "image": dict(image),
        "attempt": len(same) + 1,
        "secret": secrets.token_hex(16),
        "provenance": provenance(),
        "sessions": [this],
    }
    for name in ("predictions", "logs", "exchange"):
        (folder / name).mkdir(parents=True, mode=0o700)
    folder.chmod(0o700)
    run = Run(folder, record)
    run.benchmark_folder.mkdir(parents=True)
    shutil.copyfile(benchmark.folder / "protocol.yaml", run.benchmark_folder / "protocol.yaml")
    run.submission_folder.mkdir()
    shutil.copyfile(submission.file, run.submission_folder / "submission.yaml")
    if (declared := submission.training_data.pixel_sha256_file) is not None:
        shutil.copyfile(submission.folder / declared, run.submission_folder / declared)
    # Last: a folder without it is no run, and is not found again.
    write_json(run.record_file, record)
    fsync_folder(runs_dir)
    return run


def _another_attempt(run: Run, submission: Submission, digests: Mapping[str, str | None]) -> bool:
    """A run of the same submission, by name or by image, on the same cohort."""
    known = run.record["identity"]
    same_model = run.record["submission"]["name"] == submission.name or known["image_digest"] == digests["image_digest"]
    return bool(same_model and known["cohort_sha256"] == digests["cohort_sha256"])


def load_run(folder: Path) -> Run:
    """Open the folder of an earlier run.

    Raises:
        RunError: It is not one.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise RunError(f"{folder}: is not the folder of a run; 'tef list' names them")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path}: cannot be read ({error}); restore it") from error
    if not isinstance(record, dict) or record.get("schema_version") != 1 or not record.keys() >= _KEYS:
        raise RunError(f"{path}: is not the record of a run of this version of tef; restore it")
    return Run(folder, record)


def runs(runs_dir: Path) -> Iterator[Run]:
    """Every run, oldest first; one whose record cannot be read is named in a warning and left out."""
    for path in sorted(runs_dir.glob("*/run.json")):
        try:
            yield load_run(path.parent)
        except RunError as error:
            _log.warning("%s", error)

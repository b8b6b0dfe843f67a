"""MLflow: a view of reports side by side. It holds nothing that the run folder does not, and can be rebuilt from it.

Experiment  ``<benchmark> v<version>``; in it one MLflow run for each run of tef, found again by its tag ``tef.run_id``.
Values      See `tef.trackers.mlflow_facts`.
Dataset     The cohort's name, and the first 32 digits of its digest; no pixels.
Artifacts   ``results/report.json``, ``results/per_case.json``, ``report/report.html``, ``config/resolved.yaml``,
            ``provenance/run.json``. Cases have their opaque names everywhere, and the secret behind these stays at home.
"""

import fcntl
import json
import logging
import os
import re
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import ConfigDict
from pydantic.dataclasses import dataclass

from tef.errors import ConfigError
from tef.files import write_json
from tef.report import Report
from tef.run import Run
from tef.trackers.mlflow_facts import Facts, facts_of, per_case, short

_SQLITE = "sqlite:///"
_NO_TELEMETRY = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
# No retries: a repeated "create" that had been heard would make a second run, and 'tef track' is the retry.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
_MAX_METRICS, _MAX_PARAMS_OR_TAGS = 1000, 100


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class MLflow:
    """An MLflow server or a sqlite file.

    Attributes:
        tracking_uri: ``http(s)://host:port``, ``sqlite:////path/mlflow.db``, or None for ``mlflow.db`` beside the runs.
            Artifacts of a sqlite file lie beside it, in ``mlflow-artifacts``.
    """

    tracking_uri: str | None

    def __post_init__(self) -> None:
        if self.tracking_uri is None:
            return
        if not re.match(r"https?://[^/]|sqlite:///[^?]+$", self.tracking_uri):
            raise ConfigError("tracker.tracking_uri: is neither http(s)://host:port nor sqlite:////path/mlflow.db, nor null")
        if "@" in urlsplit(self.tracking_uri).netloc:
            raise ConfigError(
                "tracker.tracking_uri: holds a user name or password, which would be kept with the run; "
                "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
            )

    def track(self, run: Run, report: Report) -> str | None:
        """Bring MLflow's view of the run up to date, whatever an earlier attempt has left there.

        Returns:
            How to look at it: a shell command or an address.

        Raises:
            ConfigError: MLflow cannot be reached within half a minute, or refuses; the report does not depend on it.
        """
        os.environ.update(_NO_TELEMETRY)
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        uri, database = self._store(run)
        try:
            with _calm():
                where, record = _track(uri, database, run, report)
        # OSError covers what requests raises.
        except (MlflowException, SQLAlchemyError, OSError) as error:
            reason = " ".join(str(error).split())[:500]
            raise ConfigError(
                f"tracker: MLflow at {uri} cannot be reached or used: {reason}; "
                f"the report is complete, 'tef track {run.run_id}' tells MLflow later"
            ) from error
        write_json(run.tracked_file, record)
        return where

    def _store(self, run: Run) -> tuple[str, Path | None]:
        """Address of the store, and its file where it is a sqlite database."""
        if self.tracking_uri is not None and not self.tracking_uri.startswith(_SQLITE):
            return self.tracking_uri.rstrip("/"), None
        given = Path(self.tracking_uri.removeprefix(_SQLITE)) if self.tracking_uri else run.folder.parent / "mlflow.db"
        return f"{_SQLITE}{given.absolute()}", given.absolute()


@contextmanager
def _calm() -> Iterator[None]:
    """For one call: bounded waiting, unless the operator has set it otherwise, and no chatter beside our one line."""
    added = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    logger = logging.getLogger("mlflow")
    level = logger.level
    os.environ.update(added)
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "The ``noload`` loader strategy is deprecated", DeprecationWarning)
            yield
    finally:
        logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)


def _track(uri: str, database: Path | None, run: Run, report: Report) -> tuple[str, dict[str, Any]]:
    """Send everything; return how to look at it, and the record of where it went."""
    from mlflow.entities import Metric, Param, RunTag

    facts = facts_of(run, report)
    client = _open(uri, database)
    experiment_id = _experiment(client, facts.experiment, database)
    entry = _entry(client, experiment_id, facts)
    id_, known, now_ms = entry.info.run_id, entry.data, time.time_ns() // 1_000_000
    metrics = [Metric(key, value, now_ms, 0) for key, value in facts.metrics.items() if known.metrics.get(key) != value]
    for some in _chunks(metrics, _MAX_METRICS):
        client.log_batch(id_, metrics=some)
    params = [Param(key, value) for key, value in facts.params.items() if key not in known.params]
    for some in _chunks(params, _MAX_PARAMS_OR_TAGS):
        client.log_batch(id_, params=some)
    client.log_inputs(id_, [_dataset(report)])
    _send_files(client, id_, run, report)
    # Last: an MLflow run that bears the report's digest is complete.
    for some in _chunks([RunTag(key, value) for key, value in facts.tags.items()], _MAX_PARAMS_OR_TAGS):
        client.log_batch(id_, tags=some)
    client.set_terminated(id_, "FINISHED", facts.finished_ms)
    record = {"uri": uri, "experiment": facts.experiment, "run_name": facts.name, "mlflow_run_id": id_}
    look = f"{uri}/#/experiments/{experiment_id}/runs/{id_}" if database is None else _command(uri)
    return f"MLflow: experiment {facts.experiment}, run {facts.name}: {look}", record


def _command(uri: str) -> str:
    """What shows a sqlite store in a browser; one worker starts in a third of the time that MLflow's four take."""
    program = str(Path(sys.executable).with_name("mlflow"))
    program = "mlflow" if shutil.which("mlflow") == program else shlex.quote(program)
    return f"DO_NOT_TRACK=true {program} ui --backend-store-uri {shlex.quote(uri)} --workers 1"


def _open(uri: str, database: Path | None) -> Any:
    """A client; a database that is not there yet is made in one step by one process, so that nobody meets half of one."""
    from mlflow import MlflowClient

    if database is None:
        return MlflowClient(uri)
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_name(f"{database.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            draft = database.with_name(f"{database.name}.part")
            for left in (draft, draft.with_name(f"{draft.name}-journal")):
                left.unlink(missing_ok=True)
            SqlAlchemyStore(f"{_SQLITE}{draft}", _artifacts(database)).engine.dispose()
            draft.replace(database)
        # MLflow would try for minutes to open what cannot be opened.
        if not database.is_file() or not os.access(database, os.R_OK | os.W_OK):
            raise PermissionError(f"{database} is not a file that can be written")
        return MlflowClient(uri)


def _artifacts(database: Path) -> str:
    return (database.parent / "mlflow-artifacts").as_uri()


def _experiment(client: Any, name: str, database: Path | None) -> str:
    """Id of the experiment, which is made where it is not there."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=_artifacts(database) if database else None))
        except MlflowException:
            # Another process may have made it in between.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _entry(client: Any, experiment_id: str, facts: Facts) -> Any:
    """The MLflow run of this run.

    MLflow can neither take a metric back nor change a param. Where a report written anew needs that, the old MLflow run is
    deleted and a new one takes its place: better than a number that no report holds any more.
    """
    run_id = facts.tags["tef.run_id"]
    for old in client.search_runs([experiment_id], f"tags.`tef.run_id` = '{run_id}'"):
        changed = [key for key, value in old.data.params.items() if facts.params.get(key) != value]
        if not changed and old.data.metrics.keys() <= facts.metrics.keys():
            return old
        client.delete_run(old.info.run_id)
    return client.create_run(experiment_id, facts.started_ms, {"tef.run_id": run_id}, facts.name)


def _dataset(report: Report) -> Any:
    """The cohort as MLflow's evaluation dataset: what it is and its digest, nothing to load."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.entities import Dataset, DatasetInput, InputTag

    card, sha256 = report.cohort["card"], report.cohort["sha256"]
    facts = {"title": card["title"], "version": card["version"], "sha256": sha256}
    facts |= {key: report.cohort[key] for key in ("n_cases", "n_patients")}
    source = CodeDatasetSource({key: short(value) for key, value in facts.items()})
    described = MetaDataset(source, name=card["name"], digest=sha256[:32]).to_dict()
    return DatasetInput(Dataset(**described), [InputTag("mlflow.data.context", "evaluation")])


def _send_files(client: Any, id_: str, run: Run, report: Report) -> None:
    for path, folder in ((run.report_file, "results"), (run.html_file, "report"), (run.config_file, "config")):
        client.log_artifact(id_, str(path), folder)
    public = {key: value for key, value in run.record.items() if key != "secret"}
    client.log_text(id_, json.dumps(public, indent=2, ensure_ascii=False), "provenance/run.json")
    client.log_text(id_, json.dumps(per_case(report), ensure_ascii=False), "results/per_case.json")


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))

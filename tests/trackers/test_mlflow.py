"""MLflow, with a real sqlite store and a real server."""

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tef.errors import ConfigError
from tef.trackers import MLflow

ROOT = Path(__file__).parents[2]
TRACK = """
import sys
from pathlib import Path
from tef.report import load_report
from tef.run import load_run
from tef.trackers import MLflow
run = load_run(Path(sys.argv[1]))
print(MLflow(tracking_uri=None).track(run, load_report(run)))
"""
# Of SQLAlchemy, about how MLflow declares its tables; the tests' own clients meet it too.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory) -> Path:
    """A database with MLflow's tables and nothing in them: making it takes seconds, copying it does not."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(tmp_path, migrated) -> str:
    """Address of the default store of the runs in ``tmp_path/runs``."""
    (tmp_path / "runs").mkdir()
    shutil.copyfile(migrated, tmp_path / "runs" / "mlflow.db")
    return f"sqlite:///{tmp_path}/runs/mlflow.db"


@pytest.fixture(scope="module")
def server(tmp_path_factory, migrated) -> Iterator[str]:
    """Address of a real MLflow server."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(migrated, folder / "mlflow.db")
    address = f"http://127.0.0.1:{_free_port()}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=folder, env=os.environ | settings, start_new_session=True
        )
        try:
            _await(address, process, folder / "log")
            yield address
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _await(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5).close()
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.5)
        else:
            return
    pytest.fail(f"the MLflow server did not start:\n{log.read_text()}")


def _all_runs(uri: str, wanted: str = ""):
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    return client.search_runs([e.experiment_id for e in client.search_experiments()], wanted)


def _artifacts(uri: str, run_id: str, folder: Path) -> dict[str, str]:
    from mlflow import MlflowClient

    target = folder / "fetched"
    target.mkdir(exist_ok=True)
    MlflowClient(uri).download_artifacts(run_id, "", str(target))
    return {p.relative_to(target).as_posix(): p.read_text() for p in target.rglob("*") if p.is_file()}


def test_numbers_arrive_as_they_stand_in_the_report(finished, store) -> None:
    """Every estimate, of the cohort and of subgroups, has its exact value; what is undefined is absent."""
    run, report = finished()
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(store)
    metrics = found.data.metrics
    dice = report.estimate("dice")
    assert (metrics["dice/mean"], metrics["dice/ci95_low"], metrics["dice/ci95_high"]) == (dice.value, dice.low, dice.high)
    assert (metrics["dice/n_used"], metrics["dice/n_total"]) == (3, 4)
    assert metrics["auroc/value"] == 0.75
    assert metrics["dice/mean/sex:F"] == 0.5
    assert metrics["dice/mean/volume:below 50 ml"] == 0.25
    assert metrics["cases/n_failed"] == 1
    assert "dice/mean/sex:M" not in metrics
    assert metrics["dice/n_used/sex:M"] == 0


def test_a_run_is_filed_under_its_benchmark_and_says_what_it_is(finished, store) -> None:
    """Experiment, name, tags and times identify submission, benchmark, cohort and verdict."""
    from mlflow import MlflowClient

    run, report = finished()
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(store)
    assert MlflowClient(store).get_experiment(found.info.experiment_id).name == "demo v3"
    assert found.info.run_name == "net 1.2.0 #2"
    assert found.info.status == "FINISHED"
    assert found.info.end_time - found.info.start_time == 600_250
    tags = found.data.tags
    assert tags["tef.run_id"] == run.run_id
    assert tags["tef.accepted"] == "false"
    assert tags["tef.status"] == "partial"
    assert tags["tef.submission.image_digest"] == "sha256:" + "1" * 64
    assert tags["tef.cohort.sha256"] == "e" * 64
    assert tags["tef.code.dirty"] == "true"
    assert found.data.params["interval.replicates"] == "2000"


def test_runs_are_found_by_the_digest_of_their_cohort(finished, store) -> None:
    """The cohort is the run's evaluation dataset, with its digest and without its data."""
    MLflow(tracking_uri=None).track(*finished())
    (found,) = _all_runs(store, f"dataset.digest = '{'e' * 32}'")
    (given,) = found.inputs.dataset_inputs
    assert given.dataset.name == "demo-cohort"
    assert [(tag.key, tag.value) for tag in given.tags] == [("mlflow.data.context", "evaluation")]
    assert "e" * 64 in given.dataset.source
    assert _all_runs(store, "dataset.digest = 'none'") == []


def test_report_and_table_lie_beside_the_run(finished, store, tmp_path) -> None:
    """The artifacts are the files of the run folder, and one table with a row a case."""
    run, report = finished()
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(store)
    artifacts = _artifacts(store, found.info.run_id, tmp_path)
    assert artifacts["results/report.json"] == run.report_file.read_text()
    assert artifacts["report/report.html"] == run.html_file.read_text()
    assert artifacts["config/resolved.yaml"] == run.config_file.read_text()
    assert [row[0] for row in json.loads(artifacts["results/per_case.json"])["data"]] == ["c01", "c02"]
    assert found.info.artifact_uri.startswith((tmp_path / "runs" / "mlflow-artifacts").as_uri())


def test_nothing_that_names_a_patient_leaves_the_run_folder(finished, store, tmp_path) -> None:
    """Neither the secret behind the opaque names nor a case id is in any artifact or in the database."""
    run, report = finished()
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(store)
    artifacts = _artifacts(store, found.info.run_id, tmp_path)
    assert json.loads(artifacts["provenance/run.json"])["run_id"] == run.run_id
    everything = "".join(artifacts.values()).encode() + (tmp_path / "runs" / "mlflow.db").read_bytes()
    (case_id,) = json.loads(run.scores_file.read_text())
    assert b"dice" in everything
    assert run.record["secret"].encode() not in everything
    assert case_id.encode() not in everything


def test_tracking_twice_leaves_one_run(finished, store) -> None:
    """The second time nothing is doubled: neither the run nor a point of a metric nor the dataset."""
    from mlflow import MlflowClient

    run, report = finished()
    first = MLflow(tracking_uri=None).track(run, report)
    assert MLflow(tracking_uri=None).track(run, report) == first
    (found,) = _all_runs(store)
    assert len(MlflowClient(store).get_metric_history(found.info.run_id, "dice/mean")) == 1
    assert len(found.inputs.dataset_inputs) == 1


def test_each_run_has_its_own_entry(finished, store) -> None:
    """Two runs of one submission on one benchmark stand side by side."""
    for name in ("20260102T030405-demo-net-0a0b", "20260103T030405-demo-net-0c0d"):
        MLflow(tracking_uri=None).track(*finished(name))
    assert len({found.info.experiment_id for found in _all_runs(store)}) == 1
    assert len(_all_runs(store)) == 2


def test_an_attempt_that_was_cut_off_is_completed(finished, store) -> None:
    """What an earlier attempt left half told becomes whole, in the same MLflow run."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    run, report = finished()
    client = MlflowClient(store)
    half = client.create_run(client.create_experiment("demo v3"), tags={"tef.run_id": run.run_id})
    client.log_batch(half.info.run_id, [Metric("dice/mean", 1 / 3, 1, 0)], [Param("task", "segmentation")])
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(store)
    assert found.info.run_id == half.info.run_id
    assert found.info.status == "FINISHED"
    assert found.data.metrics["auroc/value"] == 0.75
    assert found.data.params["primary"] == "dice"


def test_a_report_written_anew_replaces_its_numbers(finished, store, estimate) -> None:
    """After a rescore MLflow shows the new value, also where it is lower."""
    run, report = finished()
    MLflow(tracking_uri=None).track(run, report)
    changed = tuple(dataclasses.replace(e, value=0.125) if e.metric == "auroc" else e for e in report.estimates)
    MLflow(tracking_uri=None).track(*finished(estimates=changed))
    (found,) = _all_runs(store)
    assert found.data.metrics["auroc/value"] == 0.125


@pytest.mark.parametrize("change", ["a metric is gone", "a param differs"])
def test_what_mlflow_cannot_take_back_is_not_left_standing(finished, store, change) -> None:
    """Where the new report has a number no more, or another choice, a new MLflow run takes the old one's place."""
    run, report = finished()
    MLflow(tracking_uri=None).track(run, report)
    if change == "a metric is gone":
        run, report = finished(estimates=report.estimates[:1])
    else:
        run, report = finished(benchmark={**report.benchmark, "on_failure": "exclude"})
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(store)
    assert ("auroc/value" in found.data.metrics) == (change == "a param differs")
    assert found.data.params["on_failure"] == report.benchmark["on_failure"]


def test_the_run_folder_records_where_it_went(finished, store, capfd) -> None:
    """One line tells a person how to open it, a file tells a program, and nothing else is said or written."""
    here = sorted(Path.cwd().iterdir())
    run, report = finished()
    line = MLflow(tracking_uri=None).track(run, report)
    assert line is not None
    start, _, command = line.partition(": DO_NOT_TRACK=true ")
    assert start == "MLflow: experiment demo v3, run net 1.2.0 #2"
    program, *arguments = shlex.split(command)
    assert arguments == ["ui", "--backend-store-uri", store, "--workers", "1"]
    assert Path(shutil.which(program) or "").name == "mlflow"
    (found,) = _all_runs(store)
    assert json.loads(run.tracked_file.read_text()) == {
        "uri": store,
        "experiment": "demo v3",
        "run_name": "net 1.2.0 #2",
        "mlflow_run_id": found.info.run_id,
    }
    assert capfd.readouterr() == ("", "")
    assert sorted(Path.cwd().iterdir()) == here


def test_processes_that_start_at_once_share_a_fresh_store(finished, tmp_path) -> None:
    """Three runs that end together, with no database yet, are all there afterwards."""
    folders = [finished(f"2026010{day}T030405-demo-net-0a0b")[0].folder for day in (1, 2, 3)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", TRACK, str(folder)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    ended = [(*process.communicate(timeout=300), process.returncode) for process in started]
    assert [(error, code) for _, error, code in ended] == [("", 0)] * 3
    found = _all_runs(f"sqlite:///{tmp_path}/runs/mlflow.db")
    assert sorted(f.data.tags["tef.run_id"] for f in found) == sorted(folder.name for folder in folders)
    assert all("dice/mean" in f.data.metrics for f in found)


def test_a_database_that_a_killed_process_left_half_made_is_made_anew(finished, tmp_path) -> None:
    """Its remains are thrown away, and the run is told in full."""
    run, report = finished()
    for name in ("mlflow.db.part", "mlflow.db.part-journal"):
        (tmp_path / "runs" / name).write_bytes(b"half")
    MLflow(tracking_uri=None).track(run, report)
    (found,) = _all_runs(f"sqlite:///{tmp_path}/runs/mlflow.db")
    assert found.data.metrics["auroc/value"] == 0.75
    assert not list((tmp_path / "runs").glob("*.part*"))


def test_a_store_in_a_folder_with_odd_letters_works(finished, tmp_path) -> None:
    """Spaces, percent and number signs in a path neither break the store nor the command that opens it."""
    odd = tmp_path / "our 100% #1 store"
    line = MLflow(tracking_uri=f"sqlite:///{odd}/m.db").track(*finished())
    assert (odd / "m.db").is_file()
    assert shlex.split(line or "")[-3] == f"sqlite:///{odd}/m.db"
    assert len(list((odd / "mlflow-artifacts").rglob("report.json"))) == 1


def test_mlflow_is_imported_late_and_without_telemetry(finished, store) -> None:
    """When MLflow is first imported, its reports to its makers are already off."""
    run, _ = finished()
    watch = (
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'mlflow':\n"
        "        print(os.environ.get('MLFLOW_DISABLE_TELEMETRY'), os.environ.get('DO_NOT_TRACK'))\n"
        "sys.addaudithook(hook)\n"
        "import tef.trackers; print('before')\n"
    )
    environment = {
        name: value for name, value in os.environ.items() if name not in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK")
    }
    told = subprocess.run(
        [sys.executable, "-c", watch + TRACK, str(run.folder)],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.splitlines()[:2] == ["before", "true true"]


def test_a_server_that_is_down_costs_no_report(finished) -> None:
    """One line says that the report stands and what to do later; nothing claims that the run was tracked."""
    run, report = finished()
    address = f"http://127.0.0.1:{_free_port()}"
    settings = dict(os.environ)
    begun = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        MLflow(tracking_uri=address).track(run, report)
    assert time.monotonic() - begun < 30
    start, end = (
        f"tracker: MLflow at {address} cannot be reached",
        f"; the report is complete, 'tef track {run.run_id}' tells MLflow later",
    )
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(end)
    assert "\n" not in str(caught.value)
    assert not run.tracked_file.exists()
    assert {name for name in os.environ if name.startswith("MLFLOW_HTTP")} == {
        n for n in settings if n.startswith("MLFLOW_HTTP")
    }


@pytest.mark.slow
def test_a_server_that_never_answers_is_given_up_in_half_a_minute(finished) -> None:
    """A connection that is taken and then silent does not hold the evaluation."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        start = time.monotonic()
        with pytest.raises(ConfigError, match="cannot be reached"):
            MLflow(tracking_uri=f"http://127.0.0.1:{silent.getsockname()[1]}").track(*finished())
        assert time.monotonic() - start < 30


def test_a_server_that_is_no_mlflow_is_one_line(finished) -> None:
    """Any other web server at the address is an error of one line, not of a page."""
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Other(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>\n" + b"<p>welcome</p>\n" * 200)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Other) as other:
        Thread(target=other.serve_forever, daemon=True).start()
        with pytest.raises(ConfigError, match="cannot be reached or used") as caught:
            MLflow(tracking_uri=f"http://127.0.0.1:{other.server_port}").track(*finished())
        other.shutdown()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 900


@pytest.mark.parametrize("what", ["a folder", "another file"])
def test_a_database_that_is_none_is_one_line_at_once(finished, tmp_path, what, capfd) -> None:
    """What stands in the database's place is left alone and named."""
    run, report = finished()
    path = tmp_path / "runs" / "mlflow.db"
    path.mkdir() if what == "a folder" else path.write_text("no database\n" * 100)
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"mlflow\.db cannot be reached or used: .*not a (file|database)"):
        MLflow(tracking_uri=None).track(run, report)
    assert time.monotonic() - start < 10
    assert capfd.readouterr() == ("", "")
    assert path.is_dir() or path.read_text() == "no database\n" * 100


@pytest.mark.slow
def test_a_locked_database_is_given_up(finished, store, tmp_path, capfd) -> None:
    """A process that holds the database forever costs half a minute and no report."""
    holder = sqlite3.connect(tmp_path / "runs" / "mlflow.db")
    holder.execute("BEGIN EXCLUSIVE")
    start = time.monotonic()
    with pytest.raises(ConfigError, match="database is locked"):
        MLflow(tracking_uri=None).track(*finished())
    assert time.monotonic() - start < 60
    assert capfd.readouterr() == ("", "")
    holder.close()


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("runs/mlruns", "is neither http"),
        ("postgresql://host/db", "is neither http"),
        ("sqlite:///m.db?mode=ro", "is neither http"),
        ("http://anna:secret@host:5000", "MLFLOW_TRACKING_USERNAME"),
    ],
)
def test_an_address_that_cannot_serve_is_refused_before_a_run(uri, said) -> None:
    """A password in it is refused too, and not repeated: it would be kept with every run."""
    with pytest.raises(ConfigError, match=said) as caught:
        MLflow(tracking_uri=uri)
    assert str(caught.value).startswith("tracker.tracking_uri: ")
    assert "secret" not in str(caught.value)


@pytest.mark.slow
def test_a_real_server_gets_the_same(finished, server, tmp_path, capfd) -> None:
    """Over HTTP, twice: one run, exact numbers, dataset and artifacts, and the address of its page."""
    run, report = finished()
    MLflow(tracking_uri=server).track(run, report)
    line = MLflow(tracking_uri=server + "/").track(run, report)
    assert capfd.readouterr() == ("", "")
    (found,) = _all_runs(server, f"dataset.digest = '{'e' * 32}'")
    assert found.data.metrics["dice/mean"] == 1 / 3
    assert found.data.metrics["dice/mean/volume:from 50 ml"] == 0.625
    assert found.data.tags["tef.status"] == "partial"
    assert _artifacts(server, found.info.run_id, tmp_path)["results/report.json"] == run.report_file.read_text()
    page = re.search(r"http\S+$", line or "")
    assert page is not None
    assert page[0] == f"{server}/#/experiments/{found.info.experiment_id}/runs/{found.info.run_id}"

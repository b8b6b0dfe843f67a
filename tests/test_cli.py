"""The command line as a person meets it: exit codes, one-line errors, nothing heavy at the start."""

import dataclasses
import errno
import json
import os
import subprocess
import sys

import pytest
import yaml
from support import ROOT, ProcessRuntime, protocol, write_benchmark, write_submission

import tef.config
from tef.cli import main
from tef.compare import compare
from tef.errors import ConfigError
from tef.progress import print_comparison, print_result
from tef.report import Finding, load_report
from tef.run import load_run

HEAVY = (
    "hydra",
    "matplotlib",
    "mlflow",
    "monai",
    "nibabel",
    "numpy",
    "pandas",
    "pyarrow",
    "pydantic",
    "pydicom",
    "scipy",
    "torch",
)


@pytest.fixture
def site(cubes, tmp_path, monkeypatch):
    """A site with one benchmark, one submission and one cohort, whose runtime starts plain processes."""
    write_benchmark(tmp_path / "benchmarks" / "cubes", protocol(cubes))
    write_submission(tmp_path / "submissions" / "cube-finder")
    (tmp_path / "cohorts").mkdir()
    (tmp_path / "cohorts" / "cubes").symlink_to(cubes.folder)
    monkeypatch.chdir(tmp_path)
    built = tef.config._build

    def build(group, config):
        return ProcessRuntime(os.environ.get("TEST_MODE", "good")) if group == "runtime" else built(group, config)

    monkeypatch.setattr(tef.config, "_build", build)
    return ["site.benchmarks_dir=benchmarks", "site.submissions_dir=submissions", "tracker=none"]


def last_run(tmp_path):
    return sorted((tmp_path / "runs").iterdir())[-1]


def test_evaluate_prints_the_table_the_verdict_and_where_things_are(site, tmp_path, capsys):
    """An accepted model ends with exit code 0 and every number stands with its n and interval."""
    assert main(["evaluate", "cubes", "cube-finder", *site]) == 0

    out = capsys.readouterr().out
    assert "10/10 ok" in out
    assert "dice" in out
    assert "10/10" in out
    assert "ACCEPTED" in out
    run = last_run(tmp_path)
    assert f"report  runs/{run.name}/report.html" in out


def test_a_model_that_misses_a_bound_ends_with_exit_code_1(site, cubes, tmp_path, capsys):
    """Not accepted is a result, not an error."""
    bad = protocol(cubes, acceptance=[{"metric": "hd95", "at_most": -1}])
    write_benchmark(tmp_path / "benchmarks" / "cubes", bad)

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 1
    assert "NOT ACCEPTED" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["evaluate", "cubse", "cube-finder"],
            "ProtocolError: benchmark 'cubse': there is none in benchmarks; did you mean 'cubes'?",
        ),
        (
            ["evaluate", "cubes", "cube-findr"],
            "SubmissionError: submission 'cube-findr': there is none in submissions; did you mean",
        ),
        (
            ["evaluate", "cubes", "cube-finder", "executor.worker=2"],
            "ConfigError: override 'executor.worker': there is no such key",
        ),
        (["rescore", "nothing"], "RunError: run 'nothing': there is none in runs; known are none"),
        (["track", "nothing"], "RunError: run 'nothing': there is none in runs"),
        (
            ["evaluate", "cubes", "cube-finder", "site.benchmarks_dir=nowhere"],
            "ConfigError: site.benchmarks_dir: the folder nowhere does not exist; make it, or name another with",
        ),
        (
            ["evaluate", "cubes", "cube-finder", "site.submissions_dir=nowhere"],
            "ConfigError: site.submissions_dir: the folder nowhere does not exist; make it, or name another with",
        ),
        (["list", "site.benchmarks_dir=nowhere"], "ConfigError: site.benchmarks_dir: the folder nowhere does not exist"),
        (["list", "--config-dir=nowhere"], "ConfigError: --config-dir nowhere: there is no such folder"),
        (
            ["evaluate", "cubes", "cube-finder", "site.cohorts_dir=nowhere"],
            "CohortError: nowhere/cubes: manifest.tsv is missing",
        ),
    ],
)
def test_a_wrong_word_gets_one_line_and_exit_code_2(site, capsys, arguments, message):
    """Whoever must act is named first, then what is wrong, then what would be right."""
    words = [word for word in arguments if "=" not in word or word.startswith("--")]
    overrides = [word for word in arguments if word not in words]
    # The last of two values for a key holds.
    assert main([*words, *site, *overrides]) == 2

    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"primry": "dice"}, "protocol.yaml: primry: unknown key; did you mean 'primary'?"),
        ({"limits": {"memory_mb": 1}}, "protocol.yaml: limits.shm_mb: is missing; it has no default"),
        ({"version": 0}, "protocol.yaml: version: Input should be greater than 0 (got 0)"),
        ({"on_failure": "ignore"}, "protocol.yaml: on_failure: Input should be 'worst' or 'exclude' (got 'ignore')"),
        ({"primary": "dcie"}, "protocol.yaml: primary: unknown metric 'dcie'; did you mean 'dice'?"),
        ({"operating_point": 0.5}, "protocol.yaml: operating_point is required for classification and only there"),
        ({"name": "cube"}, "protocol.yaml: name: is 'cube'; it must be the folder's name 'cubes'"),
        ({"sha256": "0"}, "protocol.yaml: sha256: is computed, not given; remove the line"),
    ],
)
def test_a_typo_in_a_protocol_is_named_with_file_and_key(site, cubes, tmp_path, capsys, change, message):
    """The author of a benchmark is led to the line."""
    (tmp_path / "benchmarks" / "cubes" / "protocol.yaml").write_text(yaml.safe_dump(protocol(cubes) | change))

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "bad image; rm -rf"}, "submission.yaml: image: String should match pattern"),
        ({"imge": "x"}, "submission.yaml: imge: unknown key; did you mean 'image'?"),
        ({"contract": "medperf2"}, "submission.yaml: contract: Input should be 'tef' or 'folder' (got 'medperf2')"),
        (
            {"training_data": {"description": "", "pixel_sha256_file": "gone.txt"}},
            "submission cube-finder: training_data.pixel_sha256_file: gone.txt is not beside submission.yaml",
        ),
    ],
)
def test_a_typo_in_a_submission_is_named_with_file_and_key(site, tmp_path, capsys, change, message):
    """The submitter is led to the line."""
    path = tmp_path / "submissions" / "cube-finder" / "submission.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 2
    assert message in capsys.readouterr().err


def test_a_line_of_training_pixels_that_is_no_digest_is_named(site, tmp_path, capsys):
    """A wrong declaration is not taken for "no overlap"."""
    folder = tmp_path / "submissions" / "cube-finder"
    (folder / "pixels.txt").write_text("f" * 64 + "\nhello\n")
    write_submission(folder, training_data={"description": "", "pixel_sha256_file": "pixels.txt"})

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 2
    assert "pixels.txt:2: is not a digest; 'tef hash' prints them" in capsys.readouterr().err


def test_list_shows_benchmarks_submissions_and_runs(site, capsys, tmp_path):
    """One command tells an operator what there is, and what of it cannot be read."""
    main(["evaluate", "cubes", "cube-finder", *site])
    (tmp_path / "submissions" / "broken").mkdir()
    (tmp_path / "submissions" / "broken" / "submission.yaml").write_text("name: broken\n")
    capsys.readouterr()

    assert main(["list", *site]) == 0

    out = capsys.readouterr().out
    for word in ("cubes", "cube-finder", last_run(tmp_path).name, "accepted", "broken", "is missing; it has no default"):
        assert word in out


def test_list_goes_on_without_a_folder_of_submissions(site, capsys):
    """An installed program has no ./docker beside it: the rest is listed, and the folder is named."""
    assert main(["list", *site, "site.submissions_dir=nowhere"]) == 0

    out = capsys.readouterr().out
    assert "cubes" in out
    assert "site.submissions_dir: the folder nowhere does not exist" in out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "report.json: cannot be read"),
        ('{"schema_version": 99}', "report.json: is of schema 99, this program reads"),
        ('{"schema_version": 1}', "report.json: is damaged; 'tef rescore"),
        ("[]", "report.json: is damaged; 'tef rescore"),
    ],
)
def test_list_names_a_run_whose_report_cannot_be_read(site, capsys, tmp_path, content, message):
    """One damaged run does not hide the others."""
    main(["evaluate", "cubes", "cube-finder", *site])
    main(["evaluate", "cubes", "cube-finder", *site])
    first, second = sorted((tmp_path / "runs").iterdir())
    (first / "report.json").write_text(content)
    capsys.readouterr()

    assert main(["list", *site]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert any(first.name in line and message in line for line in lines)
    assert any(second.name in line and "accepted" in line for line in lines)


@pytest.mark.parametrize("content", ["{", '{"schema_version": 99}', "[]", "damaged names"])
def test_list_names_a_run_whose_record_cannot_be_read(site, caplog, capsys, tmp_path, content):
    """A folder that another version wrote, or that is damaged, does not hide the other runs."""
    main(["evaluate", "cubes", "cube-finder", *site])
    main(["evaluate", "cubes", "cube-finder", *site])
    first, second = sorted((tmp_path / "runs").iterdir())
    if content == "damaged names":
        content = json.dumps(json.loads((first / "run.json").read_text()) | {"benchmark": 5})
    (first / "run.json").write_text(content)
    capsys.readouterr()

    assert main(["list", *site]) == 0

    out = capsys.readouterr().out
    assert f"{first.name}/run.json: " in out + caplog.text
    assert any(second.name in line and "accepted" in line for line in out.splitlines())


HOSTILE = "1.0 [/b]\n:smile: [red]\x1b[2J\x9b2J\u202eevil"
SHOWN = "1.0 [/b] :smile: [red]?[2J?2J?evil"


def test_what_strangers_wrote_is_shown_as_it_is_and_steers_no_terminal(site, cubes, capsys, tmp_path):
    """Markup, emoji codes, escape sequences and turned writing are only text in every table."""
    write_benchmark(tmp_path / "benchmarks" / "cubes", protocol(cubes, title=HOSTILE))
    main(["evaluate", "cubes", "cube-finder", *site])
    run = load_run(last_run(tmp_path))
    report = load_report(run)
    hostile = dataclasses.replace(
        report,
        submission=dict(report.submission) | {"name": HOSTILE, "version": HOSTILE},
        findings=(Finding(severity="warning", topic="independence", text=HOSTILE),),
    )
    evil = dataclasses.replace(run, folder=tmp_path / HOSTILE.replace("/", "|"))
    comparison = compare(run, run, cubes)[0]
    capsys.readouterr()

    main(["list", *site])
    listed = capsys.readouterr().out
    print_result(run, hostile)
    result = capsys.readouterr().out
    print_comparison(evil, run, [dataclasses.replace(comparison, metric=HOSTILE)])
    compared = capsys.readouterr().out

    assert SHOWN in listed
    assert f"{SHOWN} {SHOWN} on {SHOWN}" in result
    assert f"warning: {SHOWN}" in result
    assert f"{SHOWN.replace('/', '|')} minus {run.run_id}" in compared
    for shown in (listed, result, compared):
        assert not set(shown) & set("\x1b\x9b\u202e")


def test_rescore_writes_the_same_report_anew(site, capsys, tmp_path):
    """The report follows from the kept predictions; the command says the verdict again."""
    main(["evaluate", "cubes", "cube-finder", *site])
    run = last_run(tmp_path)
    before = (run / "report.json").read_bytes()
    (run / "report.json").unlink()

    assert main(["rescore", run.name, *site]) == 0
    assert (run / "report.json").read_bytes() == before


def test_compare_says_which_run_is_better_with_an_interval(site, cubes, tmp_path, capsys, monkeypatch):
    """The difference is paired by case; equal runs show no difference."""
    main(["evaluate", "cubes", "cube-finder", *site])
    monkeypatch.setenv("TEST_MODE", "error-at-2")
    main(["evaluate", "cubes", "cube-finder", *site])
    good, bad = (path.name for path in sorted((tmp_path / "runs").iterdir()))
    capsys.readouterr()

    assert main(["compare", good, bad, *site]) == 0

    out = capsys.readouterr().out
    assert "+0.100" in out
    assert "10/10" in out


def test_runs_of_different_protocols_are_not_compared(site, cubes, tmp_path, capsys):
    """Numbers that do not mean the same are never subtracted."""
    main(["evaluate", "cubes", "cube-finder", *site])
    write_benchmark(tmp_path / "benchmarks" / "cubes", protocol(cubes, version=2))
    main(["evaluate", "cubes", "cube-finder", *site])
    first, second = (path.name for path in sorted((tmp_path / "runs").iterdir()))

    assert main(["compare", first, second, *site]) == 2
    assert "have another protocol each" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_loses_nothing(site, capsys, monkeypatch, tmp_path):
    """After "no space left" the same command goes on with the cases that were finished."""
    real = os.fsync
    calls = []

    def fills_up(handle):
        calls.append(handle)
        if len(calls) > 30:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", fills_up)
    assert main(["evaluate", "cubes", "cube-finder", *site]) == 2
    assert "no space left on the disk; free some and run the same command again" in capsys.readouterr().err
    monkeypatch.setattr(os, "fsync", real)

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 0
    out = capsys.readouterr().out
    assert "0 of them done before" not in out
    assert len(list((tmp_path / "runs").iterdir())) == 1


def test_a_tracker_that_is_down_costs_no_report(site, capsys, monkeypatch, tmp_path):
    """The evidence is complete before the tracker is told; the line says how to tell it later."""

    class Down:
        def track(self, run, report):
            raise ConfigError("tracker: MLflow at http://127.0.0.1:9 cannot be reached: refused; 'tef track' tells it later")

    built = tef.config._build
    monkeypatch.setattr(tef.config, "_build", lambda group, config: Down() if group == "tracker" else built(group, config))

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 2
    assert "tracker: MLflow at http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err
    assert (last_run(tmp_path) / "report.json").is_file()


def test_an_interrupt_ends_cleanly_and_says_how_to_go_on(cubes, tmp_path):
    """Ctrl-C in a terminal: exit code 130, one line, no traceback, and finished cases on record."""
    benchmark = write_benchmark(tmp_path / "benchmarks" / "cubes", protocol(cubes))
    submission = write_submission(tmp_path / "submissions" / "cube-finder")
    code = (
        f"import sys; sys.path[:0] = [{str(ROOT / 'tests')!r}]\n"
        "import tef.config, support, tef.cli\n"
        "built = tef.config._build\n"
        "tef.config._build = lambda g, c: support.ProcessRuntime('slow') if g == 'runtime' else built(g, c)\n"
        f"sys.exit(tef.cli.main(['evaluate', {str(benchmark.folder)!r}, {str(submission.folder)!r}, 'tracker=none',\n"
        f"  'site.cohorts.cubes={cubes.folder}', 'site.runs_dir={tmp_path / 'runs'}']))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("3/10"):
            process.send_signal(2)
            break
    _, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert err == "interrupted: finished cases are kept; the same command goes on from there\n"


def test_a_fault_of_tef_itself_is_not_taken_for_a_verdict(site, monkeypatch, capsys):
    """Python's own exit code for a traceback would say "not accepted"."""
    monkeypatch.setattr("tef.evaluate.finish", lambda *_: 1 / 0)

    assert main(["evaluate", "cubes", "cube-finder", *site]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_a_runs_folder_that_cannot_be_made_is_one_line(site, capsys):
    """A wrong path is the operator's to fix."""
    assert main(["evaluate", "cubes", "cube-finder", *site, "site.runs_dir=/proc/no/runs"]) == 2

    err = capsys.readouterr().err
    assert err.startswith("ConfigError: /proc/no")
    assert err.count("\n") == 1


def test_a_reader_who_goes_away_is_not_taken_for_a_verdict(site, tmp_path):
    """``tef list | head`` may end early; its exit code never says "not accepted"."""
    command = f"{sys.executable} -m tef.cli list site.benchmarks_dir=benchmarks | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert done.stderr == "ConfigError: standard output was closed before all was said; the same command says it again\n"


def test_hash_prints_what_the_cohort_holds(cubes, capsys):
    """A company can compute the digests that the harness looks for."""
    case = cubes.cases[0]

    assert main(["hash", str(case.inputs["scan"])]) == 0
    assert len(capsys.readouterr().out.strip()) == 64


def test_help_answers_at_once_and_imports_nothing_heavy():
    """The command line starts without any of the scientific stack: under half a second of processor time."""
    code = f"import sys, tef.cli\nloaded = [n for n in {HEAVY!r} if n in sys.modules]\nprint(loaded)\ntef.cli.main(['--help'])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("[]\n")
    assert "evaluate" in done.stdout


def test_every_command_explains_itself(capsys):
    """Help exists for each command."""
    for command in ("evaluate", "list", "rescore", "track", "compare", "cohort", "hash"):
        with pytest.raises(SystemExit) as caught:
            main([command, "--help"])
        assert caught.value.code == 0
        assert "usage: tef" in capsys.readouterr().out

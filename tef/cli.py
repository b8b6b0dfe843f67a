"""The command line.

Exit codes: 0 accepted or done, 1 not accepted, 2 somebody must fix something, 70 tef itself is at fault, 130 interrupted.
"""

import argparse
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tef
from tef.errors import ProtocolError, RunError, SubmissionError, TefError, nearest, plain

if TYPE_CHECKING:
    from tef.config import Configuration
    from tef.run import Run

ACCEPTED, NOT_ACCEPTED, MUST_FIX, BROKEN, INTERRUPTED = 0, 1, 2, 70, 130
_ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# What is wrong with a disk or a path of this site.
_SITE_ERRORS = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.EIO,
    errno.ENAMETOOLONG,
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; what somebody must fix is one line on standard error."""
    arguments = _parser().parse_args(argv)
    # A run that a batch system ends is to end as cleanly as one that a person ends.
    for number in _ENDS:
        # What nohup has set to be ignored stays so.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except TefError as error:
        code = f" [{error.code}]" if isinstance(error, SubmissionError) and error.code else ""
        print(f"{type(error).__name__}{code}: {plain(str(error))}", file=sys.stderr)
        return MUST_FIX
    except BrokenPipeError:
        # Whoever read the output has gone: nothing more can be said there, not even by Python as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print("ConfigError: standard output was closed before all was said; the same command says it again", file=sys.stderr)
        return MUST_FIX
    except OSError as error:
        if error.errno not in _SITE_ERRORS:
            return _broken()
        # Of a copy, the second name is where it was to go.
        full = error.filename2 or error.filename
        where = f"{full}: " if full else ""
        what = str(error.strerror)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "no space left on the disk; free some and run the same command again: finished cases are kept"
        print(f"ConfigError: {where}{what}", file=sys.stderr)
        return MUST_FIX
    except Exception:  # noqa: BLE001 - Python's own exit code would be 1, which says "not accepted"
        return _broken()
    except KeyboardInterrupt:
        print("interrupted: finished cases are kept; the same command goes on from there", file=sys.stderr)
        return INTERRUPTED


def _broken() -> int:
    traceback.print_exc()
    print("tef itself is at fault; please report the lines above. Finished cases are kept.", file=sys.stderr)
    return BROKEN


def _interrupt(number: int, frame: object) -> None:
    """End the run, once: an impatient second Ctrl-C must not cut short the removal of containers, which takes seconds."""
    for every in _ENDS:
        signal.signal(every, signal.SIG_IGN)
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tef",
        description="Evaluate a sealed model of cancer imaging over a held-out cohort.",
        epilog="Exit codes: 0 accepted or done, 1 not accepted, 2 somebody must act, 70 tef is at fault, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"tef {tef.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(command=function)
        return command

    def add_site(command: argparse.ArgumentParser) -> None:
        command.add_argument("--config-dir", type=Path, metavar="DIR", help="a folder with this site's own configuration files")
        command.add_argument("overrides", nargs="*", metavar="key=value", help="override the site's configuration")

    command = add(
        "evaluate", _evaluate, "Run a submission over a benchmark's cohort and report; an unfinished run is continued."
    )
    command.add_argument("benchmark", metavar="BENCHMARK", help="a benchmark's name, or its folder")
    command.add_argument("submission", metavar="SUBMISSION", help="a submission's name, folder or submission.yaml")
    add_site(command)
    command = add("list", _list, "List benchmarks, submissions and runs of this site.")
    add_site(command)
    for name, function, text in (
        ("rescore", _rescore, "Compute scores and report of a run anew from its kept predictions; no container is started."),
        ("track", _track, "Tell the tracker of a finished run, again or for the first time."),
    ):
        command = add(name, function, text)
        command.add_argument("run", metavar="RUN", help="a run's id, or its folder")
        add_site(command)
    command = add("compare", _compare, "Compare two runs of one benchmark, paired by case: first minus second.")
    command.add_argument("first", metavar="RUN", help="a run's id, or its folder")
    command.add_argument("second", metavar="RUN")
    add_site(command)
    command = add("cohort", _cohort, "Make one of the cohorts that come with tef.")
    command.add_argument("name", metavar="NAME")
    command.add_argument(
        "--source", type=Path, required=True, help="what it is made from; the benchmark's card says what that is"
    )
    command.add_argument("--out", type=Path, required=True, help="the folder to make")
    command = add("hash", _hash, "Print the digest of the pixels of images, to declare them as training data.")
    command.add_argument(
        "paths", nargs="+", type=Path, metavar="IMAGE", help="NIfTI or PNG files, or folders of a DICOM series"
    )
    return parser


def _evaluate(arguments: argparse.Namespace) -> int:
    from tef.benchmark import load_benchmark
    from tef.cohort import load_cohort
    from tef.config import configure
    from tef.evaluate import evaluate
    from tef.progress import print_result, progress
    from tef.submission import load_submission

    config = configure(arguments.overrides, arguments.config_dir)
    benchmark = load_benchmark(_find_benchmark(arguments.benchmark, config))
    submission = load_submission(_find_submission(arguments.submission, config))
    cohort = load_cohort(config.site.cohort(benchmark.cohort.name))
    session = {"site": config.site.name, "overrides": list(config.overrides), "engine": dict(config.runtime.facts())}
    with progress(benchmark, submission) as shown:
        run, report = evaluate(
            benchmark,
            submission,
            cohort,
            runs_dir=config.site.runs_dir,
            runtime=config.runtime,
            executor=config.executor,
            session=session,
            progress=shown,
            resolved=config.resolved,
        )
    print_result(run, report)
    # Last, with the evidence complete on disk: a tracker that is down loses nothing.
    tracked = _tell(config, run)
    return tracked or (ACCEPTED if report.accepted else NOT_ACCEPTED)


def _tell(config: "Configuration", run: "Run") -> int:
    from tef.report import load_report

    with run.locked():
        where = config.tracker.track(run, load_report(run))
    if where:
        print(where)
    return 0


def _track(arguments: argparse.Namespace) -> int:
    from tef.config import configure

    config = configure(arguments.overrides, arguments.config_dir)
    return _tell(config, _find_run(arguments.run, config))


def _rescore(arguments: argparse.Namespace) -> int:
    from tef.benchmark import load_benchmark
    from tef.cohort import load_cohort
    from tef.config import configure
    from tef.evaluate import finish
    from tef.ledger import Ledger
    from tef.progress import print_result
    from tef.submission import load_submission

    config = configure(arguments.overrides, arguments.config_dir)
    run = _find_run(arguments.run, config)
    benchmark, submission = load_benchmark(run.benchmark_folder), load_submission(run.submission_folder)
    cohort = load_cohort(config.site.cohort(benchmark.cohort.name))
    with run.locked():
        report = finish(run, benchmark, submission, cohort, Ledger(run.ledger_file))
    print_result(run, report)
    return ACCEPTED if report.accepted else NOT_ACCEPTED


def _compare(arguments: argparse.Namespace) -> int:
    from tef.cohort import load_cohort
    from tef.compare import compare
    from tef.config import configure
    from tef.progress import print_comparison

    config = configure(arguments.overrides, arguments.config_dir)
    first, second = _find_run(arguments.first, config), _find_run(arguments.second, config)
    cohort = load_cohort(config.site.cohort(first.record["cohort"]["name"]))
    print_comparison(first, second, compare(first, second, cohort))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    from tef.config import configure
    from tef.progress import print_lists

    print_lists(configure(arguments.overrides, arguments.config_dir).site)
    return 0


def _cohort(arguments: argparse.Namespace) -> int:
    from tef.cohorts import make

    cohort = make(arguments.name, arguments.out, arguments.source)
    print(f"{arguments.out}: {len(cohort)} cases, digest {cohort.sha256}")
    return 0


def _hash(arguments: argparse.Namespace) -> int:
    from tef.cohort import pixel_sha256
    from tef.readers import read_pixels

    for path in arguments.paths:
        print(pixel_sha256(read_pixels(path)))
    return 0


def _find_benchmark(name: str, config: Any) -> Path:
    path = Path(name)
    if (path / "protocol.yaml").is_file():
        return path
    known = sorted(p.parent.name for p in config.site.benchmarks.glob("*/protocol.yaml"))
    if name not in known:
        raise ProtocolError(f"benchmark '{name}': there is none in {config.site.benchmarks}; {nearest(name, known)}")
    return Path(config.site.benchmarks / name)


def _find_submission(name: str, config: Any) -> Path:
    path = Path(name)
    if path.is_file() or (path / "submission.yaml").is_file():
        return path
    known = sorted(p.parent.name for p in config.site.submissions.glob("*/submission.yaml"))
    if name not in known:
        raise SubmissionError(f"submission '{name}': there is none in {config.site.submissions}; {nearest(name, known)}")
    return Path(config.site.submissions / name)


def _find_run(name: str, config: Any) -> "Run":
    from tef.run import load_run, runs

    if Path(name).is_dir():
        return load_run(Path(name))
    known = [run.run_id for run in runs(config.site.runs_dir)]
    if name not in known:
        raise RunError(f"run '{name}': there is none in {config.site.runs_dir}; {nearest(name, known)}")
    return load_run(config.site.runs_dir / name)


if __name__ == "__main__":
    sys.exit(main())

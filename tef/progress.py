"""What a person sees in the terminal: progress, result tables, lists."""

import errno
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from tef.benchmark import Benchmark, load_benchmark
from tef.compare import Comparison
from tef.config import Site
from tef.errors import ConfigError, TefError, plain
from tef.prediction import Failure, Outcome
from tef.report import Report, load_report
from tef.run import Run, runs
from tef.score import Estimate
from tef.submission import Submission, load_submission

_PIPE_WIDTH = 300
_MARKS = {"error": "bold red", "warning": "yellow", "note": "dim"}


class _Counter:
    """What both ways of showing progress count."""

    def __init__(self) -> None:
        self.total = self.done = self.failed = self.fresh = 0
        self._start = time.monotonic()

    def began(self, run: Run, total: int, done: int) -> None:
        self.total, self.done = total, done
        self._start = time.monotonic()

    def case(self, outcome: Outcome) -> None:
        self.done += 1
        self.fresh += 1
        self.failed += isinstance(outcome, Failure)

    @property
    def per_case_s(self) -> float:
        return (time.monotonic() - self._start) / max(1, self.fresh)


class _Lines(_Counter):
    """One line a case, for logs of batch systems."""

    def began(self, run: Run, total: int, done: int) -> None:
        super().began(run, total, done)
        print(f"run {run.run_id}: {total} cases, {done} of them done before", flush=True)

    def case(self, outcome: Outcome) -> None:
        super().case(outcome)
        word = str(outcome.code) if isinstance(outcome, Failure) else "ok"
        left_s = self.per_case_s * (self.total - self.done)
        print(f"{self.done}/{self.total} {word} {outcome.total_s:.2f} s, {self.failed} failed, {left_s:.0f} s left", flush=True)


class _Bar(_Counter):
    """A bar that is redrawn, for terminals."""

    def __init__(self, bar: Progress, title: str) -> None:
        super().__init__()
        self._bar = bar
        self._task = bar.add_task(title, total=None, failed=0, each="starting")

    def began(self, run: Run, total: int, done: int) -> None:
        super().began(run, total, done)
        self._bar.update(self._task, total=total, completed=done)

    def case(self, outcome: Outcome) -> None:
        super().case(outcome)
        each = f"{self.per_case_s:.2f} s a case" if self.done < self.total else "writing the report"
        self._bar.update(self._task, completed=self.done, failed=self.failed, each=each)


@contextmanager
def progress(benchmark: Benchmark, submission: Submission) -> Iterator[_Counter]:
    """Show how a run goes: a bar on a terminal, else one line a case."""
    if not sys.stdout.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}", style="bold", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        TextColumn("{task.fields[each]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console()) as bar:
        yield _Bar(bar, plain(f"{submission.name} on {benchmark.name}"))


class _Console(Console):
    """A console that tells its caller when nobody reads it any more; Rich would end the program as if "not accepted"."""

    def on_broken_pipe(self) -> None:
        """Raise what a plain print would."""
        raise BrokenPipeError(errno.EPIPE, "standard output is closed")


def _console() -> Console:
    # In a file or a pipe nothing is cut to the width of a terminal that is not there.
    return _Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH, soft_wrap=not sys.stdout.isatty())


def print_result(run: Run, report: Report) -> None:
    """The whole cohort's estimates, the findings, the verdict, and where everything lies."""
    console = _console()
    level = f"{100 * report.estimates[0].level:g} % interval"
    title = f"{report.submission['name']} {report.submission['version']} on {report.benchmark['title']}"
    table = Table(title=_text(title), title_justify="left", title_style="bold")
    for name, side in (("metric", "left"), ("estimate", "right"), (level, "left"), ("n", "right"), ("unit", "left")):
        table.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    for estimate in report.estimates:
        if estimate.subgroup is None:
            table.add_row(*map(_text, _row(estimate)))
    console.print(table)
    for finding in report.findings:
        console.print(_text(f"{finding.severity}: {finding.text}", _MARKS[finding.severity]))
    for decision in report.decisions:
        console.print(_text(f"criterion {decision.text}"))
    console.print("ACCEPTED" if report.accepted else "NOT ACCEPTED", style="bold green" if report.accepted else "bold red")
    console.print(_text(f"report  {run.html_file}"))
    console.print(_text(f"run     {run.folder}"))


def _text(words: object, style: str = "") -> Text:
    """Words from files of others: shown as they are, never read as Rich's markup or by the terminal."""
    return Text(plain(str(words)), style)


def _row(estimate: Estimate) -> tuple[str, ...]:
    value = "undefined" if estimate.value is None else f"{estimate.value:.3f}"
    ends = "-" if estimate.low is None or estimate.high is None else f"{estimate.low:.3f} to {estimate.high:.3f}"
    unit = "" if estimate.unit == "1" else estimate.unit
    return estimate.metric, value, ends, f"{estimate.n_used}/{estimate.n_total}", unit


def print_comparison(first: Run, second: Run, comparisons: Sequence[Comparison]) -> None:
    """The differences, first minus second."""
    console = _console()
    table = Table(title=_text(f"{first.run_id} minus {second.run_id}"), title_justify="left", title_style="bold")
    for name in ("metric", "difference", "interval", "n", "unit", "better"):
        table.add_column(name, overflow="fold")
    for item in comparisons:
        d = item.difference
        value = "undefined" if d.value is None else f"{d.value:+.3f}"
        ends = d.reason or "-" if d.low is None or d.high is None else f"{d.low:+.3f} to {d.high:+.3f}"
        unit = "" if item.unit == "1" else item.unit
        table.add_row(*map(_text, (item.metric, value, ends, f"{d.n_used}/{d.n_total}", unit, item.verdict)))
    console.print(table)


def print_lists(site: Site) -> None:
    """Benchmarks, submissions and runs; what cannot be read is named, not left out."""
    console = _console()
    for table in (_benchmarks(site), _submissions(site), _runs(site)):
        console.print(table)


def _benchmarks(site: Site) -> Table:
    table = Table("benchmark", "version", "task", "cohort", "title", title="Benchmarks", title_justify="left")
    for path in sorted(site.benchmarks.glob("*/protocol.yaml")):
        try:
            benchmark = load_benchmark(path.parent)
        except TefError as error:
            table.add_row(_text(path.parent.name), "", "", "", _text(error, "red"))
            continue
        there = site.cohort(benchmark.cohort.name)
        cohort = benchmark.cohort.name if there.is_dir() else f"{benchmark.cohort.name} (not at {there})"
        table.add_row(*map(_text, (benchmark.name, benchmark.version, benchmark.task, cohort, benchmark.title)))
    return table


def _submissions(site: Site) -> Table:
    table = Table("submission", "version", "contract", "image", title="Submissions", title_justify="left")
    try:
        folder = site.submissions
    except ConfigError as error:
        table.add_row("", "", "", _text(error, "red"))
        return table
    for path in sorted(folder.glob("*/submission.yaml")):
        try:
            submission = load_submission(path.parent)
        except TefError as error:
            table.add_row(_text(path.parent.name), "", "", _text(error, "red"))
            continue
        table.add_row(*map(_text, (submission.name, submission.version, submission.contract, submission.image)))
    return table


def _runs(site: Site) -> Table:
    table = Table("run", "benchmark", "submission", "state", title="Runs", title_justify="left")
    for run in runs(site.runs_dir):
        try:
            names = run.record["benchmark"]["name"], run.record["submission"]["name"]
        except (KeyError, TypeError):
            table.add_row(_text(run.run_id), "", "", _text(f"{run.record_file}: is damaged; restore it", "red"))
            continue
        table.add_row(_text(run.run_id), *map(_text, names), _state(run))
    return table


def _state(run: Run) -> Text:
    if not run.report_file.exists():
        return Text("unfinished")
    try:
        return Text("accepted" if load_report(run).accepted else "not accepted")
    except TefError as error:
        return _text(error, "red")
    except (KeyError, TypeError, AttributeError):
        return _text(f"{run.report_file}: is damaged; 'tef rescore {run.run_id}' writes it anew", "red")

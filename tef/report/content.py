"""What ``report.json`` holds."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from tef.errors import RunError
from tef.files import write_json
from tef.run import Run
from tef.score import Estimate
from tef.statistics import Decision

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a reader must know before trusting a number.

    Attributes:
        severity: ``error`` puts the result in doubt, ``warning`` limits it, ``note`` explains it.
        topic: Such as ``independence``, ``failures``, ``cohort``.
        text: One or two sentences.
        cases: Opaque names of the cases concerned, if it is about cases.
    """

    severity: Literal["error", "warning", "note"]
    topic: str
    text: str
    cases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case, under its opaque name in this run.

    Attributes:
        outcome: ``ok`` or the failure code.
        scores: Metric to value (None where undefined). For classification: ``probability`` and ``reference``.
        undefined: Metric to the reason why there is no value.
        groups: The subgroups it belongs to, as ``name=value``.
        model_s: Seconds that the model took, or None for a failed case.
        total_s: Seconds with the harness's work before and after.
    """

    case: str
    outcome: str
    scores: Mapping[str, float | None]
    undefined: Mapping[str, str]
    groups: tuple[str, ...]
    model_s: float | None
    total_s: float


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a plot, computed once so that every view shows the same.

    Attributes:
        name: ``roc`` or ``reliability``.
        x, y: Coordinates. ROC: 1 - specificity and sensitivity. Reliability: mean probability and observed frequency of a bin.
        low, high: Ends of the bootstrap band at each point, or empty.
        n: Cases behind each point, or empty.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    n: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """The truth about a run.

    Attributes:
        run: Id, attempt, start and end, image, engine, provenance, sessions; nothing secret.
        benchmark: The protocol, every key, with its ``sha256``.
        submission: The declaration, every key, with its ``sha256``.
        cohort: The card, with ``sha256``, ``n_cases`` and ``n_patients``.
        flow: ``n_total``, ``n_predicted``, ``n_failed``, ``failures`` (code to number), ``failure_rate`` with ``low`` and
            ``high`` (Wilson), ``model_s_median``, ``harness_s_median``.
        accepted: Every criterion of the protocol is met.
        decisions: One for each acceptance criterion, in the protocol's order.
        definitions: Metric to its definition in words.
        better: Metric to the direction that is better, ``higher`` or ``lower``.
        estimates: Whole cohort first, then subgroups, in the protocol's order.
    """

    schema_version: int
    run: Mapping[str, Any]
    benchmark: Mapping[str, Any]
    submission: Mapping[str, Any]
    cohort: Mapping[str, Any]
    flow: Mapping[str, Any]
    accepted: bool
    decisions: tuple[Decision, ...]
    findings: tuple[Finding, ...]
    definitions: Mapping[str, str]
    better: Mapping[str, str]
    estimates: tuple[Estimate, ...]
    curves: tuple[Curve, ...]
    cases: tuple[CaseResult, ...]

    def estimate(self, metric: str, subgroup: str | None = None) -> Estimate:
        """The estimate of a metric on the whole cohort or in a subgroup; KeyError where there is none."""
        for estimate in self.estimates:
            if estimate.metric == metric and estimate.subgroup == subgroup:
                return estimate
        raise KeyError((metric, subgroup))


def write_report(run: Run, report: Report) -> None:
    """Write ``report.json``, in one step."""
    write_json(run.report_file, dataclasses.asdict(report))


def load_report(run: Run) -> Report:
    """Read the report of a finished run.

    Raises:
        RunError: The run is not finished, or its report is of another schema or damaged.
    """
    if not run.report_file.is_file():
        raise RunError(f"{run.folder}: has no report yet; run the same 'tef evaluate' again to finish it")
    try:
        content = json.loads(run.report_file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{run.report_file}: cannot be read ({error}); 'tef rescore' writes it anew") from error
    if content.get("schema_version") != SCHEMA_VERSION:
        raise RunError(f"{run.report_file}: is of schema {content.get('schema_version')}, this program reads {SCHEMA_VERSION}")
    lists = {"decisions": Decision, "findings": Finding, "estimates": Estimate, "curves": Curve, "cases": CaseResult}
    for name, kind in lists.items():
        content[name] = tuple(kind(**{k: _tupled(v) for k, v in item.items()}) for item in content[name])
    return Report(**content)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value

"""What MLflow is told of a run: names and values, without MLflow.

Metrics  ``dice/mean`` where each case has a score, ``auroc/value`` where only the cohort has one; beside it ``ci95_low``,
         ``ci95_high``, ``n_used`` and ``n_total``; in a subgroup ``dice/mean/sex:F``. What is undefined is not there.
Tags     ``tef.*``: identity, verdict and digests.
Params   The choices that make two runs comparable.
"""

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tef.cohort import file_sha256
from tef.report import Report
from tef.run import Run

_MAX_VALUE, _MAX_GROUP = 5000, 150


@dataclass(frozen=True, slots=True)
class Facts:
    """One run, as MLflow holds it.

    Attributes:
        experiment: ``<benchmark> v<version>``.
        name: ``<submission> <version> #<attempt>``.
        metrics: Finite, under names that MLflow takes.
        started_ms, finished_ms: Of the evaluation, in milliseconds since 1970.
    """

    experiment: str
    name: str
    metrics: Mapping[str, float]
    params: Mapping[str, str]
    tags: Mapping[str, str]
    started_ms: int
    finished_ms: int


def facts_of(run: Run, report: Report) -> Facts:
    """Everything but files and dataset; `run` gives its id and the digests of its files, `report` all else."""
    return Facts(
        experiment=f"{report.benchmark['name']} v{report.benchmark['version']}",
        name=f"{report.submission['name']} {report.submission['version']} #{report.run['attempt']}",
        metrics=_metrics(report),
        params=_params(report),
        tags=_tags(run, report),
        started_ms=_ms(report.run["started_at"]),
        finished_ms=_ms(report.run["finished_at"]),
    )


def per_case(report: Report) -> dict[str, Any]:
    """``columns`` and ``data``, a row a case under its opaque name: the form that pandas reads with ``orient="split"``."""
    metrics = list(dict.fromkeys(metric for case in report.cases for metric in case.scores))
    rows = [
        [c.case, c.outcome, *(c.scores.get(metric) for metric in metrics), list(c.groups), c.model_s, c.total_s]
        for c in report.cases
    ]
    return {"columns": ["case", "outcome", *metrics, "groups", "model_s", "total_s"], "data": rows}


def short(value: Any) -> str:
    """The value as text; MLflow would cut a long one in silence."""
    text = str(value)
    return text if len(text) <= _MAX_VALUE else f"{len(text)} characters, see results/report.json"


def _metrics(report: Report) -> dict[str, float]:
    """Every estimate and every count that is a number."""
    flow = report.flow
    values = {f"cases/{key}": flow[key] for key in ("n_total", "n_predicted", "n_failed", "model_s_median", "harness_s_median")}
    values["cases/failure_rate"] = flow["failure_rate"]["value"]
    groups = _group_names([e.subgroup for e in report.estimates if e.subgroup is not None])
    by_case = {metric for case in report.cases for metric in case.scores}
    for e in report.estimates:
        tail = f"/{groups[e.subgroup]}" if e.subgroup is not None else ""
        interval = f"{e.metric}/ci{100 * e.level:g}"
        values[f"{e.metric}/{'mean' if e.metric in by_case else 'value'}{tail}"] = e.value
        values |= {f"{interval}_low{tail}": e.low, f"{interval}_high{tail}": e.high}
        values |= {f"{e.metric}/n_used{tail}": e.n_used, f"{e.metric}/n_total{tail}": e.n_total}
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}


def _group_names(groups: Sequence[str]) -> dict[str, str]:
    """Each ``name=value`` in the letters that MLflow takes; those that would become one name get a piece of their digest."""
    safe = {}
    for group in groups:
        readable = group.replace("=", ":", 1).replace(">=", "from ").replace("<", "below ")
        safe[group] = re.sub(r"[^\w.\- :]", "_", readable)
    times = Counter(name.casefold() for name in safe.values())
    return {
        group: name
        if times[name.casefold()] == 1 and len(name) <= _MAX_GROUP
        else f"{name[:_MAX_GROUP]} {hashlib.sha256(group.encode()).hexdigest()[:8]}"
        for group, name in safe.items()
    }


def _params(report: Report) -> dict[str, str]:
    benchmark, submission = report.benchmark, report.submission
    values = {key: benchmark[key] for key in ("task", "primary", "operating_point", "on_failure", "min_subgroup_patients")}
    values |= {f"{part}.{key}": value for part in ("interval", "limits") for key, value in benchmark[part].items()}
    values |= {"submission." + key: submission[key] for key in ("name", "version", "contract")}
    values |= {f"resources.{key}": value for key, value in submission["resources"].items()}
    return {key: short(value) for key, value in values.items() if value is not None}


def _tags(run: Run, report: Report) -> dict[str, str]:
    code = report.run["provenance"]["code"]
    card = report.cohort["card"]
    failed, predicted = report.flow["n_failed"], report.flow["n_predicted"]
    tags = {
        "tef.run_id": run.record["run_id"],
        "tef.schema": report.schema_version,
        "tef.status": "ok" if not failed else "partial" if predicted else "failed",
        "tef.accepted": str(report.accepted).lower(),
        "tef.submission.id": report.submission["name"],
        "tef.submission.version": report.submission["version"],
        "tef.submission.sha256": report.submission["sha256"],
        "tef.submission.image_digest": report.run["image"]["digest"],
        "tef.benchmark.id": report.benchmark["name"],
        "tef.benchmark.version": report.benchmark["version"],
        "tef.benchmark.sha256": report.benchmark["sha256"],
        "tef.cohort.id": card["name"],
        "tef.cohort.version": card["version"],
        "tef.cohort.sha256": report.cohort["sha256"],
        "tef.code.version": report.run["provenance"]["tef"],
        "tef.attempt": report.run["attempt"],
        "tef.seed": report.benchmark["interval"]["seed"],
        "tef.config.sha256": file_sha256(run.config_file),
        "tef.report.sha256": file_sha256(run.report_file),
    }
    if code is not None:
        tags |= {"tef.code.commit": code["commit"], "tef.code.dirty": str(code["dirty"]).lower()}
    return {key: short(value) for key, value in tags.items()}


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)

"""``report.html``: the view of a report for people, one file that loads nothing and runs nothing."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tef.files import write_text
from tef.report import plots
from tef.report.content import CaseResult, Report
from tef.report.wording import (
    RATIO,
    counted,
    error,
    estimated,
    group_name,
    level,
    measured,
    metric_names,
    number,
    suppressed,
    with_unit,
)
from tef.run import Run
from tef.score import Estimate

_SEVERITIES = ("error", "warning", "note")
_UNITS = {"mb": "MB", "bytes": "bytes", "s": "s"}
_N_WORST = 5
_MAX_NAMED = 30


def render_html(report: Report) -> str:
    """The report as one HTML page: no script, nothing loaded from anywhere, every text of others escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("tef.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "counted": counted,
        "estimated": estimated,
        "group_name": group_name,
        "level": level,
        "measured": measured,
        "number": number,
        "plain": plain,
        "facts": facts,
        "rows": rows,
    }
    template = environment.get_template("report.html.j2")
    return template.render(report=report, **_views(report))


def write_html(run: Run, report: Report) -> None:
    """Write ``report.html``, in one step."""
    write_text(run.html_file, render_html(report))


def plain(value: Any) -> str:
    """A value of a record in one line: lists joined, and never blank."""
    if value is None or value == "":
        return "not provided"
    if value in ([], (), {}):
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(plain(inner) for inner in value)
    return str(value)


def rows(record: Mapping[str, Any], *without: str) -> list[tuple[str, str]]:
    """A record as rows of name and text, without the keys named."""
    return [(key, plain(value)) for key, value in record.items() if key not in without]


def facts(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The harness's own record as rows, ``memory_mb`` named ``memory (MB)``."""
    named = []
    for key, value in record.items():
        stem, _, unit = key.rpartition("_")
        name = f"{stem} ({_UNITS[unit]})" if stem and unit in _UNITS else key
        named.append((name.replace("_", " "), plain(value)))
    return named


def _views(report: Report) -> dict[str, Any]:
    """What the template shows besides the report itself; the report is all that it is made from."""
    primary = report.benchmark["primary"]
    whole = [e for e in report.estimates if e.subgroup is None]
    segmentation = report.benchmark["task"] == "segmentation"
    return {
        "names": metric_names(report),
        "primary": report.estimate(primary),
        "whole": sorted(whole, key=lambda e: e.metric != primary),
        "methods": list(dict.fromkeys(e.method for e in report.estimates if e.subgroup is None or e.value is not None)),
        "n_methods_whole": len({e.method for e in whole}),
        "subgroups": [e for e in report.estimates if e.subgroup is not None and e.metric == primary],
        "secondary": [e.metric for e in whole if e.metric != primary],
        "criteria": _criteria(report),
        "findings": sorted(report.findings, key=lambda finding: _SEVERITIES.index(finding.severity)),
        "doubts": [finding for finding in report.findings if finding.severity == "error"],
        "worst": _worst_segmentations(report) if segmentation else _worst_probabilities(report),
        "failed": _failed(report),
        "hidden": suppressed(report),
        "unit_words": {RATIO: "ratio"},
        "named": named,
        "plots": {name: draw(report) for name, draw in _plots(segmentation).items()},
    }


def _plots(segmentation: bool) -> Mapping[str, Callable[[Report], str | None]]:
    """Name in the template to what draws it."""
    forest: dict[str, Callable[[Report], str | None]] = {"forest": plots.forest_plot}
    if segmentation:
        return forest | {"cases": plots.cases_plot, "strip": plots.strip_plot}
    return forest | {"roc": plots.roc_plot, "reliability": plots.reliability_plot, "distribution": plots.distribution_plot}


def named(cases: Iterable[str]) -> str:
    """Opaque names of cases, at most `_MAX_NAMED` of them; ``report.json`` holds all."""
    names = list(cases)
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return ", ".join(names[:_MAX_NAMED]) + more


def _criteria(report: Report) -> list[dict[str, Any]]:
    """One row for each acceptance criterion, in the protocol's order."""
    by_key: Mapping[tuple[str, str | None], Estimate] = {(e.metric, e.subgroup): e for e in report.estimates}
    names = metric_names(report)
    table = []
    for criterion, decision in zip(report.benchmark["acceptance"], report.decisions, strict=True):
        estimate = by_key.get((criterion["metric"], criterion["subgroup"]))
        at_least = criterion["at_least"] is not None
        bound = criterion["at_least"] if at_least else criterion["at_most"]
        unit = estimate.unit if estimate else RATIO
        table.append(
            {
                "claim": " ".join(
                    (names[criterion["metric"]], "at least" if at_least else "at most", with_unit(f"{bound:g}", unit))
                ),
                "subgroup": criterion["subgroup"],
                "found": measured(estimate, bound) if estimate else "undefined: the cohort has no such subgroup",
                "estimate": estimate,
                "met": decision.met,
                "sentence": decision.text,
            }
        )
    return table


def _worst_segmentations(report: Report) -> dict[str, Any]:
    """The predicted cases that are worst by the primary metric."""
    metric = report.benchmark["primary"]
    cases = [case for case in report.cases if case.outcome == "ok" and case.scores.get(metric) is not None]
    cases.sort(key=lambda case: (case.scores[metric], case.case))
    if report.better[metric] == "higher":
        return {"title": "lowest", "cases": cases[:_N_WORST]}
    return {"title": "highest", "cases": cases[: -_N_WORST - 1 : -1]}


def _worst_probabilities(report: Report) -> dict[str, Any]:
    """The predicted cases whose probability is farthest from the reference standard."""
    far: list[tuple[float, str, CaseResult]] = []
    for case in report.cases:
        distance = error(case)
        if case.outcome == "ok" and distance is not None:
            far.append((-distance, case.case, case))
    return {"title": "farthest from the reference standard", "cases": [case for _, _, case in sorted(far)[:_N_WORST]]}


def _failed(report: Report) -> list[tuple[str, int, str]]:
    """Failure code, number of cases and their opaque names."""
    by_code: dict[str, list[str]] = {}
    for case in report.cases:
        if case.outcome != "ok":
            by_code.setdefault(case.outcome, []).append(case.case)
    return [(code, n, named(by_code.get(code, []))) for code, n in report.flow["failures"].items()]

"""Plots of a report as SVG for a page: each a pure function that gives None where there is nothing to draw.

Each carries its alternative text: a sentence with the numbers.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import numpy as np

from tef.report.content import CaseResult, Curve, Report
from tef.report.svg import BLUE, INK, MUTED, ORANGE, VERMILLION, figure_of, inline_svg
from tef.report.wording import (
    RATIO,
    counted,
    estimated,
    group_name,
    level,
    metric_key,
    metric_names,
    number,
    suppressed,
    with_unit,
)
from tef.score import Estimate

_WIDE, _SQUARE = (6.0, 3.2), (4.4, 4.2)
_LONGEST_LABEL = 34
_BINS = 20


def cases_plot(report: Report) -> str | None:
    """The primary metric of every case, sorted; failed cases are crosses."""
    overall, name = report.estimate(report.benchmark["primary"]), _primary_name(report)
    cases = _with_value(report, overall.metric)
    if not cases:
        return None
    values = np.array([case.scores[overall.metric] for case in cases])
    failed = np.array([case.outcome != "ok" for case in cases])
    ranks = np.arange(1, len(cases) + 1)
    with figure_of(_WIDE) as figure:
        axes = figure.subplots()
        _overall_line(axes.axhline, axes.axhspan, overall, report)
        axes.plot(ranks[~failed], values[~failed], "o", color=BLUE, markersize=4, label="predicted")
        if failed.any():
            axes.plot(ranks[failed], values[failed], "X", color=VERMILLION, markersize=6, clip_on=False, label="failed")
        axes.set_ylim(*_range(values, overall.unit))
        axes.set_xlim(0, len(cases) + 1)
        axes.grid(visible=False, axis="x")
        axes.set(xlabel="Cases, sorted by value", ylabel=_axis(name, overall))
        _whole_numbers(axes.xaxis)
        _legend_above(axes)
        alt = (
            f"{name} of {counted(len(cases), 'case')}, sorted: from {number(values[0], overall.unit)} to "
            f"{with_unit(number(values[-1], overall.unit), overall.unit)}, median {number(median(values), overall.unit)}; "
            f"mean over the cohort {estimated(overall)}. {_failures(report, int(failed.sum()))}"
        )
        return inline_svg(figure, "cases", alt)


def strip_plot(report: Report) -> str | None:
    """The primary metric of every case, by subgroup; subgroups too small to estimate are left out."""
    overall, name = report.estimate(report.benchmark["primary"]), _primary_name(report)
    hidden = suppressed(report)
    cases = _with_value(report, overall.metric)
    rows = [(e, [case for case in cases if e.subgroup in case.groups]) for e in _subgroups(report) if e.subgroup not in hidden]
    rows = [(estimate, members) for estimate, members in rows if members]
    if not rows:
        return None
    with figure_of((_WIDE[0], 0.9 + 0.36 * len(rows))) as figure:
        axes = figure.subplots()
        _overall_line(axes.axvline, axes.axvspan, overall, report)
        for y, (_, members) in enumerate(rows):
            values = np.array([case.scores[overall.metric] for case in members])
            failed = np.array([case.outcome != "ok" for case in members])
            # A fixed pattern, not chance, keeps dots apart: the same report gives the same picture.
            heights = y + 0.11 * ((np.arange(len(values)) * 2) % 5 - 2)
            axes.plot(values[~failed], heights[~failed], "o", color=BLUE, markersize=3.5, alpha=0.75)
            axes.plot(values[failed], heights[failed], "X", color=VERMILLION, markersize=5.5, clip_on=False)
            axes.plot([median(values)] * 2, [y - 0.36, y + 0.36], color=INK, linewidth=1.6)
        labels = [f"{_short(str(e.subgroup))} (n = {len(members)})" for e, members in rows]
        axes.set_yticks(range(len(rows)), labels)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(*_range(np.array([case.scores[overall.metric] for case in cases]), overall.unit))
        axes.grid(visible=False, axis="y")
        axes.set(xlabel=_axis(name, overall))
        parts = []
        for estimate, members in rows:
            middle = number(median(_values(members, overall.metric)), overall.unit)
            parts.append(f"{group_name(str(estimate.subgroup))}: median {middle}, {counted(len(members), 'case')}")
        return inline_svg(figure, "strip", f"{_axis(name, overall)} of each case by subgroup. {'; '.join(parts)}.")


def forest_plot(report: Report) -> str | None:
    """The primary metric of every subgroup with its interval, beside that of the whole cohort."""
    overall, name = report.estimate(report.benchmark["primary"]), _primary_name(report)
    rows = [overall, *_subgroups(report)]
    if len(rows) == 1:
        return None
    ends = [x for row in rows for x in (row.value, row.low, row.high) if x is not None]
    if not ends:
        return None
    with figure_of((_WIDE[0], 0.8 + 0.27 * len(rows))) as figure:
        axes = figure.subplots()
        _overall_line(axes.axvline, axes.axvspan, overall, report, legend=False)
        for y, row in enumerate(rows):
            if row.value is not None:
                if row.low is not None and row.high is not None:
                    axes.plot([row.low, row.high], [y, y], color=BLUE, linewidth=1.8)
                whole = row.subgroup is None
                axes.plot([row.value], [y], "D" if whole else "o", color=BLUE, markersize=6 if whole else 5)
            text = f"not estimated: {row.reason}" if row.value is None else estimated(row)
            if row.value is not None and row.low is None:
                text = f"{number(row.value, row.unit)} [no interval]"
            colour = MUTED if row.value is None else INK
            axes.text(1.03, y, _cut(text, 42), transform=axes.get_yaxis_transform(), va="center", fontsize=8, color=colour)
        labels = ["Whole cohort" if row.subgroup is None else _short(row.subgroup) for row in rows]
        axes.set_yticks(range(len(rows)), [f"{label} (n = {row.n_used})" for label, row in zip(labels, rows, strict=True)])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        margin = 0.06 * (max(ends) - min(ends)) or 0.05
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.grid(visible=False)
        axes.set(xlabel=f"{_axis(name, overall)}, {level(overall.level)} interval")
        told = [
            f"{'whole cohort' if row.subgroup is None else group_name(row.subgroup)} {estimated(row)}, n = {row.n_used}"
            for row in rows
        ]
        return inline_svg(figure, "forest", f"{name} with {level(overall.level)} interval. " + "; ".join(told) + ".")


def roc_plot(report: Report) -> str | None:
    """Sensitivity over 1 - specificity with its band and the protocol's operating point."""
    curve = _curve(report, "roc")
    if curve is None:
        return None
    with figure_of(_SQUARE) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="chance")
        if curve.low:
            axes.fill_between(curve.x, curve.low, curve.high, step="post", color=BLUE, alpha=0.2, linewidth=0,
                              label=f"{level(report.estimates[0].level)} band, pointwise")  # fmt: skip
        axes.step(curve.x, curve.y, where="post", color=BLUE, linewidth=1.8, label="model")
        point = _operating_point(report)
        if point is not None:
            sensitivity, specificity = point
            x, y = 1 - _given(specificity.value), _given(sensitivity.value)
            if sensitivity.low is not None and sensitivity.high is not None:
                axes.plot([x, x], [sensitivity.low, sensitivity.high], color=VERMILLION, linewidth=1.4)
            if specificity.low is not None and specificity.high is not None:
                axes.plot([1 - specificity.high, 1 - specificity.low], [y, y], color=VERMILLION, linewidth=1.4)
            threshold = report.benchmark["operating_point"]
            axes.plot([x], [y], "D", color=VERMILLION, markersize=6, label=f"operating point, threshold {threshold:g}")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set_box_aspect(1)
        axes.set(xlabel="1 − specificity", ylabel="Sensitivity")
        axes.legend(loc="lower right")
        return inline_svg(figure, "roc", _roc_alt(report, point))


def reliability_plot(report: Report) -> str | None:
    """Observed frequency over predicted probability, and below it the number of cases in each bin."""
    curve = _curve(report, "reliability")
    if curve is None:
        return None
    with figure_of((_SQUARE[0], 5.1)) as figure:
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
        axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.9, linestyle=(0, (4, 3)), label="perfect calibration")
        if curve.low:
            label = f"{level(report.estimates[0].level)} interval"
            axes.vlines(curve.x, curve.low, curve.high, color=BLUE, linewidth=1.4, label=label)
        axes.plot(curve.x, curve.y, "o", color=BLUE, markersize=5, label="observed in a bin")
        axes.set_xlim(-0.02, 1.02)
        axes.set_ylim(-0.02, 1.02)
        axes.set(ylabel="Observed frequency (reference standard)")
        axes.legend(loc="upper left")
        below.bar(curve.x, curve.n, width=0.05, color=MUTED)
        for x, n in zip(curve.x, curve.n, strict=True):
            below.annotate(str(n), (x, n), ha="center", va="bottom", fontsize=7, xytext=(0, 1), textcoords="offset points")
        below.set_ylim(0, 1.35 * max(curve.n))
        below.grid(visible=False, axis="x")
        _whole_numbers(below.yaxis)
        below.set(xlabel="Mean predicted probability in the bin", ylabel="Cases")
        bins = [
            f"{number(x)} predicted, {number(y)} observed, n = {n}" for x, y, n in zip(curve.x, curve.y, curve.n, strict=True)
        ]
        return inline_svg(
            figure,
            "reliability",
            f"Reliability in {counted(len(bins), 'bin')} of predicted probability: " + "; ".join(bins) + ".",
        )


def distribution_plot(report: Report) -> str | None:
    """How often each probability was predicted, apart by the class of the reference standard."""
    predicted = [case for case in report.cases if case.outcome == "ok" and case.scores.get("probability") is not None]
    if not predicted:
        return None
    classes = ((1, "positive", VERMILLION), (0, "negative", BLUE))
    edges = np.linspace(0, 1, _BINS + 1)
    with figure_of(_WIDE) as figure:
        panels = figure.subplots(2, 1, sharex=True, sharey=True)
        told = []
        for axes, (reference, word, colour) in zip(panels, classes, strict=True):
            values = [_given(case.scores["probability"]) for case in predicted if case.scores["reference"] == reference]
            axes.hist(values, bins=edges, color=colour, alpha=0.85, edgecolor="none")
            axes.axvline(report.benchmark["operating_point"], color=INK, linewidth=1.2, linestyle=(0, (2, 2)))
            axes.set_title(f"Reference standard {word} (n = {len(values)})", fontsize=9, loc="left")
            axes.set(ylabel="Cases")
            axes.grid(visible=False, axis="x")
            _whole_numbers(axes.yaxis)
            at_or_above = sum(value >= report.benchmark["operating_point"] for value in values)
            spread = f", median {number(median(values))}, {at_or_above} at or above the operating point" if values else ""
            told.append(f"{counted(len(values), f'{word} case')}{spread}")
        panels[-1].set(xlabel="Predicted probability (dashed: operating point)")
        panels[-1].set_xlim(0, 1)
        failed = counted(report.flow["n_failed"], "failed case")
        alt = f"Predicted probabilities by class of the reference standard: {'; '.join(told)}. {failed} not shown."
        return inline_svg(figure, "distribution", alt)


def _overall_line(line: Any, span: Any, overall: Estimate, report: Report, *, legend: bool = True) -> None:
    """The whole cohort's estimate and interval, and the protocol's bound on it, across a plot."""
    if overall.low is not None and overall.high is not None:
        span(overall.low, overall.high, color=MUTED, alpha=0.15, linewidth=0)
    if overall.value is not None:
        line(overall.value, color=MUTED, linewidth=1.1, label="whole cohort, mean" if legend else None)
    for criterion in report.benchmark["acceptance"]:
        if criterion["metric"] == overall.metric and criterion["subgroup"] is None:
            bound = criterion["at_most"] if criterion["at_least"] is None else criterion["at_least"]
            line(bound, color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)), label="acceptance bound" if legend else None)


def _operating_point(report: Report) -> tuple[Estimate, Estimate] | None:
    """Sensitivity and specificity at the operating point, where the protocol has both and both have a value."""
    keys = [metric_key(report, kind) for kind in ("sensitivity", "specificity")]
    found = [report.estimate(key) for key in keys if key is not None]
    return (found[0], found[1]) if len(found) == 2 and None not in (found[0].value, found[1].value) else None


def _roc_alt(report: Report, point: tuple[Estimate, Estimate] | None) -> str:
    classes = Counter(case.scores["reference"] for case in report.cases if case.scores.get("probability") is not None)
    text = (
        "Receiver operating characteristic with its band, of "
        f"{classes[1.0]} positive and {counted(classes[0.0], 'negative case')}."
    )
    if (key := metric_key(report, "auroc")) is not None:
        text += f" AUROC {estimated(report.estimate(key))}."
    if point is not None:
        threshold = report.benchmark["operating_point"]
        text += f" At threshold {threshold:g}: sensitivity {estimated(point[0])}, specificity {estimated(point[1])}."
    return text


def _failures(report: Report, n_drawn: int) -> str:
    failed = counted(report.flow["n_failed"], "case")
    drawn = "no failed case has a value" if not n_drawn else f"{n_drawn} of them drawn at the value given by the failure policy"
    return f"{failed} failed, {drawn}." if report.flow["n_failed"] else "No case failed."


def _with_value(report: Report, metric: str) -> list[CaseResult]:
    """The cases that have a value, lowest first."""
    cases = [case for case in report.cases if case.scores.get(metric) is not None]
    return sorted(cases, key=lambda case: (_given(case.scores[metric]), case.case))


def _values(cases: Sequence[CaseResult], metric: str) -> list[float]:
    return [_given(case.scores[metric]) for case in cases]


def _given(value: float | None) -> float:
    assert value is not None, "only cases with a value are drawn"  # noqa: S101
    return value


def _subgroups(report: Report) -> list[Estimate]:
    return [e for e in report.estimates if e.metric == report.benchmark["primary"] and e.subgroup is not None]


def _curve(report: Report, name: str) -> Curve | None:
    return next((curve for curve in report.curves if curve.name == name), None)


def _primary_name(report: Report) -> str:
    return metric_names(report)[report.benchmark["primary"]]


def _axis(name: str, estimate: Estimate) -> str:
    return name if estimate.unit == RATIO else f"{name} ({estimate.unit})"


def _short(subgroup: str) -> str:
    return _cut(group_name(subgroup), _LONGEST_LABEL)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _range(values: Any, unit: str) -> tuple[float, float]:
    """Axis ends: a ratio from 0 to 1 at least, all else from 0."""
    low, high = min(0.0, float(values.min())), float(values.max())
    high = max(high, 1.0) if unit == RATIO else high or 1.0
    margin = 0.03 * (high - low)
    return low - margin, high + margin


def _whole_numbers(axis: Any) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))


def _legend_above(axes: Any) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2, columnspacing=1.4)

"""Numbers and names as people read them, the same in the report's tables, plots and alternative texts."""

import math
from collections import Counter

from tef.report.content import CaseResult, Report
from tef.score import Estimate

RATIO = "1"


def number(value: float, unit: str = RATIO, apart_from: float | None = None) -> str:
    """A value with three decimals where it is a ratio, else with three significant digits.

    Args:
        apart_from: A bound that the text must not seem to equal unless the value does; decimals are added until it does not.
    """
    if unit == RATIO and abs(value) < 10:
        decimals = 3
    else:
        decimals = min(3, max(0, 2 - math.floor(math.log10(abs(value))))) if value else 0
    if apart_from is not None and apart_from != value:
        while decimals < 12 and f"{value:.{decimals}f}" == f"{apart_from:.{decimals}f}":
            decimals += 1
    # Adding 0.0 turns a rounded -0.0 into 0.0.
    return f"{round(value, decimals) + 0.0:.{decimals}f}"


def with_unit(text: str, unit: str) -> str:
    """The text of a value, with its unit where it has one."""
    return text if unit == RATIO else f"{text} {unit}"


def estimated(estimate: Estimate, bound: float | None = None) -> str:
    """Such as ``0.743 [0.651, 0.822]``; what is missing is replaced by the reason."""
    if estimate.value is None:
        reason = (estimate.reason or "no reason given").removeprefix("undefined: ")
        return f"undefined: {reason}"
    value = number(estimate.value, estimate.unit, bound)
    if estimate.low is None or estimate.high is None:
        return f"{value} [{estimate.reason or 'no interval'}]"
    return f"{value} [{number(estimate.low, estimate.unit, bound)}, {number(estimate.high, estimate.unit, bound)}]"


def measured(estimate: Estimate, bound: float | None = None) -> str:
    """As `estimated`, with the unit where there is a value that has one."""
    text = estimated(estimate, bound)
    return text if estimate.value is None else with_unit(text, estimate.unit)


def level(estimate_level: float) -> str:
    """Such as ``95 %``."""
    return f"{100 * estimate_level:g} %"


def metric_names(report: Report) -> dict[str, str]:
    """Metric to the words before the colon of its definition; the key itself where two metrics would have the same name."""
    names = {key: text.partition(":")[0] if ":" in text else key for key, text in report.definitions.items()}
    often = Counter(names.values())
    return {key: name if often[name] == 1 else key for key, name in names.items()}


def group_name(subgroup: str) -> str:
    """``sex=female`` as ``sex: female``."""
    return subgroup.replace("=", ": ", 1)


def suppressed(report: Report) -> set[str]:
    """Subgroups too small for any estimate of the primary metric; single cases of theirs are not shown as such."""
    primary = report.benchmark["primary"]
    return {e.subgroup for e in report.estimates if e.subgroup and e.metric == primary and e.value is None}


def error(case: CaseResult) -> float | None:
    """How far a case's probability is from its reference class, or None where there is no probability."""
    probability, reference = case.scores.get("probability"), case.scores.get("reference")
    return None if probability is None or reference is None else abs(probability - reference)


def metric_key(report: Report, kind: str) -> str | None:
    """Key of the protocol's first metric of a kind such as ``sensitivity``, or None where it has none."""
    for entry in report.benchmark["metrics"]:
        if entry["metric"] == kind:
            return str(entry.get("name") or kind)
    return None


def counted(n: int, one: str, many: str | None = None) -> str:
    """Such as ``1 case`` and ``2 cases``."""
    return f"{n} {one if n == 1 else many or one + 's'}"

"""From scores to estimates: patient-clustered bootstrap, subgroups, paired differences and the verdict on a bound.

Cases of one patient are alike, so patients are resampled, not cases: of P patients P are drawn with replacement, and each case
weighs as often as its patient was drawn. A statistic takes such weights, (B, n), and gives its value in each of the B samples.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from tef.benchmark import Criterion, Interval
from tef.score import Estimate, Score

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Statistic = Callable[[Floats], Floats]

# Weights in memory at one time; small enough to stay near the processor, which is what makes large cohorts fast.
_CHUNK_WEIGHTS = 2_000_000
_MAX_UNDEFINED_SHARE = 0.1


class Named(Protocol):
    """What a metric tells of itself."""

    @property
    def key(self) -> str:
        """Name in the protocol."""

    @property
    def unit(self) -> str:
        """``1`` for a ratio, else ``mm``, ``ml``."""


class ProbabilityStatistic(Named, Protocol):
    """A metric of predicted probabilities, as `tef.metrics.ProbabilityMetric` is."""

    @property
    def needs(self) -> str:
        """What must be there for a value, in words."""

    @property
    def proportion_of(self) -> bool | None:
        """The class whose cases the metric is a simple proportion of, or None."""

    def estimate(self, labels: Bools, probabilities: Floats, weights: NDArray[Any], failed: Bools | None = None) -> Floats:
        """Value in each sample, NaN where undefined."""


def weight_chunks(patients: Sequence[str], replicates: int, seed: int) -> Iterator[Floats]:
    """Bootstrap weights, some samples at a time, so that memory stays bounded however many cases there are.

    The samples depend on the seed and the set of patients alone: not on the order of cases, nor on the size of the chunks.

    Args:
        patients: Patient of each of n >= 1 cases.
        replicates: Number of samples in all.
        seed: Of the generator.

    Yields:
        (b, n); the b add up to `replicates`, and each row holds how often each case's patient was drawn.
    """
    names, patient_of_case = np.unique(np.asarray(patients), return_inverse=True)
    total = len(names)
    rows = max(1, _CHUNK_WEIGHTS // len(patient_of_case))
    random = np.random.default_rng(seed)
    for start in range(0, replicates, rows):
        count = min(rows, replicates - start)
        drawn = random.integers(0, total, size=(count, total)) + total * np.arange(count)[:, None]
        times = np.bincount(drawn.ravel(), minlength=count * total).astype(np.float64).reshape(count, total)
        yield np.take(times, patient_of_case, axis=1)


def estimate_mean(
    metric: Named,
    label: str,
    scores: Sequence[Score],
    patients: Sequence[str],
    interval: Interval,
    *,
    subgroup: str | None = None,
    min_patients: int = 1,
) -> Estimate:
    """Mean over the cases that have a value.

    Args:
        metric: Gives name and unit.
        label: Output name of the interface.
        scores: One per case of the cohort or subgroup, failed and undefined cases included; may be empty.
        patients: Patient of each score's case.
        interval: Level, replicates and seed.
        subgroup: ``name=value``, or None for the whole cohort.
        min_patients: With fewer among the cases used, nothing is estimated.
    """
    values = np.array([score.value for score in scores if score.value is not None], dtype=np.float64)
    return _estimate(
        metric, label, scores, patients, _mean(values), "mean over cases", "a case", interval, subgroup, min_patients
    )


def estimate_probability(
    metric: ProbabilityStatistic,
    label: str,
    probabilities: Sequence[Score],
    references: Sequence[Score],
    patients: Sequence[str],
    interval: Interval,
    *,
    subgroup: str | None = None,
    min_patients: int = 1,
) -> Estimate:
    """A metric of probabilities over the cases that have one.

    Where a proportion, such as sensitivity, is 0 or 1, every sample agrees and the bootstrap would claim certainty; the
    interval is then Wilson's, with patients as trials.

    Args:
        metric: Of `tef.metrics`.
        label: Output name of the interface.
        probabilities: One per case of the cohort or subgroup, failed cases included; may be empty.
        references: Classes (0 or 1) of the same cases in the same order; all have a value.
        patients: Patient of each case.
        interval: Level, replicates and seed.
        subgroup: ``name=value``, or None for the whole cohort.
        min_patients: With fewer among the cases used, nothing is estimated.
    """
    used = [
        (p.value, bool(r.value), who, p.failure is not None)
        for p, r, who in zip(probabilities, references, patients, strict=True)
        if p.value is not None
    ]
    values = np.array([value for value, *_ in used], dtype=np.float64)
    classes = np.array([positive for _, positive, *_ in used], dtype=bool)
    trials = {who for _, positive, who, _ in used if positive == metric.proportion_of}
    failed = np.array([failure for *_, failure in used], dtype=bool)
    statistic = partial(metric.estimate, classes, values, failed=failed)
    return _estimate(
        metric,
        label,
        probabilities,
        patients,
        statistic,
        "over cases",
        metric.needs,
        interval,
        subgroup,
        min_patients,
        len(trials),
    )


def _mean(values: Floats) -> Statistic:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _estimate(
    metric: Named,
    label: str,
    scores: Sequence[Score],
    patients: Sequence[str],
    statistic: Statistic,
    what: str,
    needs: str,
    interval: Interval,
    subgroup: str | None,
    min_patients: int,
    trials: int = 0,
) -> Estimate:
    """Estimate of ``statistic`` over the cases whose score has a value; ``trials`` is 0 for what is no proportion."""
    used = [patient for score, patient in zip(scores, patients, strict=True) if score.value is not None]
    n_patients = len(set(used))
    estimate = partial(
        Estimate,
        metric=metric.key,
        label=label,
        unit=metric.unit,
        level=interval.level,
        seed=interval.seed,
        n_used=len(used),
        n_total=len(scores),
        n_patients=n_patients,
        n_failed=sum(score.failure is not None for score in scores),
        undefined=dict(sorted(Counter(score.undefined for score in scores if score.undefined is not None).items())),
        subgroup=subgroup,
    )
    nothing = partial(estimate, value=None, low=None, high=None, method=what)
    if not scores:
        return nothing(reason="no case")
    if not used:
        return nothing(reason="no case has a value")
    if n_patients < min_patients:
        return nothing(reason=f"fewer than {min_patients} patients")
    value = float(statistic(np.ones((1, len(used))))[0])
    if math.isnan(value):
        return nothing(reason=f"undefined: needs {needs}")
    spread = _spread(statistic, used, interval)
    if spread.constant and trials and value in (0, 1):
        low, high = wilson(round(value * trials), trials, interval.level)
        method = f"{what}; all bootstrap replicates agree, so {100 * interval.level:g} % Wilson interval of {trials} patients"
        return estimate(value=value, low=low, high=high, method=method, reason=None)
    return estimate(value=value, low=spread.low, high=spread.high, method=f"{what}; {spread.method}", reason=spread.reason)


@dataclass(frozen=True, slots=True)
class _Spread:
    """Bootstrap replicates of a statistic and their percentile interval, or the reason why there is none."""

    low: float | None
    high: float | None
    method: str
    reason: str | None
    constant: bool
    replicates: Floats


def _spread(statistic: Statistic, patients: Sequence[str], interval: Interval) -> _Spread:
    chunks = weight_chunks(patients, interval.replicates, interval.seed)
    every = np.concatenate([statistic(weights) for weights in chunks])
    defined = every[~np.isnan(every)]
    missing = len(every) - len(defined)
    method = (
        f"{100 * interval.level:g} % percentile interval of {interval.replicates} patient-clustered bootstrap replicates "
        f"(seed {interval.seed})" + (f", {missing} of them undefined and left out" if missing else "")
    )
    constant = len(defined) > 0 and bool(np.ptp(defined) <= 1e-12 * max(1.0, abs(defined[0])))
    if constant:
        method += "; all of them agree, which says little about other patients"
    reason = None
    if len(set(patients)) == 1:
        reason = "no interval: one patient"
    elif missing > _MAX_UNDEFINED_SHARE * len(every):
        reason = f"no interval: undefined in {missing} of {len(every)} bootstrap replicates"
    if reason is not None:
        return _Spread(None, None, method, reason, constant, defined)
    low, high = np.quantile(defined, [(1 - interval.level) / 2, (1 + interval.level) / 2])
    return _Spread(float(low), float(high), method, None, constant, defined)


@dataclass(frozen=True, slots=True)
class Difference:
    """A minus B on the same cases, with the same bootstrap samples for both.

    Attributes:
        value: The difference, or None where `reason` says why.
        low, high: Ends of the interval, or None where `reason` says why.
        level: Confidence level of the interval.
        share_above_zero: Share of replicates in which A is above B; ties count half; None without a value.
        n_used: Cases where both have a value. n_total: Cases given. n_patients: patients of the cases used.
        method: What was computed, in words.
        reason: Why value, or interval, is None.
    """

    value: float | None
    low: float | None
    high: float | None
    level: float
    share_above_zero: float | None
    n_used: int
    n_total: int
    n_patients: int
    method: str
    reason: str | None


def paired_difference(
    values_a: Sequence[float | None], values_b: Sequence[float | None], patients: Sequence[str], interval: Interval
) -> Difference:
    """Difference of the means of A and B over the cases where both have a value.

    Args:
        values_a: One per case, None where undefined.
        values_b: Of the same cases in the same order.
        patients: Patient of each case.
        interval: Level, replicates and seed.
    """
    used = [index for index, pair in enumerate(zip(values_a, values_b, strict=True)) if None not in pair]
    gaps = np.array([values_a[index] for index in used], dtype=float) - np.array(
        [values_b[index] for index in used], dtype=float
    )
    return _difference(_mean(gaps), used, patients, "difference of means over the same cases", "a case", interval)


def paired_probability_difference(
    metric: ProbabilityStatistic,
    probabilities_a: Sequence[Score],
    probabilities_b: Sequence[Score],
    references: Sequence[Score],
    patients: Sequence[str],
    interval: Interval,
) -> Difference:
    """Difference of a metric of probabilities between A and B over the cases where both have one.

    Args:
        metric: Of `tef.metrics`.
        probabilities_a: One per case, failed cases included.
        probabilities_b: Of the same cases in the same order.
        references: Classes (0 or 1) of the same cases; all have a value.
        patients: Patient of each case.
        interval: Level, replicates and seed.
    """
    pairs = enumerate(zip(probabilities_a, probabilities_b, strict=True))
    used = [index for index, (a, b) in pairs if a.value is not None and b.value is not None]
    classes = np.array([bool(references[index].value) for index in used], dtype=bool)

    def of(scores: Sequence[Score]) -> Statistic:
        values = np.array([scores[index].value for index in used], dtype=np.float64)
        failed = np.array([scores[index].failure is not None for index in used], dtype=bool)
        return partial(metric.estimate, classes, values, failed=failed)

    estimate_a, estimate_b = of(probabilities_a), of(probabilities_b)

    def statistic(weights: Floats) -> Floats:
        return estimate_a(weights) - estimate_b(weights)

    return _difference(statistic, used, patients, "difference over the same cases", metric.needs, interval)


def _difference(
    statistic: Statistic, used: Sequence[int], patients: Sequence[str], what: str, needs: str, interval: Interval
) -> Difference:
    who = [patients[index] for index in used]
    difference = partial(Difference, level=interval.level, n_used=len(used), n_total=len(patients), n_patients=len(set(who)))
    nothing = partial(difference, value=None, low=None, high=None, share_above_zero=None, method=what)
    if not used:
        return nothing(reason="no case has a value of both")
    value = float(statistic(np.ones((1, len(used))))[0])
    if math.isnan(value):
        return nothing(reason=f"undefined: needs {needs}")
    spread = _spread(statistic, who, interval)
    share = float(np.mean((np.sign(spread.replicates) + 1) / 2)) if len(spread.replicates) else None
    method = f"{what}; {spread.method}"
    return difference(
        value=value, low=spread.low, high=spread.high, share_above_zero=share, method=method, reason=spread.reason
    )


def wilson(successes: float, trials: int, level: float) -> tuple[float, float]:
    """Wilson's interval of a proportion; successes need not be whole where a patient's cases are parts of one trial.

    Raises:
        ValueError: There is no trial, or more successes than trials.
    """
    if not 0 <= successes <= trials or trials == 0:
        raise ValueError(f"{successes} of {trials} is no proportion")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = successes / trials
    centre = (share + z**2 / (2 * trials)) / (1 + z**2 / trials)
    half = z / (1 + z**2 / trials) * math.sqrt(share * (1 - share) / trials + z**2 / (4 * trials**2))
    return (0.0 if successes == 0 else centre - half), (1.0 if successes == trials else centre + half)


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether an acceptance bound is met, and the sentence that says so."""

    met: Literal["met", "not met", "inconclusive"]
    text: str


def decide(criterion: Criterion, estimate: Estimate | None) -> Decision:
    """Hold a bound against the whole interval: met or not met only where the interval lies on one side of it.

    Args:
        criterion: Of the protocol.
        estimate: Of the metric and subgroup that the criterion names, or None where the cohort has no such subgroup.
    """
    at_least = criterion.at_least is not None
    bound = criterion.at_least if criterion.at_least is not None else criterion.at_most
    assert bound is not None, "Criterion checks that one bound is given"  # noqa: S101
    where = f" of {criterion.subgroup}" if criterion.subgroup else ""
    claim = f"{criterion.metric}{where} {'at least' if at_least else 'at most'} {bound:g}"
    if estimate is None:
        return Decision("inconclusive", f"{claim}: inconclusive; the cohort has no such subgroup")
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return Decision("inconclusive", f"{claim}: inconclusive; {estimate.reason}")
    unit = "" if estimate.unit == "1" else f" {estimate.unit}"
    found = f"{estimate.value:.4g} ({100 * estimate.level:g} % interval {estimate.low:.4g} to {estimate.high:.4g}{unit})"
    good, bad = (estimate.low >= bound, estimate.high < bound) if at_least else (estimate.high <= bound, estimate.low > bound)
    met: Literal["met", "not met", "inconclusive"] = "met" if good else "not met" if bad else "inconclusive"
    return Decision(met, f"{claim}: {met}; {found}")

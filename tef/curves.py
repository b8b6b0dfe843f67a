"""Curves behind a report's plots, each with its bootstrap band: receiver operating characteristic and reliability."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tef.benchmark import Interval
from tef.metrics.calibration import ECE
from tef.report import Curve
from tef.statistics import weight_chunks, wilson

_MAX_POINTS = 200
_ROUNDING = 1e-12
TEN_EQUAL_WIDTHS = ECE(metric="ece", bins=10, binning="equal-width")

Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


def roc_curve(labels: Bools, probabilities: Floats, patients: Sequence[str], interval: Interval) -> Curve:
    """Sensitivity over 1 - specificity at every threshold, at most some 200 points of it.

    Args:
        labels: bool, (n,); both classes occur.
        probabilities: (n,), of the positive class.
        patients: Patient of each case.
        interval: Of the band, which is pointwise.
    """
    order = np.argsort(-probabilities, kind="stable")
    ranked, positive = probabilities[order], labels[order]
    last = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])

    def rates(weights: Floats) -> tuple[Floats, Floats]:
        true, false = np.cumsum(weights * positive, axis=1)[:, last], np.cumsum(weights * ~positive, axis=1)[:, last]
        start = np.zeros((len(weights), 1))
        with np.errstate(invalid="ignore"):
            return np.hstack([start, false / false[:, -1:]]), np.hstack([start, true / true[:, -1:]])

    x, y = (rate[0] for rate in rates(np.ones((1, len(labels)))))
    if len(x) > _MAX_POINTS:
        kept = np.unique(np.linspace(0, len(x) - 1, _MAX_POINTS).round().astype(int))
        x, y = x[kept], y[kept]
    at = []
    for weights in weight_chunks(patients, interval.replicates, interval.seed):
        for fpr, tpr in zip(*rates(weights[:, order]), strict=True):
            if np.isfinite(fpr[-1]) and np.isfinite(tpr[-1]):
                at.append(tpr[np.searchsorted(fpr, x, side="right") - 1])
    low, high = np.quantile(np.array(at), _ends(interval), axis=0)
    return Curve("roc", _floats(x), _floats(y), _floats(low), _floats(high), ())


def reliability_curve(
    labels: Bools, probabilities: Floats, patients: Sequence[str], interval: Interval, ece: ECE = TEN_EQUAL_WIDTHS
) -> Curve:
    """Observed frequency over mean probability in bins; those without a case are left out.

    Where the cases of a bin agree, so do all bootstrap replicates; the interval is then Wilson's, with patients as trials.

    Args:
        labels: bool, (n,).
        probabilities: (n,), of the positive class.
        patients: Patient of each case.
        interval: Of the band, which is pointwise.
        ece: Gives the bins.
    """
    bins = ece.bin_of(probabilities)
    member = bins[:, None] == np.unique(bins)[None, :]
    n = member.sum(axis=0)
    shares = []
    for weights in weight_chunks(patients, interval.replicates, interval.seed):
        with np.errstate(invalid="ignore"):
            shares.append((weights @ (member & labels[:, None])) / (weights @ member))
    x = (probabilities[:, None] * member).sum(axis=0) / n
    y = (member & labels[:, None]).sum(axis=0) / n
    low, high = np.nanquantile(np.concatenate(shares), _ends(interval), axis=0)
    for index in np.flatnonzero(high - low <= _ROUNDING):
        trials = len(set(np.asarray(patients)[member[:, index]]))
        low[index], high[index] = wilson(float(y[index]) * trials, trials, interval.level)
    return Curve("reliability", _floats(x), _floats(y), _floats(low), _floats(high), tuple(int(count) for count in n))


def _ends(interval: Interval) -> tuple[float, float]:
    return (1 - interval.level) / 2, (1 + interval.level) / 2


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)

"""Curves behind a report's plots, each with its bootstrap band: receiver operating characteristic and reliability."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tef.benchmark import Interval
from tef.report import Curve
from tef.statistics import weight_chunks

_MAX_POINTS = 200
_BINS = 10

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
    low, high = _band(np.array(at), interval.level)
    return Curve("roc", _floats(x), _floats(y), low, high, ())


def reliability_curve(labels: Bools, probabilities: Floats, patients: Sequence[str], interval: Interval) -> Curve:
    """Observed frequency over mean probability in ten bins of equal width; bins without a case are left out.

    Arguments as of `roc_curve`.
    """
    bins = np.minimum((probabilities * _BINS).astype(int), _BINS - 1)
    member = bins[:, None] == np.unique(bins)[None, :]
    n = member.sum(axis=0)
    shares = []
    for weights in weight_chunks(patients, interval.replicates, interval.seed):
        with np.errstate(invalid="ignore"):
            shares.append((weights @ (member & labels[:, None])) / (weights @ member))
    low, high = _band(np.concatenate(shares), interval.level)
    x = (probabilities[:, None] * member).sum(axis=0) / n
    y = (member & labels[:, None]).sum(axis=0) / n
    return Curve("reliability", _floats(x), _floats(y), low, high, tuple(int(count) for count in n))


def _band(replicates: Floats, level: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    ends = np.nanquantile(replicates, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return _floats(ends[0]), _floats(ends[1])


def _floats(values: NDArray[Any]) -> tuple[float, ...]:
    return tuple(round(float(value), 6) for value in values)

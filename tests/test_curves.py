"""Curves behind the plots: exact points, and bands that hold them."""

import numpy as np
import pytest
from sklearn.metrics import roc_curve as sklearn_roc

from tef.benchmark import Interval
from tef.curves import reliability_curve, roc_curve
from tef.metrics.calibration import ECE
from tef.statistics import wilson

INTERVAL = Interval(level=0.95, replicates=300, seed=3)


@pytest.fixture(params=[20, 1000])
def data(request):
    """Labels, probabilities with ties, patients of two cases each."""
    random = np.random.default_rng(request.param)
    labels = random.random(request.param) < 0.4
    labels[:2] = True, False
    p = np.clip(np.round(0.3 * labels + random.random(request.param) * 0.7, 2), 0, 1)
    return labels, p, [f"p{i // 2}" for i in range(request.param)]


def test_roc_points_are_scikit_learn_s(data):
    """Every point lies on the curve that scikit-learn draws, from (0, 0) to (1, 1)."""
    labels, p, patients = data
    curve = roc_curve(labels, p, patients, INTERVAL)

    fpr, tpr, _ = sklearn_roc(labels, p, drop_intermediate=False)
    expected = {(round(x, 6), round(y, 6)) for x, y in zip(fpr, tpr, strict=True)}
    assert set(zip(curve.x, curve.y, strict=True)) <= expected
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert len(curve.x) <= 200


def test_the_band_of_a_roc_curve_holds_most_of_it(data):
    """A pointwise band lies around the sensitivity at each specificity, low below high."""
    curve = roc_curve(*data, INTERVAL)

    tops = {x: (low, y, high) for x, low, y, high in zip(curve.x, curve.low, curve.y, curve.high, strict=True)}
    low, y, high = np.array(list(tops.values())).T
    assert (low <= high).all()
    assert np.mean((low <= y) & (y <= high)) > 0.9


def test_reliability_is_the_observed_frequency_of_each_bin(data):
    """Points are means of their bin, n adds up to all cases, and empty bins are left out."""
    labels, p, patients = data
    curve = reliability_curve(labels, p, patients, INTERVAL)

    bins = np.maximum(np.ceil(np.round(p * 10, 6)), 1)
    assert curve.x == tuple(round(float(p[bins == b].mean()), 6) for b in np.unique(bins))
    assert curve.y == tuple(round(float(labels[bins == b].mean()), 6) for b in np.unique(bins))
    assert sum(curve.n) == len(p)


@pytest.mark.parametrize("ece", [ECE(metric="ece", bins=b, binning=k) for b in (4, 15) for k in ("equal-width", "equal-mass")])
def test_the_bins_are_those_of_the_ece(data, ece):
    """The points' gaps, weighted by their cases, add up to the value in the report, whichever bins the protocol has."""
    labels, p, patients = data
    curve = reliability_curve(labels, p, patients, INTERVAL, ece)

    drawn = sum(n * abs(y - x) for x, y, n in zip(curve.x, curve.y, curve.n, strict=True)) / len(p)
    assert drawn == pytest.approx(ece.estimate(labels, p, np.ones((1, len(p))))[0], abs=1e-5)


def test_a_bin_whose_cases_agree_still_has_an_uncertainty():
    """Twelve negatives of six patients say no more than that fewer than 39 % are positive; the bootstrap would claim 0."""
    labels = np.array([False] * 12 + [True, False] * 10)
    p = np.array([0.05] * 12 + [0.95] * 20)
    patients = [f"a{i // 2}" for i in range(12)] + [f"b{i // 3}" for i in range(20)]
    curve = reliability_curve(labels, p, patients, INTERVAL)

    assert (curve.low[0], curve.high[0]) == (0, pytest.approx(wilson(0, 6, 0.95)[1], abs=1e-6))
    assert curve.low[1] < 0.5 < curve.high[1]

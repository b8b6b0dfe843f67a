"""Brier score and ECE, by hand and against scikit-learn."""

import numpy as np
import pytest

from tef.metrics.calibration import ECE, Brier

BRIER = Brier(metric="brier")


def ece(bins, binning="equal-width"):
    """A metric of so many bins."""
    return ECE(metric="ece", bins=bins, binning=binning)


def one(metric, labels, probabilities, weights=None, failed=None):
    """Value in a single sample."""
    weights = np.ones((1, len(labels))) if weights is None else np.array([weights])
    failed = None if failed is None else np.array(failed, dtype=bool)
    return metric.estimate(np.array(labels, dtype=bool), np.array(probabilities, dtype=float), weights, failed)[0]


def test_brier_is_the_mean_squared_error_and_equals_scikit_learn():
    """By hand: (.2^2 + .4^2) / 2; and on random values with weights."""
    from sklearn.metrics import brier_score_loss

    assert one(BRIER, [0, 1], [0.2, 0.6]) == pytest.approx(0.1)
    random = np.random.default_rng(0)
    labels, probabilities, weights = random.random(50) < 0.4, random.random(50), random.integers(0, 3, 50)
    theirs = brier_score_loss(labels, probabilities, sample_weight=weights)
    assert one(BRIER, labels, probabilities, weights) == pytest.approx(theirs)


def test_ece_weighs_the_gap_of_each_bin_by_its_cases():
    """Two bins: .1 and .3 with no positive (gap .2, 2 cases); .6, .8, .9, .9 with three (gap .8 - .75, 4 cases)."""
    assert one(ece(2), [0, 0, 1, 1, 1, 0], [0.1, 0.3, 0.6, 0.8, 0.9, 0.9]) == pytest.approx((2 * 0.2 + 4 * 0.05) / 6)


def test_a_bin_holds_its_upper_end():
    """With ten bins .3 belongs to (.2, .3], so that it is pooled with .25 and the gaps cancel; 0 belongs to the first bin."""
    assert one(ece(10), [0, 1], [0.3, 0.7]) == pytest.approx(0.3)
    assert one(ece(10), [1, 0, 0, 0], [0.3, 0.25, 0.25, 0.2]) == pytest.approx((0.2 + 0.2) / 4)
    assert one(ece(10), [0], [0.0]) == 0


def test_equal_mass_bins_hold_equal_numbers_of_cases():
    """Four cases crowded below .5 fall into two bins, where equal widths would pool them."""
    labels, probabilities = [0, 1, 0, 1], [0.1, 0.15, 0.3, 0.4]
    assert one(ece(2), labels, probabilities) == pytest.approx(abs(2 - 0.95) / 4)
    assert one(ece(2, "equal-mass"), labels, probabilities) == pytest.approx((abs(1 - 0.25) + abs(1 - 0.7)) / 4)


def test_weights_are_repetitions():
    """A case that was drawn twice counts twice in its bin."""
    found = one(ece(5), [0, 1, 1], [0.1, 0.15, 0.9], weights=[2, 1, 0])
    assert found == one(ece(5), [0, 0, 1], [0.1, 0.1, 0.15])


@pytest.mark.parametrize("binning", ["equal-width", "equal-mass"])
def test_a_failed_case_is_a_gap_of_1_outside_the_bins(binning):
    """ECE is the share that worked times the error of those, plus the share that failed; what was imputed does not matter."""
    labels, probabilities, failed = [0, 1, 0, 1, 1], [0.1, 0.15, 0.3, 0.4, 0.0], [0, 0, 0, 0, 1]
    worked = one(ece(2, binning), labels[:4], probabilities[:4])
    assert one(ece(2, binning), labels, probabilities, failed=failed) == pytest.approx(0.8 * worked + 0.2)
    assert one(ece(2, binning), labels, probabilities, [1, 1, 1, 1, 4], failed) == pytest.approx(0.5 * worked + 0.5)
    assert one(ece(2, binning), labels, probabilities, failed=[1] * 5) == 1


@pytest.mark.parametrize("failed", [np.zeros(3, dtype=bool), np.zeros(2)])
def test_failed_cases_that_do_not_fit_are_refused(failed):
    """One truth value a case."""
    with pytest.raises(ValueError, match=r"^failed is (bool \(3,\)|float64 \(2,\)); bool \(2,\)$"):
        ece(2).estimate(np.array([True, False]), np.array([0.5, 0.5]), np.ones((1, 2)), failed)

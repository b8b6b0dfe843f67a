"""AUROC, sensitivity and specificity: by hand, with weights and ties, and against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tef.metrics.classification import Auroc, Sensitivity, Specificity

AUROC = Auroc(metric="auroc")


def one(metric, labels, probabilities, weights=None):
    """Value in a single sample."""
    labels = np.array(labels, dtype=bool)
    weights = np.ones(len(labels)) if weights is None else np.array(weights)
    return metric.estimate(labels, np.array(probabilities, dtype=float), weights[None])[0]


def test_auroc_counts_pairs_and_halves_of_ties():
    """Positives .35 and .8 against negatives .1 and .35: 3.5 of 4 pairs."""
    assert one(AUROC, [0, 0, 1, 1], [0.1, 0.35, 0.35, 0.8]) == 3.5 / 4


def test_auroc_of_one_class_is_undefined_and_of_constant_predictions_a_half():
    """Never 0 or 1 for want of a class."""
    assert np.isnan(one(AUROC, [0, 0, 0], [0.1, 0.2, 0.3]))
    assert np.isnan(one(AUROC, [1, 1], [0.1, 0.2]))
    assert np.isnan(one(AUROC, [0, 1], [0.1, 0.2], weights=[1, 0]))
    assert one(AUROC, [0, 1, 1], [0.4, 0.4, 0.4]) == 0.5


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_weights_are_repetitions(seed):
    """A weight of 2 is the case written twice, for every metric, in every sample."""
    random = np.random.default_rng(seed)
    labels, probabilities = random.random(12) < 0.5, random.integers(0, 5, 12) / 4
    weights = random.integers(0, 3, (5, 12))
    for metric in (
        AUROC,
        Sensitivity(metric="sensitivity", operating_point=0.5),
        Specificity(metric="specificity", operating_point=0.5),
    ):
        found = metric.estimate(labels, probabilities, weights)
        repeated = [one(metric, np.repeat(labels, row), np.repeat(probabilities, row)) for row in weights]
        np.testing.assert_allclose(found, repeated, atol=1e-12)


def test_auroc_equals_scikit_learn():
    """Random labels with many ties, unweighted and weighted."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(3)
    for _ in range(20):
        labels, probabilities = random.random(60) < 0.3, random.integers(0, 10, 60) / 9
        weights = random.integers(0, 4, 60)
        labels[:2] = weights[:2] = [0, 1]
        weights[0] = 1
        assert one(AUROC, labels, probabilities) == pytest.approx(roc_auc_score(labels, probabilities), abs=1e-12)
        theirs = roc_auc_score(labels, probabilities, sample_weight=weights)
        assert one(AUROC, labels, probabilities, weights) == pytest.approx(theirs, abs=1e-12)


def test_the_operating_point_itself_is_positive():
    """Probability >= point: of positives .3 .5 .7 two are found, of negatives .4 .5 one is called negative."""
    labels, probabilities = [1, 1, 1, 0, 0], [0.3, 0.5, 0.7, 0.4, 0.5]
    assert one(Sensitivity(metric="sensitivity", operating_point=0.5), labels, probabilities) == 2 / 3
    assert one(Specificity(metric="specificity", operating_point=0.5), labels, probabilities) == 1 / 2


def test_sensitivity_and_specificity_are_undefined_without_their_class():
    """No positive, no sensitivity; no negative, no specificity."""
    assert np.isnan(one(Sensitivity(metric="sensitivity", operating_point=0.5), [0, 0], [0.1, 0.9]))
    assert np.isnan(one(Specificity(metric="specificity", operating_point=0.5), [1, 1], [0.1, 0.9]))


@pytest.mark.parametrize(
    ("labels", "probabilities", "weights", "message"),
    [
        ([True, False], [0.5, np.nan], np.ones((1, 2)), r"probabilities of rows \[1\] \(1 rows\) are not in \[0, 1\]"),
        ([True, False], [1.5, -0.1], np.ones((1, 2)), r"probabilities of rows \[0, 1\] \(2 rows\) are not in \[0, 1\]"),
        ([True, False], [0.5], np.ones((1, 2)), r"labels are bool \(2,\), probabilities \(1,\); bool \(n,\) and \(n,\)"),
        ([1, 2], [0.5, 0.5], np.ones((1, 2)), r"labels are int64 \(2,\), probabilities \(2,\); bool \(n,\) and \(n,\)"),
        ([True, False], [0.5, 0.5], np.ones((1, 3)), r"weights have shape \(1, 3\); they must be \(samples, 2\)"),
    ],
)
def test_labels_and_probabilities_that_do_not_fit_are_refused(labels, probabilities, weights, message):
    """NaN, values outside 0 to 1, labels that are no classes and unequal lengths never become a number."""
    with pytest.raises(ValueError, match=message):
        AUROC.estimate(np.array(labels), np.array(probabilities), weights)

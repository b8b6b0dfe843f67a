"""Whatever a model predicts, returning nothing instead is never better for it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tef.metrics import METRICS, MaskMetric, ProbabilityMetric, Undefined, worst_probability

ARGUMENTS = {
    "dice": [{"both_empty": 1.0}, {"both_empty": 0.0}],
    "hd95": [{"surface": "edge-voxels", "both_empty": 0.0, "one_empty": "diagonal"}],
    "nsd": [{"surface": "edge-voxels", "tolerance_mm": 2.0, "both_empty": 1.0}],
    "sensitivity": [{"operating_point": point} for point in (0.0, 0.5, 1.0)],
    "specificity": [{"operating_point": point} for point in (0.0, 0.5, 1.0)],
    "ece": [{"bins": bins, "binning": "equal-width"} for bins in (2, 10)],
}
EVERY = [kind.model_validate({"metric": key} | more) for key, kind in METRICS.items() for more in ARGUMENTS.get(key, [{}])]
OF_MASKS = [metric for metric in EVERY if isinstance(metric, MaskMetric)]
OF_PROBABILITIES = [metric for metric in EVERY if isinstance(metric, ProbabilityMetric)]


def not_better(metric, failed, true):
    """Whether the value with the failure is no better than that of the prediction, but for rounding."""
    return failed >= true - 1e-9 if metric.better == "lower" else failed <= true + 1e-9


@pytest.mark.parametrize("metric", OF_MASKS, ids=str)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_mask_is_worse_than_none(metric, seed):
    """Empty, scattered and all-filling masks, each against the value of a failed case."""
    random = np.random.default_rng(seed)
    prediction, reference = (random.random((4, 5, 3)) < random.choice([0, 0.02, 0.3, 0.9, 1]) for _ in range(2))
    spacing_mm = tuple(random.uniform(0.5, 4, size=3))
    true, worst = metric.score(prediction, reference, spacing_mm), metric.worst(reference, spacing_mm)
    assert isinstance(true, Undefined) == isinstance(worst, Undefined)
    assert isinstance(true, Undefined) or not_better(metric, worst, true)


@pytest.mark.parametrize("metric", OF_PROBABILITIES, ids=str)
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_no_probability_is_worse_than_none(metric, seed):
    """Any share of a cohort's cases fails, in any bootstrap sample."""
    random = np.random.default_rng(seed)
    labels, probabilities = random.random(30) < random.uniform(0.1, 0.9), random.random(30) ** random.choice([0.2, 1, 5])
    labels[:2] = True, False
    weights = np.vstack([np.ones(30), random.integers(1, 4, (5, 30))])
    failed = random.random(30) < random.uniform(0, 1)
    imputed = np.where(failed, [worst_probability(label) for label in labels], probabilities)
    true, worst = metric.estimate(labels, probabilities, weights), metric.estimate(labels, imputed, weights, failed)
    assert not_better(metric, worst, true).all()

"""From scores to estimates: the bootstrap, subgroups, differences and verdicts."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tef import statistics
from tef.benchmark import Criterion, Interval
from tef.metrics.calibration import ECE
from tef.metrics.classification import Auroc, Sensitivity, Specificity
from tef.score import Score
from tef.statistics import (
    decide,
    estimate_mean,
    estimate_probability,
    paired_difference,
    paired_probability_difference,
    weight_chunks,
    wilson,
)

INTERVAL = Interval(level=0.95, replicates=1000, seed=7)
METHOD = "95 % percentile interval of 1000 patient-clustered bootstrap replicates (seed 7)"
DICE = SimpleNamespace(key="dice", unit="1")
AUROC = Auroc(metric="auroc")
ECE_10 = ECE(metric="ece", bins=10, binning="equal-width")
SENSITIVITY = Sensitivity(metric="sensitivity", operating_point=0.5)
SPECIFICITY = Specificity(metric="specificity", operating_point=0.5)


def cluster_weights(patients, replicates, seed):
    """All bootstrap weights at once."""
    return np.concatenate(list(weight_chunks(patients, replicates, seed)))


def scores(values, metric="dice", failed=()):
    """A Score per value; a word in place of a number is the reason why there is none."""
    return [
        Score(
            case_id=str(index),
            metric=metric,
            label="tumour",
            unit="1",
            value=None if isinstance(value, str) else value,
            undefined=value if isinstance(value, str) else None,
            failure="TIMEOUT" if index in failed else None,
        )
        for index, value in enumerate(values)
    ]


def mean(values, patients=None, failed=(), **options):
    """Estimate of a mean; each value is a patient of its own unless said."""
    patients = patients or [f"p{index}" for index in range(len(values))]
    return estimate_mean(DICE, "tumour", scores(values, failed=failed), patients, INTERVAL, **options)


def probability_difference(metric, labels, a, b, patients, failed_a=()):
    """A minus B of a metric of probabilities."""
    rows = scores(a, "probability", failed_a), scores(b, "probability"), scores(labels, "reference")
    return paired_probability_difference(metric, *rows, patients, INTERVAL)


def probability(metric, labels, values, patients=None, failed=(), **options):
    """Estimate of a metric of probabilities, likewise."""
    patients = patients or [f"p{index}" for index in range(len(values))]
    pair = scores(values, "probability", failed), scores(labels, "reference")
    return estimate_probability(metric, "malignancy", *pair, patients, INTERVAL, **options)


# --- bootstrap weights


def test_whole_patients_are_drawn():
    """All cases of a patient weigh the same, and as many patients are drawn as there are."""
    patients = ["b", "a", "b", "c", "a", "b"]
    weights = cluster_weights(patients, 500, 1)
    assert weights.shape == (500, 6)
    first = [patients.index(name) for name in "abc"]
    np.testing.assert_array_equal(weights, weights[:, [first["abc".index(name)] for name in patients]])
    np.testing.assert_array_equal(weights[:, first].sum(axis=1), 3)
    assert weights[:, first].mean(axis=0) == pytest.approx(1, abs=0.1)
    assert weights[:, first].var(axis=0) == pytest.approx(2 / 3, abs=0.1)


def test_weights_depend_on_seed_and_patients_alone(monkeypatch):
    """Neither on the order of cases nor on how many samples are held in memory at a time."""
    patients = ["b", "a", "b", "c", "a"]
    weights = cluster_weights(patients, 50, 3)
    np.testing.assert_array_equal(cluster_weights(patients, 50, 3), weights)
    np.testing.assert_array_equal(cluster_weights(patients[::-1], 50, 3), weights[:, ::-1])
    assert (cluster_weights(patients, 50, 4) != weights).any()
    monkeypatch.setattr(statistics, "_CHUNK_WEIGHTS", 35)
    assert [len(chunk) for chunk in weight_chunks(patients, 50, 3)] == [7] * 7 + [1]
    np.testing.assert_array_equal(cluster_weights(patients, 50, 3), weights)


def test_a_seed_gives_the_same_weights_for_ever():
    """A report can be recomputed on another machine and another day."""
    assert cluster_weights(["a", "b", "c", "d"], 3, 2026).tolist() == [[2, 0, 1, 1], [1, 3, 0, 0], [0, 1, 1, 2]]


# --- estimates of means


def test_a_mean_and_its_interval_equal_a_plain_loop():
    """The same draws, case by case, patient by patient."""
    random = np.random.default_rng(0)
    values, patients = random.random(15).tolist(), [f"p{index % 6}" for index in range(15)]
    estimate = mean(values, patients)
    names, means = sorted(set(patients)), []
    generator = np.random.default_rng(INTERVAL.seed)
    for _ in range(INTERVAL.replicates):
        drawn = [names[index] for index in generator.integers(0, len(names), len(names))]
        sample = [value for name in drawn for value, patient in zip(values, patients, strict=True) if patient == name]
        means.append(sum(sample) / len(sample))
    assert estimate.value == pytest.approx(sum(values) / 15)
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(means, [0.025, 0.975])))
    assert (estimate.n_used, estimate.n_total, estimate.n_patients) == (15, 15, 6)
    assert estimate.method == f"mean over cases; {METHOD}"


def test_undefined_and_failed_cases_are_counted():
    """They are named with their reasons and stay in the denominator."""
    values = [0.5, "both empty", 0.7, "both empty", "excluded: TIMEOUT", 0.0]
    estimate = mean(values, failed=(4, 5))
    assert estimate.value == pytest.approx(0.4)
    assert (estimate.n_used, estimate.n_total, estimate.n_patients, estimate.n_failed) == (3, 6, 3, 2)
    assert estimate.undefined == {"both empty": 2, "excluded: TIMEOUT": 1}


@pytest.mark.parametrize(
    ("values", "patients", "options", "value", "reason"),
    [
        ([], None, {}, None, "no case"),
        (["both empty"], None, {}, None, "no case has a value"),
        ([0.5, 0.6, 0.7], ["a", "a", "b"], {"min_patients": 3}, None, "fewer than 3 patients"),
        ([0.5], None, {}, 0.5, "no interval: one patient"),
        ([0.5, 0.7], ["a", "a"], {}, 0.6, "no interval: one patient"),
    ],
)
def test_what_cannot_be_estimated_says_why(values, patients, options, value, reason):
    """Too few cases give no value or no interval, and never a made-up one."""
    estimate = mean(values, patients, subgroup="sex=F", **options)
    assert (estimate.low, estimate.high, estimate.reason, estimate.subgroup) == (None, None, reason, "sex=F")
    assert estimate.value == (None if value is None else pytest.approx(value))


def test_an_interval_of_no_width_is_explained():
    """Equal values give an interval of one point; the method says what that is worth."""
    estimate = mean([0.5, 0.5, 0.5])
    assert (estimate.low, estimate.high, estimate.reason) == (0.5, 0.5, None)
    assert estimate.method == f"mean over cases; {METHOD}; all of them agree, which says little about other patients"


def test_the_interval_covers_the_truth_about_as_often_as_it_claims():
    """Patients with three alike cases each: clustered intervals cover, intervals that ignore patients are far too narrow."""
    random = np.random.default_rng(5)
    interval = Interval(level=0.95, replicates=200, seed=1)
    covered = {"clustered": 0, "by case": 0}
    rounds = 250
    for _ in range(rounds):
        values = scores((0.5 + np.repeat(random.normal(0, 0.1, 40), 3) + random.normal(0, 0.02, 120)).tolist())
        for name, patients in [("clustered", [str(i // 3) for i in range(120)]), ("by case", [str(i) for i in range(120)])]:
            estimate = estimate_mean(DICE, "tumour", values, patients, interval)
            covered[name] += estimate.low <= 0.5 <= estimate.high
    assert 0.89 <= covered["clustered"] / rounds <= 0.98
    assert covered["by case"] / rounds < 0.82


# --- estimates of probabilities


def test_auroc_and_its_interval_equal_a_loop_over_scikit_learn():
    """The same weights, sample by sample."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(2)
    labels, values = (random.random(80) < 0.4).astype(int), np.round(random.random(80), 1)
    patients = [f"p{index % 30}" for index in range(80)]
    estimate = probability(AUROC, labels.tolist(), values.tolist(), patients)
    weights = cluster_weights(patients, INTERVAL.replicates, INTERVAL.seed)
    loop = [roc_auc_score(labels, values, sample_weight=row) for row in weights]
    assert estimate.value == pytest.approx(roc_auc_score(labels, values))
    assert (estimate.low, estimate.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    assert (estimate.metric, estimate.label, estimate.method) == ("auroc", "malignancy", f"over cases; {METHOD}")


def test_excluded_cases_leave_the_estimate_but_not_the_count():
    """A case without a probability is not used; its label does not count either."""
    estimate = probability(AUROC, [0, 1, 1, 0, 1], [0.2, 0.3, 0.9, 0.4, "excluded: TIMEOUT"])
    assert (estimate.value, estimate.n_used, estimate.n_total) == (3 / 4, 4, 5)
    assert estimate.undefined == {"excluded: TIMEOUT": 1}


def test_one_class_is_undefined_with_a_reason():
    """Never 0, never NaN."""
    estimate = probability(AUROC, [0, 0, 0], [0.1, 0.2, 0.3])
    assert (estimate.value, estimate.low, estimate.reason) == (None, None, "undefined: needs cases of both classes")


def test_undefined_replicates_are_left_out_and_counted():
    """Three positives among 20 patients: a few samples hold none."""
    estimate = probability(SENSITIVITY, [1] * 3 + [0] * 17, [0.9, 0.1, 0.9] + [0.2] * 17)
    weights = cluster_weights([f"p{index}" for index in range(20)], INTERVAL.replicates, INTERVAL.seed)
    missing = int((weights[:, :3].sum(axis=1) == 0).sum())
    assert 0 < missing < 100
    assert estimate.method == f"over cases; {METHOD}, {missing} of them undefined and left out"
    assert (estimate.low, estimate.high) == (0, 1)


def test_too_many_undefined_replicates_give_no_interval():
    """Two positives among twelve patients: about 11 % of all samples hold neither, more than the tenth that is let pass."""
    estimate = probability(SENSITIVITY, [1] * 2 + [0] * 10, [0.9] + [0.1] * 11)
    weights = cluster_weights([f"p{index}" for index in range(12)], INTERVAL.replicates, INTERVAL.seed)
    missing = int((weights[:, :2].sum(axis=1) == 0).sum())
    assert 100 < missing < 150
    assert (estimate.value, estimate.low, estimate.high) == (0.5, None, None)
    assert estimate.reason == f"no interval: undefined in {missing} of 1000 bootstrap replicates"


def test_a_perfect_proportion_still_has_an_uncertainty():
    """20 of 20 found says no more than that sensitivity is above .84; the bootstrap alone would claim certainty."""
    labels, values = [1] * 20 + [0] * 30, [0.9] * 20 + [0.1] * 29 + [0.8]
    estimate = probability(SENSITIVITY, labels, values)
    assert (estimate.value, estimate.low, estimate.high) == (1, pytest.approx(0.8389, abs=1e-4), 1)
    assert estimate.method == "over cases; all bootstrap replicates agree, so 95 % Wilson interval of 20 patients"
    never = probability(SPECIFICITY, [0] * 10 + [1] * 10, [0.9] * 20)
    assert (never.value, never.low, never.high) == (0, 0, pytest.approx(0.2775, abs=1e-4))
    perfect = probability(AUROC, [0] * 5 + [1] * 5, [0.1] * 5 + [0.9] * 5)
    assert (perfect.value, perfect.low) == (1, 1)
    assert "all of them agree, which says little about other patients" in perfect.method


def test_patients_not_cases_are_the_trials_of_a_perfect_proportion():
    """Twenty images of four patients are four trials."""
    estimate = probability(SENSITIVITY, [1] * 20, [0.9] * 20, [f"p{index % 4}" for index in range(20)])
    assert estimate.low == pytest.approx(wilson(4, 4, 0.95)[0])


def test_failing_does_not_improve_calibration():
    """Ten positives at .5 have an ECE of .136 with the rest; failing on all of them is a gap of 1 each, and cancels none."""
    labels, values = [0] * 100 + [1] * 10, [0.1] * 100 + [0.5] * 10
    assert probability(ECE_10, labels, values).value == pytest.approx((10 + 5) / 110)
    imputed = [0.1] * 100 + [0.0] * 10
    failed = probability(ECE_10, labels, imputed, failed=range(100, 110))
    assert failed.value == pytest.approx((10 + 10) / 110)
    assert failed.low < failed.value < failed.high
    everything = probability(ECE_10, labels, imputed, failed=range(110))
    assert (everything.value, everything.n_failed) == (1, 110)


# --- paired differences


def test_a_difference_is_paired():
    """B is .1 below A everywhere but for a little noise: the interval is far narrower than either mean's."""
    random = np.random.default_rng(1)
    a = random.random(40)
    b = a - 0.1 + random.normal(0, 0.01, 40)
    patients = [f"p{index // 2}" for index in range(40)]
    difference = paired_difference(a.tolist(), b.tolist(), patients, INTERVAL)
    assert difference.value == pytest.approx((a - b).mean())
    assert 0.09 < difference.low < difference.value < difference.high < 0.11
    assert (difference.share_above_zero, difference.n_used, difference.n_patients) == (1.0, 40, 20)
    turned = paired_difference(b.tolist(), a.tolist(), patients, INTERVAL)
    assert (turned.low, turned.high, turned.share_above_zero) == pytest.approx((-difference.high, -difference.low, 0))


def test_cases_that_one_model_lacks_are_left_out_of_a_difference():
    """Both means are over the same cases."""
    difference = paired_difference([0.5, None, 0.9, 0.4], [0.4, 0.3, None, 0.2], list("abcd"), INTERVAL)
    assert (difference.value, difference.n_used, difference.n_total) == (pytest.approx(0.15), 2, 4)
    nothing = paired_difference([None], [0.5], ["a"], INTERVAL)
    assert (nothing.value, nothing.reason) == (None, "no case has a value of both")


def test_identical_models_differ_by_nothing():
    """Neither is above the other, and the interval of no width is explained."""
    labels, values = [0, 1, 0, 1, 1], [0.2, 0.6, 0.5, 0.4, 0.9]
    difference = probability_difference(AUROC, labels, values, values, list("abcde"))
    assert (difference.value, difference.low, difference.high, difference.share_above_zero) == (0, 0, 0, 0.5)
    assert difference.method.endswith("; all of them agree, which says little about other patients")


def test_a_difference_of_aurocs_uses_the_same_samples_for_both():
    """Equal to a loop over scikit-learn with shared weights."""
    from sklearn.metrics import roc_auc_score

    random = np.random.default_rng(4)
    labels = (random.random(60) < 0.5).astype(int)
    a, b = np.clip(labels * 0.2 + random.random(60) * 0.8, 0, 1), random.random(60)
    patients = [f"p{index // 2}" for index in range(60)]
    difference = probability_difference(AUROC, labels.tolist(), a.tolist(), b.tolist(), patients)
    weights = cluster_weights(patients, INTERVAL.replicates, INTERVAL.seed)
    loop = [roc_auc_score(labels, a, sample_weight=w) - roc_auc_score(labels, b, sample_weight=w) for w in weights]
    assert (difference.low, difference.high) == pytest.approx(tuple(np.quantile(loop, [0.025, 0.975])))
    assert difference.share_above_zero == np.mean(np.array(loop) > 0)


def test_cases_on_which_one_model_failed_count_as_such_in_a_difference():
    """Of A alone: its failed case is a gap of 1, the same probability of B cancels within its bin."""
    labels, values, patients = [1, 0, 0, 0], [0.0, 0.1, 0.1, 0.1], list("abcd")
    difference = probability_difference(ECE_10, labels, values, values, patients, failed_a=[0])
    assert difference.value == pytest.approx((1 + 0.3) / 4 - (1 - 0.3) / 4)


# --- proportions


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        (81, 263, (0.2553, 0.3662)),
        (0.5, 1, (0.0546, 0.9454)),
        (0, 10, (0.0, 0.2775)),
        (10, 10, (0.7225, 1.0)),
        (1, 2, (0.0945, 0.9055)),
    ],
)
def test_wilson_equals_published_values(successes, trials, expected):
    """81 of 263 is Newcombe's example (1998); the ends stay in 0..1."""
    assert wilson(successes, trials, 0.95) == pytest.approx(expected, abs=5e-5)


def test_wilson_equals_the_golden_values():
    """R's prop.test without correction."""
    golden = Path(__file__).parents[1] / "../shared/data/metrics-golden.json"
    if not golden.is_file():
        pytest.skip(f"{golden} is not here")
    cases = [case for case in json.loads(golden.read_text())["cases"] if case["id"].startswith("proportion_wilson")]
    assert cases
    for case in cases:
        found = wilson(case["inputs"]["successes"], case["inputs"]["n"], 0.95)
        assert found == pytest.approx(tuple(case["expected"]["ci"]), abs=1e-6)


@pytest.mark.parametrize(("successes", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_no_proportion_no_interval(successes, trials):
    """Nothing of nothing is not 0 %."""
    with pytest.raises(ValueError, match=f"^{successes} of {trials} is no proportion$"):
        wilson(successes, trials, 0.95)


# --- subgroups


def estimate_of(value, low, high, reason=None, unit="1"):
    """What a verdict reads of an estimate."""
    return SimpleNamespace(value=value, low=low, high=high, level=0.95, unit=unit, reason=reason)


@pytest.mark.parametrize(
    ("bound", "estimate", "met", "text"),
    [
        (
            {"at_least": 0.7},
            estimate_of(0.75, 0.7, 0.8),
            "met",
            "dice at least 0.7: met; 0.75 (95 % interval 0.7 to 0.8)",
        ),
        (
            {"at_least": 0.7},
            estimate_of(0.75, 0.69, 0.8),
            "inconclusive",
            "dice at least 0.7: inconclusive; 0.75 (95 % interval 0.69 to 0.8)",
        ),
        (
            {"at_least": 0.7, "subgroup": "sex=F"},
            estimate_of(0.5, 0.4, 0.6),
            "not met",
            "dice of sex=F at least 0.7: not met; 0.5 (95 % interval 0.4 to 0.6)",
        ),
        (
            {"at_most": 10},
            estimate_of(8, 6, 10, unit="mm"),
            "met",
            "dice at most 10: met; 8 (95 % interval 6 to 10 mm)",
        ),
        (
            {"at_most": 10},
            estimate_of(12.3456, 10.5, 14, unit="mm"),
            "not met",
            "dice at most 10: not met; 12.35 (95 % interval 10.5 to 14 mm)",
        ),
        (
            {"at_most": 10},
            estimate_of(10, 9, 11, unit="mm"),
            "inconclusive",
            "dice at most 10: inconclusive; 10 (95 % interval 9 to 11 mm)",
        ),
        (
            {"at_least": 0.7},
            estimate_of(0.9, None, None, "no interval: one patient"),
            "inconclusive",
            "dice at least 0.7: inconclusive; no interval: one patient",
        ),
        (
            {"at_least": 0.7},
            estimate_of(None, None, None, "fewer than 5 patients"),
            "inconclusive",
            "dice at least 0.7: inconclusive; fewer than 5 patients",
        ),
        (
            {"at_least": 0.7, "subgroup": "sex=X"},
            None,
            "inconclusive",
            "dice of sex=X at least 0.7: inconclusive; the cohort has no such subgroup",
        ),
    ],
)
def test_a_bound_is_held_against_the_whole_interval(bound, estimate, met, text):
    """A good value with a wide interval is not enough, and a missing interval is never a pass."""
    decision = decide(Criterion(metric="dice", **bound), estimate)
    assert (decision.met, decision.text) == (met, text)

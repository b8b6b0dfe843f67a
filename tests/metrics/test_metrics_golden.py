"""Every metric against values that were published, or computed by the field's own tools."""

import json
from pathlib import Path

import numpy as np
import pytest

from tef.metrics import METRICS

GOLDEN = Path(__file__).parents[2] / "../shared/data/metrics-golden.json"
CASES = {case["id"]: case for case in json.loads(GOLDEN.read_text())["cases"]} if GOLDEN.is_file() else {}
if not CASES:
    pytest.skip(f"{GOLDEN} is not here", allow_module_level=True)


def build(kind, **arguments):
    """A metric as a protocol entry would give it."""
    return METRICS[kind].model_validate({"metric": kind, **arguments})


def mask(spec, inputs):
    """From boxes, or a sphere in a cube of n^3 voxels."""
    if "radius_mm" in spec:
        axes = np.ogrid[tuple(slice(0, inputs["n"]) for _ in range(3))]
        steps_mm = [(axis - c) * s for axis, c, s in zip(axes, spec["centre"], inputs["spacing"], strict=True)]
        return sum(step**2 for step in steps_mm) <= spec["radius_mm"] ** 2
    array = np.zeros(spec["shape"], dtype=bool)
    for box, value in spec["boxes"]:
        array[tuple(slice(*ends) for ends in box)] = bool(value)
    return array


SURFACES = [name for name, case in CASES.items() if "monai.hd95" in case["expected"]]


@pytest.mark.parametrize("name", SURFACES)
def test_segmentation_metrics_equal_the_published_values(name):
    """Dice, HD95 and NSD as MONAI and Metrics Reloaded compute them; one-sided empties as tef's protocol entry says."""
    inputs, expected, tolerance = CASES[name]["inputs"], CASES[name]["expected"], CASES[name]["tol"]
    masks = mask(inputs["pred"], inputs), mask(inputs["ref"], inputs)
    spacing_mm = inputs["spacing"]
    dice = build("dice", both_empty=1.0).score(*masks, spacing_mm)
    hd95 = build("hd95", surface="edge-voxels", both_empty=0.0, one_empty="diagonal").score(*masks, spacing_mm)
    nsd = build("nsd", surface="edge-voxels", tolerance_mm=inputs["tau"], both_empty=1.0).score(*masks, spacing_mm)
    assert dice == pytest.approx(expected["metrics_reloaded.dice"], abs=tolerance)
    assert nsd == pytest.approx(expected["metrics_reloaded.nsd"], abs=tolerance)
    if masks[0].any() == masks[1].any():
        assert hd95 == pytest.approx(expected["metrics_reloaded.hd95"], abs=tolerance)
    else:
        assert hd95 == pytest.approx(np.linalg.norm(np.multiply(masks[0].shape, spacing_mm)))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "y" in case["inputs"] and "score" in case["inputs"]])
def test_auroc_equals_the_published_values(name):
    """Scores are brought to 0..1 by their rank, which changes no AUROC; one class is undefined."""
    inputs, expected = CASES[name]["inputs"], CASES[name]["expected"]
    assert auroc(inputs["y"], inputs["score"]) == pytest.approx(float(expected["auroc"]), abs=1e-9, nan_ok=True)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "auroc_a" in case["expected"]])
def test_auroc_of_two_models_equals_proc(name):
    """pROC, MLstatkit and scikit-learn agree on these."""
    inputs, expected = CASES[name]["inputs"], CASES[name]["expected"]
    for model in "ab":
        assert auroc(inputs["y"], inputs[f"score_{model}"]) == pytest.approx(expected[f"auroc_{model}"], abs=1e-9)


def auroc(labels, scores):
    """Of scores of any scale."""
    ranks = np.unique(np.array(scores), return_inverse=True)[1]
    return build("auroc").estimate(np.array(labels) == 1, ranks / len(ranks), np.ones((1, len(ranks))))[0]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case["category"] == "counting"])
def test_sensitivity_and_specificity_equal_the_published_values(name):
    """From the four counts of a table."""
    counts, expected = CASES[name]["inputs"], CASES[name]["expected"]
    table = [(True, 0.9, "tp"), (False, 0.9, "fp"), (True, 0.1, "fn"), (False, 0.1, "tn")]
    labels = np.repeat([label for label, _, _ in table], [counts[cell] for _, _, cell in table])
    probabilities = np.repeat([probability for _, probability, _ in table], [counts[cell] for _, _, cell in table])
    for kind in ("sensitivity", "specificity"):
        value = build(kind, operating_point=0.5).estimate(labels, probabilities, np.ones((1, len(labels))))[0]
        assert value == pytest.approx(expected[kind], abs=1e-9)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if {"y", "p"} <= case["inputs"].keys()])
def test_calibration_equals_the_published_values(name):
    """Brier and ECE as the field's tools compute them."""
    inputs, expected, tolerance = CASES[name]["inputs"], CASES[name]["expected"], CASES[name]["tol"]
    labels, probabilities = np.array(inputs["y"]) == 1, np.array(inputs["p"], dtype=float)
    weights = np.ones((1, len(labels)))
    brier = expected.get("brier", expected.get("brier_binary_sklearn"))
    assert build("brier").estimate(labels, probabilities, weights)[0] == pytest.approx(brier, abs=tolerance)
    if "ece" in expected:
        metric = build("ece", bins=inputs["bins"], binning="equal-width")
        assert metric.estimate(labels, probabilities, weights)[0] == pytest.approx(expected["ece"], abs=tolerance)

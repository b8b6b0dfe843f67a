"""From a protocol's entries to metrics, and what the author of a wrong protocol reads."""

from pathlib import Path

import pytest

from tef.benchmark import Benchmark
from tef.errors import ProtocolError
from tef.metrics import METRICS, build_metrics, worst_probability

DICE = {"metric": "dice", "both_empty": 1.0}
HD95 = {"metric": "hd95", "surface": "edge-voxels", "both_empty": 0.0, "one_empty": "diagonal"}
NSD = {"metric": "nsd", "surface": "edge-voxels", "tolerance_mm": 2.0, "both_empty": 1.0}
SEGMENTATION = [DICE, HD95, NSD, {"metric": "absolute-volume-difference"}, {"metric": "relative-volume-difference"}]
CLASSIFICATION = [
    {"metric": "auroc"},
    {"metric": "sensitivity"},
    {"metric": "specificity"},
    {"metric": "brier"},
    {"metric": "ece", "bins": 10, "binning": "equal-width"},
]
LIMITS = dict.fromkeys(
    [
        "memory_mb",
        "shm_mb",
        "tmp_mb",
        "cpus",
        "pids",
        "open_files",
        "startup_timeout_s",
        "case_timeout_s",
        "output_mb",
        "log_mb",
    ],
    1,
)


def protocol(metrics, task="segmentation", primary=None, acceptance=None):
    """A benchmark that is complete but for what a test is about."""
    kind = "mask" if task == "segmentation" else "probability"
    first = str(metrics[0].get("metric", "dice"))
    return Benchmark.model_validate(
        {
            "schema_version": 1,
            "name": "toy",
            "version": 1,
            "title": "",
            "question": "",
            "task": task,
            "cohort": {"name": "toy", "sha256": "0" * 64},
            "interface": {
                "inputs": {"ct": {"kind": "nifti", "description": ""}},
                "outputs": {"tumour": {"kind": kind, "description": ""}},
            },
            "reference_standard": "",
            "metrics": metrics,
            "primary": primary or first,
            "operating_point": None if task == "segmentation" else 0.4,
            "subgroups": [
                {"name": "sex", "attribute": "sex"},
                {"name": "tumour volume", "attribute": "volume_ml", "cuts": [50, 200], "unit": "ml"},
            ],
            "min_subgroup_patients": 5,
            "acceptance": acceptance or [{"metric": primary or first, "at_least": 0.5}],
            "on_failure": "worst",
            "interval": {"level": 0.95, "replicates": 100, "seed": 1},
            "limits": LIMITS,
            "folder": Path("toy"),
        }
    )


def test_every_metric_is_built_from_its_entry():
    """All ten, in the protocol's order, each with unit, direction and a definition."""
    built = build_metrics(protocol(SEGMENTATION)) + build_metrics(protocol(CLASSIFICATION, "classification"))
    assert [metric.key for metric in built] == list(METRICS)
    assert [metric.unit for metric in built] == ["1", "mm", "1", "ml", "1", "1", "1", "1", "1", "1"]
    assert [metric.key for metric in built if metric.better == "lower"] == [
        "hd95",
        "absolute-volume-difference",
        "relative-volume-difference",
        "brier",
        "ece",
    ]


def test_definitions_name_every_argument():
    """A reader of the report sees what was computed."""
    definitions = {metric.key: metric.definition for metric in build_metrics(protocol(SEGMENTATION))}
    assert definitions["hd95"] == (
        "HD95: larger of the two directed 95th percentiles (linear interpolation) between edge voxels "
        "(6-neighbour erosion), mm; both empty: 0.0, one empty: image diagonal"
    )
    assert definitions["nsd"] == (
        "NSD at 2 mm: edge voxels (6-neighbour erosion) of both masks at most 2 mm from the other's, over all edge voxels; "
        "both empty: 1.0, one empty: 0"
    )


def test_one_kind_can_be_used_twice_under_two_names():
    """Two tolerances of NSD stand side by side."""
    built = build_metrics(protocol([NSD, NSD | {"name": "nsd-5mm", "tolerance_mm": 5}]))
    assert [metric.key for metric in built] == ["nsd", "nsd-5mm"]


def test_the_operating_point_comes_from_the_protocol():
    """Sensitivity and specificity share the one point that the protocol gives."""
    built = build_metrics(protocol(CLASSIFICATION, "classification"))
    assert [metric.operating_point for metric in built[1:3]] == [0.4, 0.4]


def test_bounds_may_name_values_and_bands_of_subgroups():
    """A band is spelled as in the report; a value that only the cohort knows is taken as it is."""
    bounds = [{"metric": "dice", "subgroup": group, "at_least": 0.5} for group in ("sex=F", "tumour volume=50 to <200 ml")]
    assert build_metrics(protocol([DICE], acceptance=bounds))[0].key == "dice"


BOUND = {"metric": "dice", "at_least": 0.5}


@pytest.mark.parametrize(
    ("metrics", "changes", "message"),
    [
        ([DICE, DICE | {"metric": "dcie"}], {}, "metrics.1: unknown metric 'dcie'; did you mean 'dice'?"),
        ([{"metric": "zzz"}], {"primary": "dice"}, f"metrics.0: unknown metric 'zzz'; known are {', '.join(METRICS)}"),
        ([{"both_empty": 1.0}], {"primary": "dice"}, f"metrics.0: 'metric' is missing; known are {', '.join(METRICS)}"),
        ([{"metric": "dice"}], {}, "metrics.0.both_empty: is missing; it has no default"),
        ([DICE | {"both_emty": 1.0}], {}, "metrics.0.both_emty: unknown key; did you mean 'both_empty'?"),
        ([NSD | {"tolerance_mm": -1}], {}, "metrics.0.tolerance_mm: Input should be greater than or equal to 0 (got -1)"),
        ([HD95 | {"one_empty": "zero"}], {}, "metrics.0.one_empty: Input should be 'diagonal' or 'undefined' (got 'zero')"),
        ([DICE, DICE], {}, "metrics.1: a second metric 'dice'; give it its own 'name'"),
        (
            [DICE, {"metric": "auroc"}],
            {},
            "metrics.1: 'auroc' is a metric of classification; this benchmark's task is segmentation",
        ),
        (
            [{"metric": "sensitivity", "operating_point": 0.5}],
            {"task": "classification"},
            "metrics.0.operating_point: is given once, at the top of the protocol; remove the line",
        ),
        ([DICE], {"primary": "dise"}, "primary: unknown metric 'dise'; did you mean 'dice'?"),
        ([DICE], {"acceptance": [BOUND | {"metric": "nsd"}]}, "acceptance.0.metric: unknown metric 'nsd'; known are dice"),
        (
            [DICE],
            {"acceptance": [BOUND, BOUND | {"subgroup": "sexx=F"}]},
            "acceptance.1.subgroup: 'sexx=F' is no name=value of a declared subgroup; did you mean 'sex'?",
        ),
        (
            [DICE],
            {"acceptance": [BOUND | {"subgroup": "sex"}]},
            "acceptance.0.subgroup: 'sex' is no name=value of a declared subgroup; did you mean 'sex'?",
        ),
        (
            [DICE],
            {"acceptance": [BOUND | {"subgroup": "tumour volume=<50"}]},
            "acceptance.0.subgroup: '<50' is no band of 'tumour volume'; did you mean '<50 ml'?",
        ),
    ],
)
def test_a_wrong_protocol_is_told_where_and_what(metrics, changes, message):
    """File, key, what is wrong and the nearest right word."""
    with pytest.raises(ProtocolError) as error:
        build_metrics(protocol(metrics, **changes))
    assert str(error.value) == f"toy/protocol.yaml: {message}"


@pytest.mark.parametrize("value", [True, "one", 2.0, float("nan")])
def test_both_empty_is_a_number_from_0_to_1_or_undefined(value):
    """Neither a truth value nor a word slips through as a number."""
    with pytest.raises(ProtocolError) as error:
        build_metrics(protocol([DICE | {"both_empty": value}]))
    wrong = f"must be a number from 0 to 1 or 'undefined' (got {value!r})"
    assert str(error.value) == f"toy/protocol.yaml: metrics.0.both_empty: {wrong}"


def test_a_failed_case_counts_as_the_most_wrong_probability():
    """1 for a negative, 0 for a positive."""
    assert [worst_probability(0), worst_probability(1)] == [1.0, 0.0]

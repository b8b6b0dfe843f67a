"""Reports of invented runs, computed by the product from invented scores."""

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tef.benchmark import Benchmark
from tef.cohort import Case, Cohort
from tef.curves import reliability_curve, roc_curve
from tef.metrics import build_metrics
from tef.report import CaseResult, Finding, Report
from tef.score import Score
from tef.scoring import estimate_all
from tef.statistics import decide, wilson
from tef.subgroups import subgroup_labels
from tef.submission import Submission

Build = Callable[..., Report]

LIMITS = {
    "memory_mb": 2048, "shm_mb": 256, "tmp_mb": 512, "cpus": 1, "pids": 128, "open_files": 4096,
    "startup_timeout_s": 120, "case_timeout_s": 60, "output_mb": 64, "log_mb": 4,
}  # fmt: skip
COMMON = {
    "schema_version": 1,
    "version": 1,
    "min_subgroup_patients": 3,
    "on_failure": "worst",
    "interval": {"level": 0.95, "replicates": 300, "seed": 20260101},
    "limits": LIMITS,
}
SEGMENTATION = COMMON | {
    "name": "liver-tumour-seg",
    "title": "Liver tumours on portal-venous CT",
    "question": "How well does the model outline liver tumours on portal-venous CT, compared with two radiologists?",
    "task": "segmentation",
    "cohort": {"name": "liver-ct", "sha256": "c" * 64},
    "interface": {
        "inputs": {"ct": {"kind": "dicom-series", "description": "Portal-venous CT, one series."}},
        "outputs": {"tumour": {"kind": "mask", "description": "All tumour voxels, on the grid of the CT."}},
    },
    "reference_standard": "Tumours drawn by two radiologists with 9 and 15 years of experience, in consensus.",
    "metrics": [
        {"metric": "dice", "both_empty": 1.0},
        {"metric": "hd95", "surface": "edge-voxels", "both_empty": 0.0, "one_empty": "undefined"},
        {"metric": "nsd", "surface": "edge-voxels", "tolerance_mm": 2.0, "both_empty": 1.0},
        {"metric": "absolute-volume-difference"},
        {"metric": "relative-volume-difference"},
    ],
    "primary": "dice",
    "subgroups": [
        {"name": "sex", "attribute": "sex"},
        {"name": "age", "attribute": "age_years", "cuts": [50, 65], "unit": "years"},
        {"name": "manufacturer", "attribute": "manufacturer"},
    ],
    "acceptance": [{"metric": "dice", "at_least": 0.6}, {"metric": "hd95", "at_most": 12}, {"metric": "nsd", "at_least": 0.75}],
}
CLASSIFICATION = COMMON | {
    "name": "breast-malignancy",
    "title": "Malignant or not on breast ultrasound",
    "question": "How well does the model's probability tell malignant breast lesions from benign ones?",
    "task": "classification",
    "cohort": {"name": "breast-us", "sha256": "c" * 64},
    "interface": {
        "inputs": {"image": {"kind": "png", "description": "Breast ultrasound, 8-bit grey."}},
        "outputs": {"malignancy": {"kind": "probability", "description": "Probability that the lesion is malignant."}},
    },
    "reference_standard": "Histopathology of the lesion, malignant (1) or benign (0).",
    "metrics": [
        {"metric": "auroc"},
        {"metric": "sensitivity"},
        {"metric": "specificity"},
        {"metric": "brier"},
        {"metric": "ece", "bins": 10, "binning": "equal-width"},
    ],
    "primary": "auroc",
    "operating_point": 0.5,
    "subgroups": [{"name": "age", "attribute": "age_years", "cuts": [50], "unit": "years"}],
    "acceptance": [{"metric": "auroc", "at_least": 0.8}, {"metric": "ece", "at_most": 0.2}],
}
SUBMISSION = {
    "schema_version": 1,
    "name": "acme-net",
    "version": "2.4.1",
    "image": "registry.example.org/acme/net:2.4.1",
    "contract": "tef",
    "resources": {"gpus": 0, "memory_mb": 2048},
    "intended_use": "Decision support for radiologists in adults. Not for use without a radiologist's review.",
    "training_data": {"description": "1,204 examinations of 3 hospitals, 2014 to 2021; none of the cohort's hospital."},
    "contact": "ai@example.org",
}
CARD = {
    "name": "liver-ct",
    "version": "1.0.0",
    "title": "Held-out examinations of one university hospital, 2019 to 2022",
    "dct:license": "https://creativecommons.org/licenses/by/4.0/",
    "eucaim:hasImageModality": ["CT"],
    "healthdcatap:minTypicalAge": 31,
    "notes": ["One hospital: results may differ elsewhere."],
}
FINDINGS = (
    Finding("note", "run", "The run was interrupted and resumed: 2 sessions. No case ran twice."),
    Finding("warning", "cohort", "All cases are of one hospital."),
)


@pytest.fixture(scope="session")
def segmentation() -> Build:
    """Builds the report of a segmentation run; see `build`."""
    return lambda **changes: build(SEGMENTATION, **changes)


@pytest.fixture(scope="session")
def classification() -> Build:
    """Builds the report of a classification run; see `build`."""
    return lambda **changes: build(CLASSIFICATION, **changes)


def build(
    protocol: Mapping[str, Any],
    *,
    n_cases: int = 40,
    failed: Mapping[int, str] | None = None,
    submission: Mapping[str, Any] | None = None,
    findings: tuple[Finding, ...] = FINDINGS,
    card: Mapping[str, Any] | None = None,
    skill: float = 1.0,
    **changes: Any,
) -> Report:
    """A report of invented scores; ``changes`` replace keys of the protocol.

    Args:
        failed: Number of a case to its failure code.
        submission: Replaces keys of the submission.
        card: Replaces keys of the cohort's card.
        skill: Of the model; 0 is chance.
    """
    failed = {4: "TIMEOUT", 11: "WRONG_GEOMETRY"} if failed is None else failed
    benchmark = Benchmark.model_validate({**protocol, **changes, "sha256": "b" * 64})
    declared = Submission.model_validate({**SUBMISSION, **(submission or {}), "sha256": "5" * 64})
    metrics = build_metrics(benchmark)
    cases = [_case(i, benchmark.output) for i in range(n_cases)]
    cohort = Cohort(Path(), {**CARD, **(card or {})}, tuple(cases), "c" * 64)
    random = np.random.default_rng(7)
    scores = [s for i, case in enumerate(cases) for s in _scores(benchmark, i, case, failed.get(i), random, skill)]
    groups = subgroup_labels(benchmark.subgroups, [case.attributes for case in cases])
    estimates = estimate_all(benchmark, metrics, cohort, scores, groups)
    by_key = {(e.metric, e.subgroup): e for e in estimates}
    decisions = tuple(decide(c, by_key.get((c.metric, c.subgroup))) for c in benchmark.acceptance)
    low, high = wilson(len(failed), n_cases, 0.95)
    results = []
    for i, case in enumerate(cases):
        own = [s for s in scores if s.case_id == case.case_id]
        results.append(
            CaseResult(
                case=case.case_id,
                outcome=failed.get(i, "ok"),
                scores={s.metric: s.value for s in own},
                undefined={s.metric: s.undefined for s in own if s.undefined is not None},
                groups=tuple(name for group in groups.values() for name, member in group if member[i]),
                model_s=None if i in failed else 0.8 + 0.01 * i,
                total_s=1.0 + 0.01 * i,
            )
        )
    return Report(
        schema_version=1,
        run=_run(),
        benchmark=benchmark.model_dump(mode="json") | {"sha256": benchmark.sha256},
        submission=declared.model_dump(mode="json") | {"sha256": declared.sha256},
        cohort={
            "card": cohort.card,
            "sha256": cohort.sha256,
            "n_cases": n_cases,
            "n_patients": len({c.patient_id for c in cases}),
        },
        flow={
            "n_total": n_cases,
            "n_predicted": n_cases - len(failed),
            "n_failed": len(failed),
            "failures": dict(sorted(Counter(failed.values()).items())),
            "failure_rate": {"value": len(failed) / n_cases, "low": low, "high": high, "level": 0.95, "method": "Wilson"},
            "model_s_median": 0.9871 if len(failed) < n_cases else None,
            "harness_s_median": 0.1204 if len(failed) < n_cases else None,
        },
        accepted=all(d.met == "met" for d in decisions),
        decisions=decisions,
        findings=findings,
        definitions={metric.key: metric.definition for metric in metrics},
        better={metric.key: metric.better for metric in metrics},
        estimates=tuple(estimates),
        curves=_curves(benchmark, cohort, scores),
        cases=tuple(sorted(results, key=lambda result: result.case)),
    )


def _case(i: int, output: str) -> Case:
    """Two cases of every eighth patient; one manufacturer has too few patients to be estimated."""
    patient = f"patient-{i - 1 if i % 8 == 7 else i}"
    attributes: dict[str, str | float | None] = {
        "sex": "female" if i % 2 else "male",
        "age_years": None if i == 3 else 31.0 + (i * 17) % 50,
        "manufacturer": "Philips" if i in (5, 9) else "Siemens" if i % 3 else "GE",
    }
    token = "c" + hashlib.sha256(str(i).encode()).hexdigest()[:16]
    return Case(token, patient, {}, {output: int(i % 3 == 0)}, attributes, f"{i:064x}")


def _scores(
    benchmark: Benchmark, i: int, case: Case, code: str | None, random: np.random.Generator, skill: float
) -> list[Score]:
    label = benchmark.output
    if benchmark.task == "classification":
        reference = i % 3 == 0
        p: float | None = round(float(1 / (1 + np.exp(-random.normal(2.6 * skill * (reference - 0.5), 1.3)))), 4)
        if code:
            p = float(not reference) if benchmark.on_failure == "worst" else None
        reason = f"failed: {code}" if p is None else None
        return [
            Score(case.case_id, "probability", label, "1", p, reason, code),
            Score(case.case_id, "reference", label, "1", reference),
        ]
    dice = float(np.clip(random.beta(9, 2.4) * skill, 0, 1))
    values: dict[str, tuple[str, float | None, float | None]] = {
        "dice": ("1", dice, 0.0),
        "hd95": ("mm", 2 + 30 * (1 - dice) ** 1.5, None),
        "nsd": ("1", min(1.0, dice * 1.05), 0.0),
        "absolute-volume-difference": ("ml", 60 * (1 - dice), 84.5),
        "relative-volume-difference": ("1", 1.4 * (1 - dice), 1.0),
    }
    scores = []
    for key, (unit, value, worst) in values.items():
        undefined = "the prediction is empty, the reference standard is not" if i == 20 and key == "hd95" else None
        if code:
            undefined = f"failed: {code}" if benchmark.on_failure == "exclude" or worst is None else None
            value = worst
        scores.append(Score(case.case_id, key, label, unit, None if undefined else value, undefined, code))
    return scores


def _curves(benchmark: Benchmark, cohort: Cohort, scores: list[Score]) -> tuple[Any, ...]:
    p = [s.value for s in scores if s.metric == "probability"]
    r = [s.value for s in scores if s.metric == "reference"]
    used = [i for i, value in enumerate(p) if value is not None]
    labels = np.array([r[i] == 1 for i in used], dtype=bool)
    if not used or labels.all() or not labels.any():
        return ()
    arguments = (labels, np.array([p[i] for i in used]), [cohort.cases[i].patient_id for i in used], benchmark.interval)
    return roc_curve(*arguments), reliability_curve(*arguments)


def _run() -> dict[str, Any]:
    engine = {"engine": "podman", "version": "4.3.1", "oci_runtime": "crun", "cgroups": "v2", "rootless": "true"}
    packages = {"numpy": "2.3.4", "scipy": "1.16.3"}
    return {
        "run_id": "20260301T101500-sample-acme-net-1a2b",
        "attempt": 2,
        "started_at": "2026-03-01T10:15:00+00:00",
        "finished_at": "2026-03-01T10:16:12.123+00:00",
        "image": {
            "reference": SUBMISSION["image"], "digest": f"sha256:{'d' * 64}", "size_bytes": 612_345_678,
            "platform": "linux/amd64",
        },
        "identity": {"tef_version": "0.1.0"},
        "sessions": [
            {"site": "hospital-1", "overrides": [], "engine": engine, "started_at": "2026-03-01T10:15:00+00:00"},
        ],
        "provenance": {
            "tef": "0.1.0", "code": {"commit": "0a1b2c3d", "dirty": False}, "python": "3.11.2", "packages": packages,
            "platform": "Linux-6.1-x86_64", "cpu": "Invented CPU", "cpus": 8, "memory_mb": 32000, "gpus": [], "command": "tef",
        },
        "ledger_sha256": "1" * 64,
    }  # fmt: skip

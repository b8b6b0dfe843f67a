"""From the outcomes of a run to its report: scores, estimates, verdict. No container is started here."""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from tef.benchmark import Benchmark
from tef.cohort import Case, Cohort, file_sha256
from tef.curves import TEN_EQUAL_WIDTHS, reliability_curve, roc_curve
from tef.errors import RunError
from tef.ledger import Ledger
from tef.metrics import MaskMetric, MaskPair, Metric, ProbabilityMetric, Undefined, build_metrics, worst_probability
from tef.metrics.calibration import ECE
from tef.prediction import Failure, Outcome, Prediction
from tef.provenance import versions
from tef.readers import read_mask, read_probability, read_reference_mask
from tef.report import CaseResult, Curve, Finding, Report
from tef.run import Run, identity
from tef.score import Estimate, Score
from tef.statistics import decide, estimate_mean, estimate_probability, wilson
from tef.subgroups import subgroup_labels
from tef.submission import Submission

PROBABILITY, REFERENCE = "probability", "reference"
_FEW_PATIENTS = 30

Groups = Mapping[str, Sequence[tuple[str, Any]]]


def assess(
    run: Run, benchmark: Benchmark, submission: Submission, cohort: Cohort, ledger: Ledger
) -> tuple[Report, list[Score]]:
    """Score every case of the cohort, estimate, and hold the estimates against the protocol's bounds.

    Nothing is scored but what was run: protocol, submission, declared training images and cohort are held against the digests
    in the run's record.

    Args:
        ledger: Holds an outcome for every case, and the line that says so.

    Raises:
        RunError: A prediction is not what the ledger says it is, or a case has no outcome.
        CohortError: A reference standard cannot be read.
    """
    _check_identity(run, benchmark, submission, cohort)
    metrics = build_metrics(benchmark)
    outcomes = ledger.outcomes()
    if missing := [case for case in cohort if case.case_id not in outcomes]:
        raise RunError(f"{run.folder}: {len(missing)} of {len(cohort)} cases are not done; run the same 'tef evaluate' again")
    scores = [score for case in cohort for score in score_case(case, outcomes[case.case_id], benchmark, metrics, run)]
    groups = subgroup_labels(benchmark.subgroups, [case.attributes for case in cohort])
    estimates = estimate_all(benchmark, metrics, cohort, scores, groups)
    by_key = {(estimate.metric, estimate.subgroup): estimate for estimate in estimates}
    decisions = tuple(decide(c, by_key.get((c.metric, c.subgroup))) for c in benchmark.acceptance)
    report = Report(
        schema_version=1,
        run=_run_facts(run, ledger),
        benchmark=benchmark.model_dump(mode="json") | {"sha256": benchmark.sha256},
        submission=submission.model_dump(mode="json") | {"sha256": submission.sha256},
        cohort=_cohort_facts(cohort),
        flow=_flow(cohort, outcomes, benchmark.interval.level),
        accepted=all(decision.met == "met" for decision in decisions),
        decisions=decisions,
        findings=tuple(_findings(run, submission, cohort, outcomes, benchmark.on_failure == "exclude")),
        definitions={metric.key: metric.definition for metric in metrics},
        better={metric.key: metric.better for metric in metrics},
        estimates=tuple(estimates),
        curves=_curves(benchmark, metrics, cohort, scores),
        cases=_case_results(run, cohort, outcomes, scores, groups),
    )
    return report, scores


def _check_identity(run: Run, benchmark: Benchmark, submission: Submission, cohort: Cohort) -> None:
    recorded = run.record["identity"]
    found = identity(benchmark, submission, cohort, recorded["image_digest"]) | {"tef_version": recorded["tef_version"]}
    if changed := [key for key in found if found[key] != recorded[key]]:
        what = changed[0].removesuffix("_sha256")
        raise RunError(
            f"{run.folder}: the {what} is not the one of the run (digest {str(found[changed[0]])[:12]}, "
            f"recorded {str(recorded[changed[0]])[:12]}); restore it, or evaluate anew"
        )


def score_case(case: Case, outcome: Outcome, benchmark: Benchmark, metrics: Sequence[Metric], run: Run) -> list[Score]:
    """The scores of one case; of a failed one what the protocol's failure policy says."""
    label = benchmark.output
    reference = case.reference[label]
    if isinstance(outcome, Failure) and benchmark.on_failure == "exclude":
        keys = [(m.key, m.unit) for m in metrics] if benchmark.task == "segmentation" else [(PROBABILITY, "1")]
        reason = f"failed: {outcome.code}"
        excluded = [Score(case.case_id, key, label, unit, None, reason, outcome.code) for key, unit in keys]
        return excluded + ([] if isinstance(reference, Path) else [_reference_score(case, label, reference)])
    if isinstance(reference, Path):
        return _mask_scores(case, outcome, label, reference, metrics, run)
    if isinstance(outcome, Failure):
        p, code = worst_probability(reference), str(outcome.code)
    else:
        p, code = read_probability(_kept(run, outcome, label)), None
    return [Score(case.case_id, PROBABILITY, label, "1", p, None, code), _reference_score(case, label, reference)]


def _reference_score(case: Case, label: str, reference: int) -> Score:
    return Score(case.case_id, REFERENCE, label, "1", float(reference))


def _mask_scores(case: Case, outcome: Outcome, label: str, path: Path, metrics: Sequence[Metric], run: Run) -> list[Score]:
    reference = read_reference_mask(path)
    values: list[tuple[Metric, float | Undefined]] = []
    if isinstance(outcome, Failure):
        values = [(m, m.worst(reference.array, reference.spacing_mm)) for m in metrics if isinstance(m, MaskMetric)]
    else:
        prediction = read_mask(_kept(run, outcome, label), reference.array.size, reference.grid)
        pair = MaskPair(prediction.array, reference.array, reference.spacing_mm)
        values = [(m, m.measure(pair)) for m in metrics if isinstance(m, MaskMetric)]
    code = str(outcome.code) if isinstance(outcome, Failure) else None
    return [
        Score(case.case_id, m.key, label, m.unit, None, v.reason, code)
        if isinstance(v, Undefined)
        else Score(case.case_id, m.key, label, m.unit, float(v), None, code)
        for m, v in values
    ]


def _kept(run: Run, outcome: Prediction, label: str) -> Path:
    """A kept prediction, after a check that it is the one that was recorded."""
    kept = outcome.outputs[label]
    path = run.folder / kept.path
    if not path.is_file() or file_sha256(path) != kept.sha256:
        raise RunError(f"{path}: is missing or was changed since it was recorded; restore it, or evaluate anew")
    return path


def estimate_all(
    benchmark: Benchmark, metrics: Sequence[Metric], cohort: Cohort, scores: Sequence[Score], groups: Groups
) -> list[Estimate]:
    """Every metric on the whole cohort, then in every subgroup."""
    by_metric: dict[str, list[Score]] = {}
    for score in scores:
        by_metric.setdefault(score.metric, []).append(score)
    patients = np.array([case.patient_id for case in cohort])
    everyone = np.ones(len(cohort), dtype=bool)
    parts: list[tuple[str | None, Any, int]] = [(None, everyone, 1)]
    parts += [(name, member, benchmark.min_subgroup_patients) for group in groups.values() for name, member in group]
    estimates = []
    for subgroup, member, least in parts:
        index = np.flatnonzero(member)
        who = patients[index].tolist()

        def of(metric: str, index: Any = index) -> list[Score]:
            return [by_metric[metric][i] for i in index]

        for metric in metrics:
            if isinstance(metric, ProbabilityMetric):
                estimate = partial(estimate_probability, metric, benchmark.output, of(PROBABILITY), of(REFERENCE))
            else:
                estimate = partial(estimate_mean, metric, benchmark.output, of(metric.key))
            estimates.append(estimate(who, benchmark.interval, subgroup=subgroup, min_patients=least))
    return estimates


def write_scores(run: Run, scores: Sequence[Score]) -> None:
    """Write ``scores.parquet``: one row a score, with the cohort's case ids. In one step."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draft = run.scores_file.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist([dataclasses.asdict(score) for score in scores]), draft)
    draft.replace(run.scores_file)


def read_scores(run: Run) -> list[Score]:
    """Read ``scores.parquet``.

    Raises:
        RunError: It is not there or cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return [Score(**row) for row in pq.read_table(run.scores_file).to_pylist()]
    except (FileNotFoundError, pa.ArrowInvalid) as error:
        raise RunError(f"{run.scores_file}: is missing or damaged; 'tef rescore {run.run_id}' writes it anew") from error


def _run_facts(run: Run, ledger: Ledger) -> dict[str, Any]:
    record = run.record
    end = [entry for entry in ledger.entries if entry["kind"] == "end"]
    if not end:
        raise RunError(f"{run.folder}: was not finished; run the same 'tef evaluate' again")
    return {
        "run_id": run.run_id,
        "attempt": record["attempt"],
        "started_at": record["sessions"][0]["started_at"],
        "finished_at": end[0]["time"],
        "image": record["image"],
        "identity": record["identity"],
        "sessions": record["sessions"],
        "provenance": record["provenance"],
        "ledger_sha256": ledger.head,
        "scored_with": versions(),
    }


def _cohort_facts(cohort: Cohort) -> dict[str, Any]:
    patients = len({case.patient_id for case in cohort})
    return {"card": dict(cohort.card), "sha256": cohort.sha256, "n_cases": len(cohort), "n_patients": patients}


def _flow(cohort: Cohort, outcomes: Mapping[str, Outcome], level: float) -> dict[str, Any]:
    failures = [o for case in cohort if isinstance(o := outcomes[case.case_id], Failure)]
    done = [o for case in cohort if isinstance(o := outcomes[case.case_id], Prediction)]
    low, high = wilson(len(failures), len(cohort), level)
    return {
        "n_total": len(cohort),
        "n_predicted": len(done),
        "n_failed": len(failures),
        "failures": dict(sorted(Counter(str(failure.code) for failure in failures).items())),
        "failure_rate": {"value": len(failures) / len(cohort), "low": low, "high": high, "level": level, "method": "Wilson"},
        "model_s_median": round(median(o.model_s for o in done), 4) if done else None,
        "harness_s_median": round(median(o.total_s - o.model_s for o in done), 4) if done else None,
    }


def _findings(
    run: Run, submission: Submission, cohort: Cohort, outcomes: Mapping[str, Outcome], excluded: bool
) -> list[Finding]:
    findings = [_independence(run, submission, cohort)]
    if failed := [case for case in cohort if isinstance(outcomes[case.case_id], Failure)]:
        consequence = "are left out: the estimates tell of the others only" if excluded else "count as the worst"
        text = f"{len(failed)} of {len(cohort)} cases have no prediction and {consequence}."
        findings.append(Finding("error" if excluded else "warning", "failures", text, _tokens(run, failed)))
    images: dict[str, list[Case]] = {}
    for case in cohort:
        images.setdefault(case.pixel_sha256, []).append(case)
    if twice := [case for same in images.values() if len(same) > 1 for case in same]:
        text = f"{len(twice)} cases of the cohort share their image, pixel for pixel, with another case of it."
        findings.append(Finding("warning", "cohort", text, _tokens(run, twice)))
    if len({case.patient_id for case in cohort}) < _FEW_PATIENTS:
        text = f"The cohort has fewer than {_FEW_PATIENTS} patients: bootstrap intervals tend to be too narrow."
        findings.append(Finding("warning", "cohort", text))
    if (sessions := len(run.record["sessions"])) > 1:
        findings.append(
            Finding("note", "run", f"The run was interrupted and resumed: {sessions} sessions; no finished case was run again.")
        )
    if submission.resources.gpus and not any(session["gpus"] for session in run.record["sessions"]):
        findings.append(Finding("note", "run", "The submission asks for a GPU; this site gave it none, and it ran on the CPU."))
    if (attempt := run.record["attempt"]) > 1:
        text = (
            f"This is attempt {attempt} of this submission on this cohort at this site; repeated looks make results optimistic."
        )
        findings.append(Finding("warning", "independence", text))
    return findings


def _independence(run: Run, submission: Submission, cohort: Cohort) -> Finding:
    declared = submission.declared_pixel_sha256()
    if declared is None:
        text = "The submitter declared no digests of training images: overlap with the held-out cases could not be looked for."
        return Finding("warning", "independence", text)
    leaked = [case for case in cohort if case.pixel_sha256 in declared]
    if leaked:
        text = (
            f"{len(leaked)} of {len(cohort)} held-out images also {'stand' if len(leaked) > 1 else 'stands'}, pixel for pixel, "
            f"in the {len(declared)} declared training images: the result is optimistic to that extent."
        )
        return Finding("error", "independence", text, _tokens(run, leaked))
    return Finding(
        "note", "independence", f"None of the held-out images is among the {len(declared)} declared training images."
    )


def _tokens(run: Run, cases: Sequence[Case]) -> tuple[str, ...]:
    return tuple(sorted(run.token(case.case_id) for case in cases))


def _curves(benchmark: Benchmark, metrics: Sequence[Metric], cohort: Cohort, scores: Sequence[Score]) -> tuple[Curve, ...]:
    if benchmark.task != "classification":
        return ()
    p = [score.value for score in scores if score.metric == PROBABILITY]
    r = [score.value for score in scores if score.metric == REFERENCE]
    used = [i for i, value in enumerate(p) if value is not None]
    probabilities = np.array([p[i] for i in used], dtype=np.float64)
    labels = np.array([r[i] for i in used], dtype=np.float64) == 1
    patients = [cohort.cases[i].patient_id for i in used]
    if labels.all() or not labels.any():
        return ()
    roc = roc_curve(labels, probabilities, patients, benchmark.interval)
    # Failed cases are no statement about calibration: the ECE counts them apart from its bins, too.
    failed = np.array([score.failure is not None for score in scores if score.metric == PROBABILITY])[used]
    if failed.all():
        return (roc,)
    worked = [who for who, bad in zip(patients, failed, strict=True) if not bad]
    ece = next((metric for metric in metrics if isinstance(metric, ECE)), TEN_EQUAL_WIDTHS)
    return roc, reliability_curve(labels[~failed], probabilities[~failed], worked, benchmark.interval, ece)


def _case_results(
    run: Run, cohort: Cohort, outcomes: Mapping[str, Outcome], scores: Sequence[Score], groups: Groups
) -> tuple[CaseResult, ...]:
    by_case: dict[str, list[Score]] = {}
    for score in scores:
        by_case.setdefault(score.case_id, []).append(score)
    results = []
    for index, case in enumerate(cohort):
        outcome, own = outcomes[case.case_id], by_case[case.case_id]
        results.append(
            CaseResult(
                case=run.token(case.case_id),
                outcome="ok" if isinstance(outcome, Prediction) else str(outcome.code),
                scores={score.metric: score.value for score in own},
                undefined={score.metric: score.undefined for score in own if score.undefined is not None},
                groups=tuple(name for group in groups.values() for name, member in group if member[index]),
                model_s=outcome.model_s if isinstance(outcome, Prediction) else None,
                total_s=outcome.total_s,
            )
        )
    return tuple(sorted(results, key=lambda result: result.case))

"""Two runs on the same cases: the difference of each metric, paired by case, with a patient-clustered interval."""

from collections.abc import Mapping
from dataclasses import dataclass

from tef.benchmark import load_benchmark
from tef.cohort import Cohort
from tef.errors import RunError
from tef.metrics import ProbabilityMetric, build_metrics
from tef.report import load_report
from tef.run import Run
from tef.score import Score
from tef.scoring import PROBABILITY, REFERENCE, read_scores
from tef.statistics import Difference, paired_difference, paired_probability_difference


@dataclass(frozen=True, slots=True)
class Comparison:
    """The difference of one metric, first run minus second.

    Attributes:
        better: Which direction is better: ``higher`` or ``lower``.
        verdict: ``first``, ``second`` or ``no difference shown``: what the interval says.
    """

    metric: str
    unit: str
    better: str
    difference: Difference
    verdict: str


def compare(first: Run, second: Run, cohort: Cohort) -> list[Comparison]:
    """Compare two finished runs of one benchmark on one cohort, in the protocol's order of metrics.

    Raises:
        RunError: The runs are not comparable: another protocol or cohort, or not finished; the message says what differs.
    """
    for run in (first, second):
        load_report(run)
    for key, what in (("benchmark_sha256", "protocol"), ("cohort_sha256", "cohort")):
        if first.record["identity"][key] != second.record["identity"][key]:
            raise RunError(
                f"{first.run_id} and {second.run_id}: have another {what} each "
                f"({first.record['identity'][key][:12]}, {second.record['identity'][key][:12]}); compare runs of the same one"
            )
    if cohort.sha256 != (expected := first.record["identity"]["cohort_sha256"]):
        raise RunError(f"{cohort.folder}: is not the cohort of the runs; provide the one with digest {expected[:12]}")
    benchmark = load_benchmark(first.benchmark_folder)
    a, b = _scores(first), _scores(second)
    patients = [case.patient_id for case in cohort]

    def row(scores: Mapping[tuple[str, str], Score], metric: str) -> list[Score]:
        return [scores[case.case_id, metric] for case in cohort]

    comparisons = []
    for metric in build_metrics(benchmark):
        if isinstance(metric, ProbabilityMetric):
            p, q, references = row(a, PROBABILITY), row(b, PROBABILITY), row(a, REFERENCE)
            difference = paired_probability_difference(metric, p, q, references, patients, benchmark.interval)
        else:
            values_a, values_b = ([score.value for score in row(scores, metric.key)] for scores in (a, b))
            difference = paired_difference(values_a, values_b, patients, benchmark.interval)
        comparisons.append(Comparison(metric.key, metric.unit, metric.better, difference, _verdict(difference, metric.better)))
    return comparisons


def _scores(run: Run) -> dict[tuple[str, str], Score]:
    return {(score.case_id, score.metric): score for score in read_scores(run)}


def _verdict(difference: Difference, better: str) -> str:
    low, high = difference.low, difference.high
    if low is None or high is None or low <= 0 <= high:
        return "no difference shown"
    return "first" if (low > 0) == (better == "higher") else "second"

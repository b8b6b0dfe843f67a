"""Metrics: each is a frozen record of its arguments, built from one entry of a protocol's `metrics`.

A metric of masks gives a score per case; a metric of probabilities gives one value per sample of cases. To add one, write its
class beside these and name it in `METRICS`.
"""

from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from tef.benchmark import Benchmark, explain
from tef.errors import ProtocolError, nearest
from tef.metrics.base import MaskMetric, MaskPair, Metric, ProbabilityMetric, Undefined
from tef.metrics.calibration import ECE, Brier
from tef.metrics.classification import Auroc, Sensitivity, Specificity
from tef.metrics.overlap import AbsoluteVolumeDifference, Dice, RelativeVolumeDifference
from tef.metrics.surface import HD95, NSD
from tef.subgroups import band_names

__all__ = [
    "METRICS",
    "MaskMetric",
    "MaskPair",
    "Metric",
    "ProbabilityMetric",
    "Undefined",
    "build_metrics",
    "worst_probability",
]

METRICS: Final[Mapping[str, type[Metric]]] = {
    "dice": Dice,
    "hd95": HD95,
    "nsd": NSD,
    "absolute-volume-difference": AbsoluteVolumeDifference,
    "relative-volume-difference": RelativeVolumeDifference,
    "auroc": Auroc,
    "sensitivity": Sensitivity,
    "specificity": Specificity,
    "brier": Brier,
    "ece": ECE,
}


def worst_probability(label: int) -> float:
    """What a case without a prediction counts under the failure policy ``worst``: the most wrong probability."""
    return float(1 - label)


def build_metrics(benchmark: Benchmark) -> tuple[Metric, ...]:
    """The metrics of a protocol, in its order, every argument checked; and that the protocol's bounds name what is there.

    Raises:
        ProtocolError: An entry, the primary metric or an acceptance bound is wrong; the message names file and key.
    """
    where = f"{benchmark.folder / 'protocol.yaml'}: "
    metrics = tuple(_build(entry, benchmark, f"{where}metrics.{index}") for index, entry in enumerate(benchmark.metrics))
    keys = [metric.key for metric in metrics]
    for index, key in enumerate(keys):
        if key in keys[:index]:
            raise ProtocolError(f"{where}metrics.{index}: a second metric '{key}'; give it its own 'name'")
    if benchmark.primary not in keys:
        raise ProtocolError(f"{where}primary: unknown metric '{benchmark.primary}'; {nearest(benchmark.primary, keys)}")
    for index, criterion in enumerate(benchmark.acceptance):
        if criterion.metric not in keys:
            raise ProtocolError(
                f"{where}acceptance.{index}.metric: unknown metric '{criterion.metric}'; {nearest(criterion.metric, keys)}"
            )
        if criterion.subgroup is not None:
            _check_subgroup(criterion.subgroup, benchmark, f"{where}acceptance.{index}.subgroup")
    return metrics


def _build(entry: Mapping[str, Any], benchmark: Benchmark, where: str) -> Metric:
    name = entry.get("metric")
    if name is None:
        raise ProtocolError(f"{where}: 'metric' is missing; known are {', '.join(METRICS)}")
    metric_type = METRICS.get(name) if isinstance(name, str) else None
    if metric_type is None:
        raise ProtocolError(f"{where}: unknown metric '{name}'; {nearest(str(name), METRICS)}")
    if metric_type.task != benchmark.task:
        raise ProtocolError(f"{where}: '{name}' is a metric of {metric_type.task}; this benchmark's task is {benchmark.task}")
    arguments = dict(entry)
    if "operating_point" in metric_type.model_fields:
        if "operating_point" in entry:
            raise ProtocolError(f"{where}.operating_point: is given once, at the top of the protocol; remove the line")
        arguments["operating_point"] = benchmark.operating_point
    try:
        return metric_type.model_validate(arguments)
    except ValidationError as error:
        raise ProtocolError(f"{where}.{explain(error, metric_type)}") from error


def _check_subgroup(text: str, benchmark: Benchmark, where: str) -> None:
    """A bound's subgroup is ``name=value``; values of a subgroup without cuts are only known with the cohort."""
    groups = {group.name: group for group in benchmark.subgroups}
    name, equals, value = text.partition("=")
    if not equals or name not in groups:
        raise ProtocolError(f"{where}: '{text}' is no name=value of a declared subgroup; {nearest(name, groups)}")
    bands = band_names(groups[name])
    if bands and value not in bands:
        raise ProtocolError(f"{where}: '{value}' is no band of '{name}'; {nearest(value, bands)}")

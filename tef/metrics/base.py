"""What every metric is: a record of its arguments, with its unit, its direction and its definition in words."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator

from tef.benchmark import Frozen, Name
from tef.metrics.edges import Floats, Mask, edge_distances_mm


@dataclass(frozen=True, slots=True)
class Undefined:
    """A metric without a value on one case, and why, in words."""

    reason: str


BOTH_EMPTY = Undefined("prediction and reference standard are both empty")
PREDICTION_EMPTY = Undefined("the prediction is empty, the reference standard is not")
REFERENCE_EMPTY = Undefined("the reference standard is empty")


def _from_zero_to(highest: float) -> BeforeValidator:
    """A check that speaks of both choices at once, where a plain union would complain twice."""

    def check(value: object) -> object:
        if value == "undefined" or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= highest):
            return value
        raise ValueError(f"must be a number from 0 to {highest:g} or 'undefined'")

    return BeforeValidator(check)


ShareOrUndefined = Annotated[float | Literal["undefined"], _from_zero_to(1)]
LengthOrUndefined = Annotated[float | Literal["undefined"], _from_zero_to(1e6)]


def or_undefined(value: float | Literal["undefined"], reason: Undefined) -> float | Undefined:
    """The number that a protocol gives for a special case, or the reason where the protocol says ``undefined``."""
    return reason if value == "undefined" else value


class Metric(Frozen, ABC):
    """One entry of a protocol's `metrics`, every argument given.

    Attributes:
        metric: The kind of metric, such as ``nsd``.
        name: What the entry is called where one kind is used twice, such as ``nsd-5mm``.
    """

    metric: str
    name: Name | None = None

    task: ClassVar[Literal["segmentation", "classification"]]
    unit: ClassVar[str]
    better: ClassVar[Literal["higher", "lower"]]

    @property
    def key(self) -> str:
        """What the entry is called in scores, estimates and the protocol's bounds."""
        return self.name or self.metric

    @property
    @abstractmethod
    def definition(self) -> str:
        """One line for the report: the definition with every argument."""


class MaskPair:
    """A predicted and a reference mask on one grid, cut to the box around both, with what several metrics share.

    Args:
        prediction: bool, any number of dimensions. May be empty (all False).
        reference: bool, same shape.
        spacing_mm: Voxel size along each axis.

    Raises:
        ValueError: The masks are not bool or differ in shape, or a spacing is not a positive number.
    """

    def __init__(self, prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> None:
        if prediction.dtype != bool or reference.dtype != bool:
            raise ValueError(f"masks are {prediction.dtype} and {reference.dtype}; both must be bool")
        if prediction.shape != reference.shape:
            raise ValueError(f"prediction has shape {prediction.shape}, reference {reference.shape}; they must be equal")
        self.spacing_mm = _checked_spacing(spacing_mm, reference.ndim)
        self.shape = reference.shape
        box = _bounding_box(prediction, reference)
        self.prediction, self.reference = prediction[box], reference[box]
        self.n_prediction = int(np.count_nonzero(self.prediction))
        self.n_reference = int(np.count_nonzero(self.reference))

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(np.prod(self.spacing_mm)) / 1000

    @property
    def diagonal_mm(self) -> float:
        """Diagonal of the whole image, shape times spacing: no distance inside it is longer."""
        return float(np.linalg.norm(np.multiply(self.shape, self.spacing_mm)))

    @cached_property
    def distances_mm(self) -> tuple[Floats, Floats]:
        """Distances from each edge voxel of the prediction to the reference's nearest one, and back; both masks not empty."""
        return edge_distances_mm(self.prediction, self.reference, self.spacing_mm)


class MaskMetric(Metric):
    """A metric of one case: a predicted against a reference mask."""

    task: ClassVar[Literal["segmentation"]] = "segmentation"

    @abstractmethod
    def measure(self, masks: MaskPair) -> float | Undefined:
        """Value of one case; several metrics of one case share a `MaskPair`."""

    @abstractmethod
    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float | Undefined:
        """What a case without a prediction counts under the failure policy ``worst``."""

    def score(self, prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> float | Undefined:
        """Value of one case, in the metric's unit.

        Args:
            prediction: bool, any shape.
            reference: bool, same shape.
            spacing_mm: Voxel size along each axis.

        Raises:
            ValueError: Shapes differ, a mask is not bool, or a spacing is not a positive number.
        """
        return self.measure(MaskPair(prediction, reference, spacing_mm))


class ProbabilityMetric(Metric):
    """A metric of a whole cohort: predicted probabilities against reference classes.

    Attributes:
        needs: What must be there for a value, in words.
        proportion_of: The class whose cases the metric is a simple proportion of, or None.
    """

    task: ClassVar[Literal["classification"]] = "classification"
    needs: ClassVar[str]
    proportion_of: ClassVar[bool | None] = None

    @abstractmethod
    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats, failed: Mask) -> Floats:
        """As `estimate`, on checked arguments."""

    def estimate(
        self, labels: Mask, probabilities: Floats, weights: NDArray[Any], failed: NDArray[np.bool_] | None = None
    ) -> Floats:
        """Value in each of B samples of the same n cases.

        Args:
            labels: bool, (n,); True is the positive class.
            probabilities: (n,), predicted for the positive class, in [0, 1].
            weights: (B, n), how often each case counts in each sample.
            failed: bool, (n,), cases without a prediction, whose probability is `worst_probability`; None where there is none.

        Returns:
            (B,), NaN where a sample does not hold what the metric `needs`.

        Raises:
            ValueError: Shapes do not fit, or probabilities are not in [0, 1]; the message names the rows.
        """
        if labels.dtype != bool or labels.ndim != 1 or probabilities.shape != labels.shape:
            raise ValueError(
                f"labels are {labels.dtype} {labels.shape}, probabilities {probabilities.shape}; bool (n,) and (n,)"
            )
        if weights.ndim != 2 or weights.shape[1] != len(labels):
            raise ValueError(f"weights have shape {weights.shape}; they must be (samples, {len(labels)})")
        if failed is None:
            failed = np.zeros(len(labels), dtype=bool)
        if failed.dtype != bool or failed.shape != labels.shape:
            raise ValueError(f"failed is {failed.dtype} {failed.shape}; bool ({len(labels)},)")
        bad = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))
        if len(bad):
            raise ValueError(f"probabilities of rows {bad[:5].tolist()} ({len(bad)} rows) are not in [0, 1]")
        return self._estimate(labels, probabilities, weights.astype(np.float64, copy=False), failed)


def ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Quotient, NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=denominator != 0)


def _checked_spacing(spacing_mm: Sequence[float], ndim: int) -> tuple[float, ...]:
    values = tuple(float(value) for value in spacing_mm)
    if len(values) != ndim or not all(np.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"spacing_mm is {values}; it must be {ndim} positive numbers")
    return values


def _bounding_box(*masks: Mask) -> tuple[slice, ...]:
    """The smallest box around all masks; of no extent where all are empty."""
    box: tuple[slice, ...] = ()
    for axis in range(masks[0].ndim):
        others = tuple(other for other in range(masks[0].ndim) if other != axis)
        hit = np.flatnonzero(np.logical_or.reduce([mask[box].any(axis=others) for mask in masks]))
        box += (slice(hit[0], hit[-1] + 1) if len(hit) else slice(0, 0),)
    return box

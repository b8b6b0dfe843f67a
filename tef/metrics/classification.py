"""Discrimination of predicted probabilities: over all thresholds, and at the protocol's operating point."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from tef.metrics.base import ProbabilityMetric, ratio
from tef.metrics.edges import Floats, Mask

OperatingPoint = Annotated[float, Field(ge=0, le=1)]


class Auroc(ProbabilityMetric):
    """Area under the receiver operating characteristic."""

    metric: Literal["auroc"]

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["higher"]] = "higher"
    needs: ClassVar[str] = "cases of both classes"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return "AUROC: probability that a positive case is given a higher probability than a negative one, ties counted half"

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats, failed: Mask) -> Floats:
        # Each positive beats the negatives below it and half of those it ties with: two reads of one cumulative sum.
        negatives = np.flatnonzero(~labels)
        negatives = negatives[np.argsort(probabilities[negatives], kind="stable")]
        positives = np.flatnonzero(labels)
        positives = positives[np.argsort(probabilities[positives], kind="stable")]
        ranked, sought = probabilities[negatives], probabilities[positives]
        below = np.zeros((len(weights), len(negatives) + 1))
        np.cumsum(np.take(weights, negatives, axis=1), axis=1, out=below[:, 1:])
        positive = np.take(weights, positives, axis=1)
        wins = sum(
            np.einsum("bp,bp->b", positive, np.take(below, np.searchsorted(ranked, sought, side=side), axis=1))
            for side in ("left", "right")
        )
        return ratio(wins / 2, positive.sum(axis=1) * below[:, -1])


class Sensitivity(ProbabilityMetric):
    """Share of positive cases that are called positive."""

    metric: Literal["sensitivity"]
    operating_point: OperatingPoint

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["higher"]] = "higher"
    needs: ClassVar[str] = "a positive case"
    proportion_of: ClassVar[bool | None] = True

    @property
    def definition(self) -> str:
        """One line for the report."""
        return f"Sensitivity: share of positive cases with a probability >= {self.operating_point:g}"

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats, failed: Mask) -> Floats:
        return ratio(weights @ (labels & (probabilities >= self.operating_point)), weights @ labels)


class Specificity(ProbabilityMetric):
    """Share of negative cases that are called negative."""

    metric: Literal["specificity"]
    operating_point: OperatingPoint

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["higher"]] = "higher"
    needs: ClassVar[str] = "a negative case"
    proportion_of: ClassVar[bool | None] = False

    @property
    def definition(self) -> str:
        """One line for the report."""
        return f"Specificity: share of negative cases with a probability < {self.operating_point:g}"

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats, failed: Mask) -> Floats:
        return ratio(weights @ (~labels & (probabilities < self.operating_point)), weights @ ~labels)

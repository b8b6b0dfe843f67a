"""How far predicted probabilities are from what happens."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from tef.metrics.base import ProbabilityMetric, ratio
from tef.metrics.edges import Floats, Mask


class Brier(ProbabilityMetric):
    """Mean squared difference of probability and class."""

    metric: Literal["brier"]

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["lower"]] = "lower"
    needs: ClassVar[str] = "a case"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return "Brier score: mean of (probability - class)^2 of the positive class, 0 to 1"

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats) -> Floats:
        return ratio(weights @ (probabilities - labels) ** 2, weights.sum(axis=1))


class ECE(ProbabilityMetric):
    """Expected calibration error of the positive class's probability, in bins."""

    metric: Literal["ece"]
    bins: Annotated[int, Field(ge=2, strict=True)]
    binning: Literal["equal-width", "equal-mass"]

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["lower"]] = "lower"
    needs: ClassVar[str] = "a case"

    @property
    def definition(self) -> str:
        """One line for the report."""
        kind = "of equal width, each with its upper end" if self.binning == "equal-width" else "of equal numbers of cases"
        return (
            f"ECE: |share of positives - mean probability of the positive class| in {self.bins} bins {kind}, "
            "weighted by cases; biased upwards in small cohorts"
        )

    def edges(self, probabilities: Floats) -> Floats:
        """Ends of the bins, (bins + 1,); a probability belongs to the bin whose upper end is the first that is not below it."""
        parts = np.arange(self.bins + 1) / self.bins
        return parts if self.binning == "equal-width" else np.quantile(probabilities, parts)

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats) -> Floats:
        inner = self.edges(probabilities)[1:-1]
        in_bin = np.searchsorted(inner, probabilities, side="left")[:, None] == np.arange(self.bins)
        gaps = weights @ (in_bin * (labels - probabilities)[:, None])
        return ratio(np.abs(gaps).sum(axis=1), weights.sum(axis=1))

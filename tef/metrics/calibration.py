"""How far predicted probabilities are from what happens."""

from typing import Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
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

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats, failed: Mask) -> Floats:
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
            "weighted by cases; a failed case that counts as worst is a gap of 1, outside the bins; "
            "biased upwards in small cohorts"
        )

    def bin_of(self, probabilities: Floats) -> NDArray[np.intp]:
        """Bin of each of n probabilities, (n,), from 0 to bins - 1: the first whose upper end is not below it."""
        inner = np.arange(1, self.bins) / self.bins
        if self.binning == "equal-mass" and len(probabilities):
            inner = np.quantile(probabilities, inner)
        return np.searchsorted(inner, probabilities, side="left")

    def _estimate(self, labels: Mask, probabilities: Floats, weights: Floats, failed: Mask) -> Floats:
        # Within a bin the gap of a failed case could cancel that of others, and failing would improve the error.
        worked = ~failed
        in_bin = self.bin_of(probabilities[worked])[:, None] == np.arange(self.bins)
        gaps = weights[:, worked] @ (in_bin * (labels - probabilities)[worked, None])
        return ratio(np.abs(gaps).sum(axis=1) + weights @ failed, weights.sum(axis=1))

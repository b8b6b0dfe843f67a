"""Overlap and volume of a predicted and a reference mask."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np

from tef.metrics.base import BOTH_EMPTY, REFERENCE_EMPTY, MaskMetric, MaskPair, ShareOrUndefined, Undefined, or_undefined
from tef.metrics.edges import Mask

_WORST = "worst for a failed case: the larger of reference volume and rest of the image"


class Dice(MaskMetric):
    """Twice the common volume over the sum of both."""

    metric: Literal["dice"]
    both_empty: ShareOrUndefined

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["higher"]] = "higher"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return f"Dice: twice the common voxels over the voxels of prediction and reference; both empty: {self.both_empty}"

    def measure(self, masks: MaskPair) -> float | Undefined:
        """Value in [0, 1]."""
        total = masks.n_prediction + masks.n_reference
        if total == 0:
            return or_undefined(self.both_empty, BOTH_EMPTY)
        return 2 * int((masks.prediction & masks.reference).sum()) / total

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float:
        """0, also where the reference is empty."""
        return 0.0


class AbsoluteVolumeDifference(MaskMetric):
    """Size of the predicted minus the reference volume, in millilitres."""

    metric: Literal["absolute-volume-difference"]

    unit: ClassVar[str] = "ml"
    better: ClassVar[Literal["lower"]] = "lower"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return f"Absolute volume difference: |predicted - reference volume|, ml; {_WORST}, ml"

    def measure(self, masks: MaskPair) -> float:
        """Value in millilitres."""
        return abs(masks.n_prediction - masks.n_reference) * masks.voxel_ml

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float:
        """The larger difference of finding nothing and of marking the whole image."""
        masks = MaskPair(reference, reference, spacing_mm)
        return max(masks.n_reference, reference.size - masks.n_reference) * masks.voxel_ml


class RelativeVolumeDifference(MaskMetric):
    """Size of the volume difference as a share of the reference volume."""

    metric: Literal["relative-volume-difference"]

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["lower"]] = "lower"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return (
            "Relative volume difference: |predicted - reference volume| / reference volume; undefined for an empty reference; "
            f"{_WORST}, over the reference volume"
        )

    def measure(self, masks: MaskPair) -> float | Undefined:
        """Value from 0 upwards."""
        if masks.n_reference == 0:
            return REFERENCE_EMPTY
        return abs(masks.n_prediction - masks.n_reference) / masks.n_reference

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float | Undefined:
        """The larger of finding nothing and marking the whole image; undefined where the reference is empty, as ever."""
        n_reference = int(np.count_nonzero(reference))
        return max(n_reference, reference.size - n_reference) / n_reference if n_reference else REFERENCE_EMPTY

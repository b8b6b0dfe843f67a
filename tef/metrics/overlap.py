"""Overlap and volume of a predicted and a reference mask."""

from collections.abc import Sequence
from typing import ClassVar, Literal

from tef.metrics.base import BOTH_EMPTY, REFERENCE_EMPTY, MaskMetric, MaskPair, ShareOrUndefined, Undefined, or_undefined
from tef.metrics.edges import Mask


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
        return "Absolute volume difference: |predicted - reference volume|, ml"

    def measure(self, masks: MaskPair) -> float:
        """Value in millilitres."""
        return abs(masks.n_prediction - masks.n_reference) * masks.voxel_ml

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float:
        """The volume difference of finding nothing; where the reference is empty, of marking the whole image."""
        masks = MaskPair(reference, reference, spacing_mm)
        return (masks.n_reference or reference.size) * masks.voxel_ml


class RelativeVolumeDifference(MaskMetric):
    """Size of the volume difference as a share of the reference volume."""

    metric: Literal["relative-volume-difference"]

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["lower"]] = "lower"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return "Relative volume difference: |predicted - reference volume| / reference volume; undefined for an empty reference"

    def measure(self, masks: MaskPair) -> float | Undefined:
        """Value from 0 upwards."""
        if masks.n_reference == 0:
            return REFERENCE_EMPTY
        return abs(masks.n_prediction - masks.n_reference) / masks.n_reference

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float | Undefined:
        """1, as if nothing was found; undefined where the reference is empty, as for any prediction."""
        return 1.0 if reference.any() else REFERENCE_EMPTY

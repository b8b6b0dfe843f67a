"""Distances between the surfaces of a predicted and a reference mask, from edge voxel to edge voxel (`tef.metrics.edges`)."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from tef.metrics.base import (
    BOTH_EMPTY,
    PREDICTION_EMPTY,
    REFERENCE_EMPTY,
    LengthOrUndefined,
    MaskMetric,
    MaskPair,
    ShareOrUndefined,
    Undefined,
    or_undefined,
)
from tef.metrics.edges import Mask

# A distance that equals the tolerance on paper may exceed it in the last bit: 3 x 0.1 mm > 0.3 mm.
_ROUNDING_MM = 1e-6


class HD95(MaskMetric):
    """95th percentile of the Hausdorff distance, in millimetres."""

    metric: Literal["hd95"]
    surface: Literal["edge-voxels"]
    both_empty: LengthOrUndefined
    one_empty: Literal["diagonal", "undefined"]

    unit: ClassVar[str] = "mm"
    better: ClassVar[Literal["lower"]] = "lower"

    @property
    def definition(self) -> str:
        """One line for the report."""
        empties = (
            f"both empty: {self.both_empty}, one empty: {'image diagonal' if self.one_empty == 'diagonal' else 'undefined'}"
        )
        return (
            "HD95: larger of the two directed 95th percentiles (linear interpolation) between edge voxels "
            f"(6-neighbour erosion), mm; {empties}"
        )

    def measure(self, masks: MaskPair) -> float | Undefined:
        """Value in millimetres."""
        if masks.n_prediction == masks.n_reference == 0:
            return or_undefined(self.both_empty, BOTH_EMPTY)
        if masks.n_prediction == 0 or masks.n_reference == 0:
            reason = PREDICTION_EMPTY if masks.n_prediction == 0 else REFERENCE_EMPTY
            return masks.diagonal_mm if self.one_empty == "diagonal" else reason
        return max(float(np.percentile(distances, 95)) for distances in masks.distances_mm)

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float:
        """The diagonal of the image."""
        return MaskPair(reference, reference, spacing_mm).diagonal_mm


class NSD(MaskMetric):
    """Normalised surface distance: share of both surfaces within a tolerance of the other."""

    metric: Literal["nsd"]
    surface: Literal["edge-voxels"]
    tolerance_mm: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)]
    both_empty: ShareOrUndefined

    unit: ClassVar[str] = "1"
    better: ClassVar[Literal["higher"]] = "higher"

    @property
    def definition(self) -> str:
        """One line for the report."""
        return (
            f"NSD at {self.tolerance_mm:g} mm: edge voxels (6-neighbour erosion) of both masks at most "
            f"{self.tolerance_mm:g} mm from the other's, over all edge voxels; both empty: {self.both_empty}, one empty: 0"
        )

    def measure(self, masks: MaskPair) -> float | Undefined:
        """Value in [0, 1]."""
        if masks.n_prediction == masks.n_reference == 0:
            return or_undefined(self.both_empty, BOTH_EMPTY)
        if masks.n_prediction == 0 or masks.n_reference == 0:
            return 0.0
        return float(np.mean(np.concatenate(masks.distances_mm) <= self.tolerance_mm + _ROUNDING_MM))

    def worst(self, reference: Mask, spacing_mm: Sequence[float]) -> float:
        """0, also where the reference is empty."""
        return 0.0

"""Distances between the surfaces of a predicted and a reference mask.

The surface of a mask is its edge voxels: those that a 6-neighbour erosion (4-neighbour in 2D) removes. Outside the image counts
as background, so a mask that touches the border has a surface there. A voxel stands for its centre and each counts once.
"""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from tef.metrics.base import (
    BOTH_EMPTY,
    PREDICTION_EMPTY,
    REFERENCE_EMPTY,
    Floats,
    Mask,
    MaskMetric,
    MaskPair,
    Undefined,
    or_undefined,
)
from tef.metrics.overlap import UnitInterval

# A distance that equals the tolerance on paper may exceed it in the last bit: 3 x 0.1 mm > 0.3 mm.
_ROUNDING_MM = 1e-6
# Nearest neighbours are found in a tree of edge voxels or, where these fill much of the box, by its distance transform.
_DENSE = 1 / 20


class HD95(MaskMetric):
    """95th percentile of the Hausdorff distance, in millimetres."""

    metric: Literal["hd95"]
    surface: Literal["edge-voxels"]
    both_empty: Annotated[float, Field(ge=0, allow_inf_nan=False, strict=True)] | Literal["undefined"]
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
    both_empty: UnitInterval | Literal["undefined"]

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


def edge_voxels(mask: Mask) -> Mask:
    """The voxels of a mask that have a face neighbour outside it; same shape."""
    padded = np.pad(mask, 1)
    inside = mask.copy()
    core = [slice(1, -1)] * mask.ndim
    for axis, size in enumerate(mask.shape):
        for start in (0, 2):
            inside &= padded[(*core[:axis], slice(start, start + size), *core[axis + 1 :])]
    return mask & ~inside


def edge_distances_mm(prediction: Mask, reference: Mask, spacing_mm: Sequence[float]) -> tuple[Floats, Floats]:
    """Distance of each edge voxel to the nearest edge voxel of the other mask, in millimetres; exact.

    Args:
        prediction: bool, any shape, not empty.
        reference: bool, same shape, not empty.
        spacing_mm: Voxel size along each axis.

    Returns:
        From the prediction to the reference, one per edge voxel of the prediction; and the other way round.
    """
    edges = edge_voxels(prediction), edge_voxels(reference)
    dense = sum(np.count_nonzero(edge) for edge in edges) > _DENSE * prediction.size
    measure = _distances_by_transform if dense else _distances_by_tree
    return measure(*edges, spacing_mm), measure(*edges[::-1], spacing_mm)


def _distances_by_tree(edges: Mask, others: Mask, spacing_mm: Sequence[float]) -> Floats:
    from scipy.spatial import cKDTree

    here, there = np.argwhere(edges), np.argwhere(others)
    tree = cKDTree(there * np.asarray(spacing_mm), balanced_tree=False, compact_nodes=False)
    nearest = tree.query(here * np.asarray(spacing_mm))[1]
    # From whole voxel steps, not from the tree's coordinates, whose rounding would depend on where in the image the mask lies.
    distances: Floats = np.linalg.norm((here - there[nearest]) * np.asarray(spacing_mm), axis=1)
    return distances


def _distances_by_transform(edges: Mask, others: Mask, spacing_mm: Sequence[float]) -> Floats:
    from scipy.ndimage import distance_transform_edt

    distances: Floats = distance_transform_edt(~others, sampling=spacing_mm)[edges]
    return distances

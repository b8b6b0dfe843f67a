"""Edge voxels of masks and the distances between them.

The surface of a mask is its edge voxels: those that a 6-neighbour erosion (4-neighbour in 2D) removes. Outside the image counts
as background, so a mask that touches the border has a surface there. A voxel stands for its centre and each counts once.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]
Floats = NDArray[np.float64]

# Nearest neighbours are found in a tree of edge voxels or, where these fill much of the box, by its distance transform.
_DENSE = 1 / 20


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

"""What readers return and raise: volumes that know where they lie, and outputs that cannot be used."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]


class UnreadableOutput(ValueError):  # noqa: N818 - named after what happened, as its failure code is
    """A file that a model returned is not what the interface asks for; the message is for the operator."""


class WrongGeometry(UnreadableOutput):
    """A returned mask does not lie on the grid of its reference."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Where voxels lie.

    Attributes:
        shape: Number of voxels along each of three axes.
        affine: float64, 4x4, from voxel index to position in LPS, mm.
    """

    shape: tuple[int, ...]
    affine: Affine

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel size along each axis."""
        return tuple(float(size) for size in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def corners_mm(self) -> NDArray[np.float64]:
        """Centres of the eight corner voxels in LPS, (8, 3), mm."""
        ends = np.array(list(np.ndindex(2, 2, 2))) * (np.array(self.shape) - 1)
        corners: NDArray[np.float64] = ends @ self.affine[:3, :3].T + self.affine[:3, 3]
        return corners


@dataclass(frozen=True, slots=True)
class Volume:
    """Voxels, and where they lie.

    Attributes:
        array: Three axes, the nearest to left-right, back-front and feet-head in this order; indices grow towards the patient's
            right, front and head.
        affine: float64, 4x4, from voxel index to position in LPS, mm.
    """

    array: NDArray[Any]
    affine: Affine

    @property
    def grid(self) -> Grid:
        """Where the voxels lie."""
        return Grid(self.array.shape, self.affine)

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Voxel size along each axis."""
        return self.grid.spacing_mm


def same_grid(a: Grid | Volume, b: Grid | Volume, tolerance_mm: float = 1e-3) -> str | None:
    """None where both lie on one grid, else what differs, in numbers.

    Positions of the corners are compared, not entries of the affine: a small error of direction moves a far corner a lot.
    """
    a, b = (x.grid if isinstance(x, Volume) else x for x in (a, b))
    if a.shape != b.shape:
        return f"shape is {_times(a.shape)}, the reference's {_times(b.shape)}"
    distance_mm = float(np.linalg.norm(a.corners_mm - b.corners_mm, axis=1).max())
    if distance_mm <= tolerance_mm:
        return None
    spacings = f"spacing {_times(a.spacing_mm)} mm, the reference's {_times(b.spacing_mm)} mm"
    return f"a corner lies {distance_mm:.4g} mm from the reference's ({spacings})"


def canonical(array: NDArray[Any], affine: Affine, like: Grid | None = None) -> Volume:
    """The same voxels with axes permuted and flipped; a view, nothing is resampled.

    Args:
        array: Three axes.
        affine: From voxel index to position in LPS, mm; axes at right angles where there is a ``like``.
        like: Axes come to lie as this grid's; without it, as `Volume` describes. A grid turned by 45 degrees is as near to one
            axis of the patient as to another, so that rounding alone would decide for a mask and its reference, each by itself.
    """
    from nibabel.orientations import apply_orientation

    orientation, affine = _canonical(array.shape, affine, like)
    return Volume(apply_orientation(array, orientation), affine)


def canonical_grid(grid: Grid, like: Grid | None = None) -> Grid:
    """The grid that `canonical` gives."""
    orientation, affine = _canonical(grid.shape, grid.affine, like)
    order = np.argsort(orientation[:, 0])
    return Grid(tuple(grid.shape[axis] for axis in order), affine)


def _canonical(shape: tuple[int, ...], affine: Affine, like: Grid | None) -> tuple[NDArray[np.float64], Affine]:
    """Orientation in nibabel's terms, towards RAS or towards the axes of ``like``, and the new affine in ours."""
    from nibabel.orientations import inv_ornt_aff, io_orientation

    turned = LPS_RAS @ affine
    if like is not None:
        turned = np.eye(4)
        turned[:3, :3] = _directions(like.affine).T @ _directions(affine)
    orientation = io_orientation(turned)
    return orientation, affine @ inv_ornt_aff(orientation, shape)


def _directions(affine: Affine) -> NDArray[np.float64]:
    """Direction of each axis in LPS, (3, 3), a column of length 1 each."""
    directions: NDArray[np.float64] = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return directions


LPS_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def _times(values: tuple[float, ...]) -> str:
    return " x ".join(f"{value:.6g}" for value in values)

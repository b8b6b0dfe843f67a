"""Readers: from a file to voxels with their place in the patient (LPS, mm), or to a probability.

What a model returned is read as an attack: a regular file, of the declared kind and size, or `UnreadableOutput`. Files of the
cohort are the data holder's, so that the same faults there are a `CohortError`.
"""

from pathlib import Path
from typing import Literal

from tef.errors import CohortError
from tef.readers import nifti
from tef.readers.base import Grid, UnreadableOutput, Volume, WrongGeometry, same_grid
from tef.readers.image import read_pixels, read_volume
from tef.readers.table import read_probability

__all__ = [
    "Grid",
    "UnreadableOutput",
    "Volume",
    "WrongGeometry",
    "check_output",
    "read_mask",
    "read_pixels",
    "read_probability",
    "read_reference_mask",
    "read_volume",
    "same_grid",
]

Kind = Literal["mask", "probability"]

read_mask = nifti.read_mask


def read_reference_mask(path: Path) -> Volume:
    """A mask of the reference standard, bool.

    Raises:
        CohortError: It cannot be read.
    """
    try:
        return read_mask(path, nifti.MAX_VOXELS)
    except (UnreadableOutput, OSError) as error:
        raise _of_reference(path, error) from error


def check_output(path: Path, kind: Kind, reference: Path | int) -> None:
    """Read an output whole and hold it against its reference.

    Args:
        path: The file that was returned, a regular one.
        kind: Of the interface's output.
        reference: The reference mask's file; for a probability its class, which is not used.

    Raises:
        WrongGeometry: The mask does not lie on the reference's grid; said from the header, before any voxel is unpacked.
        UnreadableOutput: The file is not what ``kind`` asks for.
        CohortError: The reference cannot be read.
    """
    if kind == "probability":
        read_probability(path)
        return
    if isinstance(reference, int):
        raise CohortError(f"the reference standard of mask {path.name} is the class {reference}; a mask file")
    try:
        expected = nifti.read_grid(reference)
    except (UnreadableOutput, OSError) as error:
        raise _of_reference(reference, error) from error
    if difference := same_grid(nifti.read_grid(path, like=expected), expected):
        raise WrongGeometry(f"{path.name}: {difference}; a mask on the grid of its input")
    voxels = expected.shape[0] * expected.shape[1] * expected.shape[2]
    read_mask(path, voxels, expected)


def _of_reference(path: Path, error: Exception) -> CohortError:
    return CohortError(f"reference standard {path}: cannot be read ({error}); restore the cohort")

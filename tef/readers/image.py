"""Images of a cohort or of training data, whatever their format."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tef.errors import CohortError
from tef.readers import nifti
from tef.readers.base import UnreadableOutput, Volume
from tef.readers.dicom import compact, read_series


def read_volume(path: Path) -> Volume:
    """Read a NIfTI file or a folder with one DICOM series; axes and dtype are the same for the same image in both.

    Raises:
        CohortError: The image cannot be read.
    """
    if path.is_dir():
        return read_series(path)
    try:
        volume = nifti.read_image(path)
    except (UnreadableOutput, OSError) as error:
        raise CohortError(
            f"{path}: cannot be read ({error}); a complete NIfTI file or a folder with one DICOM series"
        ) from error
    return Volume(compact(volume.array), volume.affine)


def read_pixels(path: Path) -> NDArray[Any]:
    """Decoded pixels, as `tef.cohort.pixel_sha256` takes them.

    Args:
        path: NIfTI file, PNG file, or folder with one DICOM series.

    Returns:
        Of a volume: as `Volume`, int16 where all values are whole and fit, else float32. Of a PNG: (rows, columns) or
        (rows, columns, channels), the file's own dtype.

    Raises:
        CohortError: The image cannot be read.
    """
    if path.suffix.lower() != ".png":
        return read_volume(path).array
    import numpy as np
    from PIL import Image

    try:
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB") if image.mode == "P" else image)
    except OSError as error:
        raise CohortError(f"{path}: is not a PNG image ({error}); a complete PNG file") from error

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tef.cohorts.ct_writer import Grid, write_ct_series, write_mask

if TYPE_CHECKING:
    import pydicom

GRID = Grid(origin_mm=(-123.4, 56.7, -210.5), voxel_mm=(0.703125, 0.703125, 1.0 / 0.7))
SHAPE = (5, 4, 3)


@pytest.fixture
def volume_hu() -> np.ndarray:
    """Every voxel of ``[column, row, slice]`` has its own value, the lowest and the highest HU among them."""
    volume = np.arange(np.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
    volume[0, 0, 0], volume[-1, -1, -1] = -1024, 3071
    return volume


@pytest.fixture
def series(tmp_path: Path, volume_hu: np.ndarray) -> "list[pydicom.Dataset]":
    """The volume as written and read back, by file name."""
    import pydicom

    write_ct_series(tmp_path / "ct", volume_hu, GRID, slice_thickness_mm=3.0, patient_id="LP-TEST")
    return [pydicom.dcmread(path) for path in sorted((tmp_path / "ct").iterdir())]


def dicom_position_mm(dataset: "pydicom.Dataset", column: int, row: int) -> np.ndarray:
    """The DICOM standard's own equation (PS3.3 C.7.6.2.1.1), LPS."""
    along_row, along_column = np.split(np.array(dataset.ImageOrientationPatient, dtype=float), 2)
    between_rows, between_columns = map(float, dataset.PixelSpacing)
    origin = np.array(dataset.ImagePositionPatient, dtype=float)
    return origin + along_row * between_columns * column + along_column * between_rows * row


def test_hounsfield_units_come_back(series: "list[pydicom.Dataset]", volume_hu: np.ndarray) -> None:
    """Stored pixels, rescaled, are the volume: rows down, columns across, slices upwards."""
    for k, dataset in enumerate(series):
        hu = dataset.pixel_array.astype(int) * int(dataset.RescaleSlope) + int(dataset.RescaleIntercept)
        assert (hu == volume_hu[:, :, k].T).all()


def test_image_and_mask_share_one_space(tmp_path: Path, series: "list[pydicom.Dataset]") -> None:
    """Any index is the same point by DICOM's equation (LPS) and by the NIfTI's affine (RAS)."""
    import nibabel as nib

    mask = np.zeros(SHAPE, dtype=bool)
    write_mask(tmp_path / "nodule" / "001.nii", mask, GRID)
    affine = nib.load(tmp_path / "nodule" / "001.nii").affine

    for k, dataset in enumerate(series):
        for column, row in [(0, 0), (4, 0), (0, 3), (63, 63)]:
            x, y, z = (affine @ [column, row, k, 1])[:3]
            np.testing.assert_allclose([-x, -y, z], dicom_position_mm(dataset, column, row), atol=1e-4)


def test_a_mask_comes_back(tmp_path: Path) -> None:
    """One voxel of ``[column, row, slice]`` is 1 at that place, in uint8 and without compression."""
    import nibabel as nib

    mask = np.zeros(SHAPE, dtype=bool)
    mask[4, 1, 2] = True
    write_mask(tmp_path / "nodule" / "001.nii", mask, GRID)
    image = nib.load(tmp_path / "nodule" / "001.nii")

    assert np.argwhere(np.asarray(image.dataobj)).tolist() == [[4, 1, 2]]
    assert image.get_data_dtype() == np.uint8
    assert image.header.get_zooms() == pytest.approx(GRID.voxel_mm)
    assert (tmp_path / "nodule" / "001.nii").read_bytes()[344:347] == b"n+1"


def test_a_series_is_one_valid_ct(series: "list[pydicom.Dataset]") -> None:
    """All slices share study, series and frame of reference; each has its own instance UID, alike in data set and file meta."""
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        assert len({dataset[name].value for dataset in series}) == 1
    assert len({dataset.SOPInstanceUID for dataset in series}) == 3
    for dataset in series:
        assert dataset.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert all(dataset[name].value.is_valid for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"))


def test_the_image_says_that_it_is_no_patient(series: "list[pydicom.Dataset]") -> None:
    """Identity is marked as removed, how is said, and no birth date, sex or name is there."""
    for dataset in series:
        assert dataset.PatientIdentityRemoved == "YES"
        assert "no pixel of a patient" in dataset.DeidentificationMethod
        assert dataset.PatientID == dataset.PatientName == "LP-TEST"
        assert not dataset.PatientBirthDate
        assert not dataset.PatientSex


def test_slice_thickness_is_not_slice_distance(series: "list[pydicom.Dataset]") -> None:
    """Thickness is the collimation; the distance is in the positions."""
    z_mm = [float(dataset.ImagePositionPatient[2]) for dataset in series]

    assert np.diff(z_mm) == pytest.approx(1.0 / 0.7)
    assert {float(dataset.SliceThickness) for dataset in series} == {3.0}

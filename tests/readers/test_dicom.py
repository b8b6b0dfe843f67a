"""A DICOM series as a volume, and its pixels beside the same image in other formats."""

from pathlib import Path

import numpy as np
import pytest

from tef.cohort import pixel_sha256
from tef.errors import CohortError
from tef.readers import read_pixels, read_volume
from tef.readers.dicom import read_series

SHARED = Path(__file__).parents[2] / "../shared/data"
SERIES = "1.2.3.4"
HU = np.random.default_rng(0).integers(-1000, 1000, (6, 5, 4)).astype(np.int16)  # columns, rows, slices


def write(path, plane, z_mm, orientation=(1, 0, 0, 0, 1, 0), intercept="-1024", slope="1", **changes):
    """One CT slice of 0.5 mm rows and 0.8 mm columns at x = -10, y = 20."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    one = FileDataset(path, {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    one.SeriesInstanceUID = SERIES
    one.Rows, one.Columns = plane.shape[1], plane.shape[0]
    one.PixelSpacing = [0.5, 0.8]
    one.ImageOrientationPatient = list(orientation)
    one.ImagePositionPatient = [-10, 20, z_mm]
    one.RescaleSlope, one.RescaleIntercept = slope, intercept
    one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation = 15, 1
    one.PixelData = np.ascontiguousarray((plane - int(intercept)).T.astype("<i2")).tobytes()
    for key, value in changes.items():
        setattr(one, key, value)
    one.save_as(path)


def write_series(folder, z_mm=(0, 2.5, 5, 7.5), **changes):
    """Slices in files whose names are in no order."""
    folder.mkdir(exist_ok=True)
    for index, (name, z) in enumerate(zip("cadb", z_mm, strict=True)):
        write(folder / f"{name}.dcm", HU[:, :, index], z, **changes)
    return folder


def test_a_series_is_sorted_by_position_and_rescaled(tmp_path):
    """Hounsfield units as int16, and the voxel that DICOM puts at a place in LPS is found there."""
    volume = read_series(write_series(tmp_path / "ct"))
    assert volume.array.dtype == np.int16
    assert volume.spacing_mm == pytest.approx((0.8, 0.5, 2.5))
    place_mm = [-10 + 0.8 * 4, 20 + 0.5 * 1, 2.5 * 3, 1]
    index = np.linalg.solve(volume.affine, place_mm)[:3]
    assert volume.array[tuple(np.rint(index).astype(int))] == HU[4, 1, 3]


def test_the_same_image_has_the_same_pixels_in_dicom_and_nifti(tmp_path):
    """So that a training image is recognised whatever it is stored as; also as floats and with its axes turned."""
    import nibabel

    expected = pixel_sha256(read_pixels(write_series(tmp_path / "ct")))
    affine = np.array([[-0.8, 0, 0, 10], [0, -0.5, 0, -20], [0, 0, 2.5, 0], [0, 0, 0, 1]])
    turned = affine.copy()
    turned[:3, 3] += turned[:3, 0] * (HU.shape[0] - 1)
    turned[:3, 0] *= -1
    for name, array, place in [("a", HU, affine), ("b", HU.astype(np.float32), affine), ("c", HU[::-1].copy(), turned)]:
        nibabel.save(nibabel.Nifti1Image(array, place), tmp_path / f"{name}.nii.gz")
        assert pixel_sha256(read_pixels(tmp_path / f"{name}.nii.gz")) == expected


def test_values_that_are_not_whole_are_float32(tmp_path):
    """A PET series scales each slice by its own slope."""
    volume = read_series(write_series(tmp_path / "pet", slope="0.5", intercept="0"))
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(np.sort(volume.array, axis=None), np.sort(HU * np.float32(0.5), axis=None))


def test_a_tilted_gantry_shows_in_the_affine(tmp_path):
    """Each slice is shifted along y; every voxel still lies where its file says."""
    folder = tmp_path / "tilted"
    folder.mkdir()
    for index in range(4):
        write(folder / f"{index}.dcm", HU[:, :, index], 2.5 * index, ImagePositionPatient=[-10, 20 + 0.7 * index, 2.5 * index])
    volume = read_series(folder)
    index = np.linalg.solve(volume.affine, [-10, 20 + 0.7 * 3, 7.5, 1])[:3]
    assert volume.array[tuple(np.rint(index).astype(int))] == HU[0, 0, 3]


def test_a_single_slice_takes_its_thickness(tmp_path):
    """Without one there is no spacing, which is an error."""
    write(tmp_path / "a.dcm", HU[:, :, 0], 0, SliceThickness="3")
    assert read_series(tmp_path).spacing_mm == pytest.approx((0.8, 0.5, 3))
    write(tmp_path / "a.dcm", HU[:, :, 0], 0)
    with pytest.raises(CohortError, match="a single slice without SliceThickness"):
        read_series(tmp_path)


def test_missing_and_double_slices_are_named(tmp_path):
    """Uneven steps mean a missing slice; no step means a double one."""
    with pytest.raises(
        CohortError, match=r"slices lie 2.5 to 5 mm apart, up to .* mm off even steps; every slice of the series, once"
    ):
        read_series(write_series(tmp_path / "gap", (0, 2.5, 5, 10)))
    with pytest.raises(CohortError, match=r"two slices lie 0 mm apart; each position once"):
        read_series(write_series(tmp_path / "double", (0, 2.5, 2.5, 5)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"SeriesInstanceUID": "9.9"}, "SeriesInstanceUID is 9.9, in a.dcm 1.2.3.4; one series a folder"),
        ({"orientation": (0, 1, 0, 1, 0, 0)}, r"ImageOrientationPatient is .*; one series a folder"),
        ({"NumberOfFrames": 2}, "holds several frames or colours; one grey slice a file"),
        ({"ImagePositionPatient": None}, "ImagePositionPatient is missing; slices of an image series with positions"),
        ({"PixelData": b"\0\0"}, r"pixels cannot be decoded \(.*\); an uncompressed slice"),
    ],
)
def test_a_slice_that_does_not_belong_is_named(tmp_path, changes, message):
    """The error names the file and the attribute."""
    folder = write_series(tmp_path / "ct")
    write(folder / "x.dcm", HU[:, :, 0], 10, **changes)
    with pytest.raises(CohortError, match=rf"x\.dcm: {message}"):
        read_series(folder)


def test_files_that_are_no_dicom_are_named(tmp_path):
    """An empty folder and a stray text file."""
    with pytest.raises(CohortError, match="holds no file; one DICOM file a slice"):
        read_series(tmp_path)
    (tmp_path / "notes.txt").write_text("x" * 300)
    with pytest.raises(CohortError, match=r"notes\.txt: is not a DICOM file"):
        read_series(tmp_path)


def test_png_pixels_are_decoded(tmp_path):
    """Grey as rows x columns, colour with channels; a broken file is the data holder's to mend."""
    from PIL import Image

    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(read_pixels(tmp_path / "grey.png"), grey)
    Image.fromarray(np.stack([grey] * 3, axis=2)).save(tmp_path / "colour.png")
    assert read_pixels(tmp_path / "colour.png").shape == (3, 4, 3)
    (tmp_path / "broken.png").write_bytes(b"not a png")
    with pytest.raises(CohortError, match=r"broken\.png: is not a PNG image"):
        read_pixels(tmp_path / "broken.png")


def test_a_broken_nifti_image_is_the_data_holders(tmp_path):
    """The error names the path and what is needed."""
    (tmp_path / "ct.nii.gz").write_bytes(b"garbage")
    with pytest.raises(CohortError, match=r"ct\.nii\.gz: cannot be read \(.*\); a complete NIfTI file or a folder"):
        read_volume(tmp_path / "ct.nii.gz")


@pytest.mark.real
def test_a_real_series_lies_where_its_headers_say():
    """A CT of three slices and a PET series: every slice's first pixel is found at its ImagePositionPatient."""
    import pydicom

    folders = [SHARED / "dicom-seg/dcmqi/ct-3slice", SHARED / "sts-dicom/STS_002/PET/image"]
    if not all(folder.is_dir() for folder in folders):
        pytest.skip(f"{SHARED} is not here")
    for folder in folders:
        volume = read_series(folder)
        for path in folder.glob("*.dcm"):
            one = pydicom.dcmread(path)
            index = np.rint(np.linalg.solve(volume.affine, [*one.ImagePositionPatient, 1])[:3]).astype(int)
            value = one.pixel_array[0, 0] * float(one.RescaleSlope) + float(one.RescaleIntercept)
            assert volume.array[tuple(index)] == pytest.approx(value, rel=1e-6)

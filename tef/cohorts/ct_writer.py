"""Writing a simulated CT as a DICOM series and its mask as NIfTI, on one grid and the same to the byte each time."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_INTERCEPT_HU = -1024
_DATE, _TIME = "20000101", "000000"


@dataclass(frozen=True)
class Grid:
    """Where voxels lie: columns run to the patient's left, rows to the back, slices to the head.

    Attributes:
        origin_mm: Centre of the first voxel, LPS.
        voxel_mm: Distance between voxels along column, row, slice.
    """

    origin_mm: tuple[float, float, float]
    voxel_mm: tuple[float, float, float]

    @property
    def affine_ras(self) -> NDArray[np.float64]:
        """Index ``(column, row, slice)`` to mm in NIfTI's frame (RAS), shape (4, 4): x and y are DICOM's, negated."""
        affine = np.diag([*self.voxel_mm, 1.0])
        affine[:3, 3] = self.origin_mm
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def write_mask(path: Path, mask: NDArray[np.bool_], grid: Grid) -> None:
    """Write a mask, ``[column, row, slice]``, as NIfTI of 0 and 1 (uint8); uncompressed, so that no zlib changes the bytes."""
    import nibabel as nib

    image = nib.Nifti1Image(mask.astype(np.uint8), grid.affine_ras)
    image.header.set_xyzt_units("mm")
    path.parent.mkdir(exist_ok=True)
    nib.save(image, path)


def write_ct_series(folder: Path, volume_hu: NDArray[np.int16], grid: Grid, slice_thickness_mm: float, patient_id: str) -> None:
    """Write a volume, ``[column, row, slice]``, as one CT Image Storage file a slice: ``0001.dcm`` is the lowest.

    Args:
        folder: Is created.
        volume_hu: Hounsfield units between -1024 and 3071.
        grid: Where the voxels lie.
        slice_thickness_mm: Collimation, which may differ from the distance between slices.
        patient_id: Opaque id; all UIDs are derived from it.
    """
    folder.mkdir(parents=True)
    for k in range(volume_hu.shape[2]):
        dataset = _common(patient_id, grid, slice_thickness_mm)
        _add_slice(dataset, volume_hu[:, :, k], k, grid, patient_id)
        dataset.save_as(folder / f"{k + 1:04d}.dcm", enforce_file_format=True)


def _uid(*parts: str) -> str:
    from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=["tef", "lidc-phantom", *parts]))


def _common(patient_id: str, grid: Grid, slice_thickness_mm: float) -> "Dataset":
    """What all slices of a series share."""
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = dataset.AcquisitionDate = _DATE
    dataset.StudyTime = dataset.ContentTime = _TIME
    dataset.AccessionNumber = dataset.ReferringPhysicianName = dataset.StudyID = ""
    dataset.Modality = "CT"
    dataset.Manufacturer = "tef"
    dataset.ManufacturerModelName = "lidc-phantom"
    dataset.SeriesDescription = "Simulated CT around a real nodule shape"
    dataset.PatientName = dataset.PatientID = patient_id
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "Simulated image: no pixel of a patient; own identifiers"
    dataset.BodyPartExamined = "CHEST"
    dataset.PatientPosition = "HFS"
    dataset.KVP = None
    dataset.SliceThickness = _decimal(slice_thickness_mm)
    dataset.StudyInstanceUID = _uid(patient_id, "study")
    dataset.SeriesInstanceUID = _uid(patient_id, "series")
    dataset.FrameOfReferenceUID = _uid(patient_id, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.SeriesNumber = dataset.AcquisitionNumber = 1
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [_decimal(grid.voxel_mm[1]), _decimal(grid.voxel_mm[0])]
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    return dataset


def _add_slice(dataset: "Dataset", slice_hu: NDArray[np.int16], k: int, grid: Grid, patient_id: str) -> None:
    """Position, identity and pixels of one slice; pixels are stored as unsigned 12 bit."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    x_mm, y_mm, z_mm = grid.origin_mm
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = _uid(patient_id, "slice", str(k))
    dataset.InstanceNumber = k + 1
    dataset.ImagePositionPatient = [_decimal(x_mm), _decimal(y_mm), _decimal(z_mm + k * grid.voxel_mm[2])]
    dataset.Columns, dataset.Rows = slice_hu.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = _INTERCEPT_HU, 1, "HU"
    dataset.WindowCenter, dataset.WindowWidth = -600, 1500
    dataset.PixelData = (slice_hu.T - _INTERCEPT_HU).astype("<u2").tobytes()
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    # Stated here, so that the bytes do not name the version of pydicom.
    meta.ImplementationClassUID = _uid("implementation")
    meta.ImplementationVersionName = "TEF"
    dataset.file_meta = meta


def _decimal(value_mm: float) -> str:
    """A DICOM decimal string, as precise as its 16 characters allow: a rounded spacing would move the far corner."""
    from pydicom.valuerep import format_number_as_ds

    return str(format_number_as_ds(float(value_mm)))

"""DICOM files as a model may see them: the image as it is, and no name that is the same in another run."""

import io
from pathlib import Path
from typing import Any

from tef.errors import CohortError
from tef.run import Run

# UIDs of the standard itself, such as a SOP class or a transfer syntax, say what a file is and not whose.
_STANDARD = "1.2.840.10008."
_NAMES = ("PatientName", "OtherPatientIDs", "AccessionNumber", "StudyID", "RequestedProcedureID", "DeviceSerialNumber")


def copy_nameless(source: Path, target: Path, run: Run, token: str) -> None:
    """Copy a DICOM file with PatientID, PatientName and every UID of a study, series or object replaced.

    UIDs that were equal stay equal, so that references between files hold; in another run they are others.

    Args:
        token: The case's opaque name in this run: the new PatientID.

    Raises:
        CohortError: The file is not DICOM.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        dataset = pydicom.dcmread(source)
    except (InvalidDicomError, EOFError) as error:
        raise CohortError(f"{source}: is not a DICOM file, or cut short; a DICOM series holds nothing else") from error
    if "SOPInstanceUID" not in dataset:
        raise CohortError(f"{source}: has no SOPInstanceUID; a DICOM image has one")
    dataset.walk(lambda _, element: _replace(element, run, token))
    dataset.PatientID = token
    for name in _NAMES:
        if name in dataset:
            setattr(dataset, name, "")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    # Through memory: pydicom hides from whoever must know that a disk is full.
    encoded = io.BytesIO()
    dataset.save_as(encoded)
    target.write_bytes(encoded.getbuffer())


def _replace(element: Any, run: Run, token: str) -> None:
    if element.VR == "PN" or element.keyword == "PatientID":
        element.value = token if element.keyword == "PatientID" else ""
    if element.VR != "UI" or not element.value:
        return
    if isinstance(element.value, str):
        element.value = _other(element.value, run)
    else:
        element.value = [_other(uid, run) for uid in element.value]


def _other(uid: str, run: Run) -> str:
    return uid if uid.startswith(_STANDARD) else f"2.25.{int(run.opaque('uid', uid)[:32], 16)}"

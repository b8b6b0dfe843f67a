"""Soft-tissue sarcoma on FDG-PET: the 17 test patients of the public set, with the radiation oncologist's tumour volume."""

import csv
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tef.cohort import Case, Cohort, pixel_sha256
from tef.cohorts.building import build
from tef.errors import CohortError

_MANUFACTURERS = {
    "GE MEDICAL SYSTEMS": "GE",
    "Philips Medical Systems": "Philips",
    "SIEMENS": "Siemens",
    "Varian Medical Systems": "Varian",
}
_SEX = {"F": "female", "M": "male"}
_COLUMNS = {"patient_id", "split", "sex", "age", "manufacturer", "model", "gtv_ml"}


def make_sts_pet(out: Path, source: Path) -> Cohort:
    """Build ``sts-pet`` from a folder with ``patients.csv`` and ``<patient>/{pet,gtv}.nii.gz``.

    Each case has the input ``pet`` (float32, SUV) and the reference ``gtv`` (0 outside, 1 inside), copied to the byte.

    Raises:
        CohortError: ``out`` exists already, or the source lacks a file or a column, or holds a value that is not known here.
    """

    def fill(folder: Path) -> tuple[Mapping[str, Any], list[Case]]:
        patients = [row for row in _read_patients(source / "patients.csv") if row["split"] == "test"]
        cases = [_case(row, number, folder, source) for number, row in enumerate(patients, start=1)]
        return _card(cases), cases

    return build(out, fill)


def _read_patients(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise CohortError(f"{path}: is missing; the source is the folder with patients.csv and one folder per patient")
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    if not rows or (absent := _COLUMNS - rows[0].keys()):
        missing = ", ".join(sorted(absent if rows else _COLUMNS))
        raise CohortError(f"{path}: has no {missing}; one row per patient with {', '.join(sorted(_COLUMNS))}")
    return rows


def _case(row: Mapping[str, str], number: int, folder: Path, source: Path) -> Case:
    import nibabel as nib
    import numpy as np

    patient = row["patient_id"]
    paths = {}
    for name in ("pet", "gtv"):
        origin = source / patient / f"{name}.nii.gz"
        if not origin.is_file():
            raise CohortError(f"{origin}: is missing; patients.csv lists {patient} among the test patients")
        paths[name] = folder / name / f"{number:03d}.nii.gz"
        paths[name].parent.mkdir(exist_ok=True)
        shutil.copyfile(origin, paths[name])
    # Axes as tef.readers gives them, towards the patient's right, front and head: what 'tef hash' prints.
    pixels = np.asarray(nib.as_closest_canonical(nib.load(paths["pet"])).dataobj)
    return Case(
        case_id=f"sts-{number:03d}",
        patient_id=patient,
        inputs={"pet": paths["pet"]},
        reference={"gtv": paths["gtv"]},
        attributes={
            "sex": _known(_SEX, row, "sex"),
            "age_years": _age_years(row),
            "manufacturer": _known(_MANUFACTURERS, row, "manufacturer"),
            "model": row["model"],
            "gtv_ml": float(row["gtv_ml"]),
        },
        pixel_sha256=pixel_sha256(pixels),
    )


def _known(names: Mapping[str, str], row: Mapping[str, str], column: str) -> str:
    if row[column] not in names:
        raise CohortError(f"patients.csv: {column} of {row['patient_id']} is {row[column]!r}; known are {', '.join(names)}")
    return names[row[column]]


def _age_years(row: Mapping[str, str]) -> float:
    """The DICOM age string, such as ``059Y``, in years."""
    age = row["age"]
    if not (age.endswith("Y") and age[:-1].isdigit()):
        raise CohortError(f"patients.csv: age of {row['patient_id']} is {age!r}; three digits and Y, such as 059Y")
    return float(age[:-1])


def _card(cases: list[Case]) -> Mapping[str, Any]:
    ages = [int(age) for case in cases if isinstance(age := case.attributes["age_years"], float)]
    return {
        "name": "sts-pet",
        "version": "1.0.0",
        "title": "Soft-tissue sarcoma of the extremities on FDG-PET: gross tumour volume",
        "dct:description": (
            "FDG-PET in SUV (body weight), cropped around the tumour, of the 17 test patients of a public set, with the gross "
            "tumour volume that a radiation oncologist drew. Images and contours are real."
        ),
        "dct:publisher": "The Cancer Imaging Archive; cropped and converted to SUV by the IBSI (theibsi/data_sets)",
        "dct:license": "https://creativecommons.org/licenses/by/3.0/",
        "dct:accessRights": "PUBLIC",
        "dct:provenance": (
            "TCIA collection Soft-tissue-Sarcoma -> IBSI ibsi_validation (crop, SUV) -> copied without change. Cite: "
            "Vallieres M, Freeman CR, Skamene SR, El Naqa I. Phys Med Biol 2015;60:5471-5496. doi:10.1088/0031-9155/60/14/5471"
        ),
        "dcat:theme": "HEAL",
        "dcat:keyword": ["soft-tissue sarcoma", "FDG-PET", "gross tumour volume", "segmentation"],
        "eucaim:collectionMethod": "retrospective, one hospital",
        "eucaim:hasCondition": "soft-tissue sarcoma of the extremities",
        "eucaim:hasImageModality": ["PT"],
        "eucaim:hasImageBodyPart": ["extremity"],
        "eucaim:hasBirthSex": sorted({str(case.attributes["sex"]) for case in cases}),
        "eucaim:hasAnnotationLabel": ["gross tumour volume"],
        "eucaim:hasAlgorithmType": "manual",
        "eucaim:nbrOfSegmentations": len(cases),
        "healthdcatap:numberOfRecords": len(cases),
        "healthdcatap:numberOfUniqueIndividuals": len(cases),
        "healthdcatap:minTypicalAge": min(ages),
        "healthdcatap:maxTypicalAge": max(ages),
        "notes": [
            "Attributes manufacturer and model are those of the set's patient table. They name MR scanners and a radiotherapy "
            "system, not PET scanners: where DICOM headers could be read (6 patients), the PET scanner was a GE Discovery ST "
            "each time. They show how subgroups are reported; they tell nothing about PET vendors.",
            "gtv_ml is the tumour volume of the patient table, in millilitres.",
            "Images are cropped around the tumour, so the task is easier than on whole-body PET.",
        ],
    }

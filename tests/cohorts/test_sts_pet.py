from pathlib import Path

import numpy as np
import pytest

from tef.cohort import Cohort, pixel_sha256
from tef.cohorts.sts_pet import make_sts_pet
from tef.errors import CohortError
from tef.readers import read_pixels

SHARED = Path(__file__).parents[2] / "../shared/data/sts-pet"
HEADER = "patient_id,split,sex,age,manufacturer,model,gtv_ml"


def write_source(folder: Path, *rows: str) -> Path:
    """``patients.csv`` with these rows, and for each row a PET of its own with a mask."""
    import nibabel as nib

    folder.mkdir()
    (folder / "patients.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    for number, row in enumerate(rows):
        patient = folder / row.split(",")[0]
        patient.mkdir()
        nib.save(nib.Nifti1Image(np.full((2, 3, 4), number + 0.5, dtype=np.float32), np.eye(4)), patient / "pet.nii.gz")
        nib.save(nib.Nifti1Image(np.ones((2, 3, 4), dtype=np.uint8), np.eye(4)), patient / "gtv.nii.gz")
    return folder


def test_only_test_patients_are_held_out(tmp_path: Path) -> None:
    """Patients of the training split are not in the cohort; files are copied to the byte, under neutral names."""
    source = write_source(tmp_path / "source", "A,train,F,020Y,SIEMENS,X,1.0", "B,test,M,059Y,GE MEDICAL SYSTEMS,Y,2.5")
    cohort = make_sts_pet(tmp_path / "sts-pet", source)
    (case,) = cohort

    assert case.patient_id == "B"
    assert case.inputs["pet"].read_bytes() == (source / "B" / "pet.nii.gz").read_bytes()
    assert case.inputs["pet"].name == "001.nii.gz"
    assert case.attributes == {"sex": "male", "age_years": 59.0, "manufacturer": "GE", "model": "Y", "gtv_ml": 2.5}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("B,test,?,059Y,SIEMENS,Y,2.5", r"patients\.csv: sex of B is '\?'; known are F, M"),
        ("B,test,M,59,SIEMENS,Y,2.5", r"patients\.csv: age of B is '59'; three digits and Y, such as 059Y"),
        ("B,test,M,059Y,Acme,Y,2.5", r"patients\.csv: manufacturer of B is 'Acme'; known are GE MEDICAL SYSTEMS, "),
    ],
)
def test_a_value_that_is_not_known_is_named(tmp_path: Path, row: str, message: str) -> None:
    """No value is guessed: a new one stops the build and is quoted."""
    with pytest.raises(CohortError, match=message):
        make_sts_pet(tmp_path / "out", write_source(tmp_path / "source", row))


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    """A listed patient without a file stops the build."""
    source = write_source(tmp_path / "source", "B,test,M,059Y,SIEMENS,Y,2.5")
    (source / "B" / "gtv.nii.gz").unlink()

    with pytest.raises(CohortError, match=r"B/gtv\.nii\.gz: is missing; patients\.csv lists B among the test patients"):
        make_sts_pet(tmp_path / "out", source)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    """A patient table without a column stops the build."""
    source = write_source(tmp_path / "source", "B,test,M,059Y,SIEMENS,Y,2.5")
    (source / "patients.csv").write_text("patient_id,split\nB,test\n")

    with pytest.raises(CohortError, match=r"patients\.csv: has no age, gtv_ml, manufacturer, model, sex; one row per patient"):
        make_sts_pet(tmp_path / "out", source)


@pytest.fixture(scope="module")
def real_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Built from the data beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the real cohort is not part of the project")
    return make_sts_pet(tmp_path_factory.mktemp("cohorts") / "sts-pet", SHARED)


@pytest.mark.real
def test_the_pixel_digest_is_what_tef_hash_prints(real_cohort: Cohort) -> None:
    """The digest of the PET as the harness reads it, so that the image is found in declared training data."""
    for case in real_cohort:
        assert case.pixel_sha256 == pixel_sha256(read_pixels(case.inputs["pet"]))


@pytest.mark.real
def test_the_real_cohort_has_its_17_patients(real_cohort: Cohort) -> None:
    """Each test patient is there once, and the manufacturers are normalised."""
    assert len({case.patient_id for case in real_cohort}) == len(real_cohort) == 17
    assert {case.attributes["manufacturer"] for case in real_cohort} == {"GE", "Philips", "Siemens", "Varian"}


@pytest.mark.real
def test_the_real_masks_have_the_volume_that_the_table_says(real_cohort: Cohort) -> None:
    """Voxels times voxel volume is gtv_ml, so that image, mask and table belong together."""
    import nibabel as nib

    for case in real_cohort:
        path = case.reference["gtv"]
        assert isinstance(path, Path)
        image = nib.load(path)
        volume_ml = np.count_nonzero(np.asarray(image.dataobj)) * np.prod(image.header.get_zooms()) / 1000
        assert volume_ml == pytest.approx(case.attributes["gtv_ml"], abs=0.06)
        assert image.shape == nib.load(case.inputs["pet"]).shape

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tef.cohort import Case, file_sha256, load_cohort, pixel_sha256
from tef.cohorts.lidc_phantom import make_lidc_phantom, make_phantom
from tef.errors import CohortError
from tef.readers import read_pixels, read_reference_mask, read_volume, same_grid


@pytest.fixture
def built(tmp_path: Path, database: Callable[..., Path]) -> Path:
    """Two cases of a tiny source."""
    make_phantom(tmp_path / "lidc-phantom", database(4), count=2)
    return tmp_path / "lidc-phantom"


def read_ct(case: Case) -> np.ndarray:
    """HU as ``[column, row, slice]``, int16, slices upwards."""
    import pydicom

    slices = sorted(
        (pydicom.dcmread(path) for path in case.inputs["ct"].iterdir()), key=lambda one: one.ImagePositionPatient[2]
    )
    return np.stack([(one.pixel_array.T.astype(np.int16) + int(one.RescaleIntercept)) for one in slices], axis=-1)


def read_mask(case: Case) -> np.ndarray:
    """Mask, ``[column, row, slice]``."""
    import nibabel as nib

    path = case.reference["nodule"]
    assert isinstance(path, Path)
    return np.asarray(nib.load(path).dataobj)


def test_the_same_source_gives_the_same_bytes(tmp_path: Path, database: Callable[..., Path]) -> None:
    """Built twice, every file and the digest are equal."""
    source = database(4)
    first, second = (make_phantom(tmp_path / name, source, count=3) for name in ("one", "two"))

    assert first.sha256 == second.sha256
    for path in first.folder.rglob("*.*"):
        assert file_sha256(path) == file_sha256(second.folder / path.relative_to(first.folder))


def test_the_nodule_is_not_transposed(built: Path) -> None:
    """The mask has the readers' shape, wider than high with its foot at the lower right, and the CT is dense just there."""
    for case in load_cohort(built):
        volume_hu, mask = read_ct(case), read_mask(case)
        middle = mask[:, :, mask.any(axis=(0, 1)).argmax() + 1]
        columns, rows = np.nonzero(middle)
        shape = middle[columns.min() : columns.max() + 1, rows.min() : rows.max() + 1].T
        assert shape.tolist() == [[1] * 11] * 3 + [[0] * 6 + [1] * 5] * 4
        assert volume_hu[mask == 1].mean() > volume_hu[mask == 0].mean() + 100


def test_image_and_reference_have_one_grid(built: Path) -> None:
    """A mask on the grid that the harness reads from the CT is on the grid of the reference."""
    for case in load_cohort(built):
        assert isinstance(case.reference["nodule"], Path)
        assert same_grid(read_volume(case.inputs["ct"]), read_reference_mask(case.reference["nodule"])) is None


def test_the_pixel_digest_is_what_tef_hash_prints(built: Path) -> None:
    """The digest of the volume as the harness reads it, so that the image is found in declared training data."""
    for case in load_cohort(built):
        assert case.pixel_sha256 == pixel_sha256(read_pixels(case.inputs["ct"]))


def test_attributes_are_the_source_s(built: Path) -> None:
    """Thickness and ratings are the database's; the diameter is that of the sphere of the mask's volume."""
    for case in load_cohort(built):
        volume_mm3 = read_mask(case).sum() * 0.7 * 0.7 * 2.5
        assert case.attributes["slice_thickness_mm"] == 2.5
        assert case.attributes["reader_count"] == 3
        assert case.attributes["diameter_mm"] == pytest.approx((6 * volume_mm3 / np.pi) ** (1 / 3), abs=0.01)
        assert case.reference["malignancy"] == int(case.attributes["malignancy_mean"] == 5)


def test_classes_are_balanced(built: Path) -> None:
    """Of two cases, one is malignant."""
    assert sorted(case.reference["malignancy"] for case in load_cohort(built)) == [0, 1]


def test_nothing_the_model_sees_names_the_case(built: Path) -> None:
    """DICOM files hold neither the case's id, nor its number, nor the real patient or series."""
    for case in load_cohort(built):
        for path in case.inputs["ct"].iterdir():
            content = path.read_bytes()
            assert case.case_id.encode() not in content.lower()
            assert b"LIDC-0" not in content
        assert not case.patient_id.endswith(case.case_id[-3:])


def test_the_card_says_what_is_simulated(built: Path) -> None:
    """Real and simulated parts, licence and citation stand in the card; sources.tsv names the real scans."""
    card = json.loads((built / "card.json").read_text())
    sources = (built / "sources.tsv").read_text().splitlines()

    assert any("shape" in line for line in card["real"])
    assert any("attenuation" in line for line in card["simulated"])
    assert card["dct:license"] == "https://creativecommons.org/licenses/by/3.0/"
    assert "Armato" in card["dct:provenance"]
    assert [line.split("\t")[0] for line in sources] == ["case_id", "lp-001", "lp-002"]
    assert all("LIDC-0" in line for line in sources[1:])


def test_too_few_patients_are_named(tmp_path: Path, database: Callable[..., Path]) -> None:
    """A source that cannot fill the cohort is refused, and nothing is left behind."""
    with pytest.raises(CohortError, match="holds 4 patients with an eligible nodule; 40 are needed"):
        make_lidc_phantom(tmp_path / "out" / "lidc-phantom", database(4))

    assert list((tmp_path / "out").iterdir()) == []

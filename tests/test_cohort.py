import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tef.cohort import Case, Cohort, load_cohort, pixel_sha256, write_cohort
from tef.errors import CohortError

CARD = {"name": "toy", "version": "1.0.0", "title": "A toy"}


def make_case(folder: Path, number: int) -> Case:
    """A case with a file, a series of two files, a mask, a class and an attribute that is not known."""
    image, series, mask = folder / "image" / f"{number}.nii", folder / "ct" / f"{number}", folder / "mask" / f"{number}.nii"
    series.mkdir(parents=True)
    for path in (image, mask, series / "1.dcm", series / "2.dcm"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{path.name} of {number}")
    return Case(
        case_id=f"c{number}",
        patient_id="p1",
        inputs={"image": image, "ct": series},
        reference={"mask": mask, "malignancy": number % 2},
        attributes={"sex": "female", "age_years": 50.0 + number, "stage": None},
        pixel_sha256="0" * 64,
    )


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """Two cases, written."""
    folder = tmp_path / "toy"
    return write_cohort(folder, CARD, [make_case(folder, number) for number in (1, 2)])


def test_what_is_written_is_read_back(cohort: Cohort) -> None:
    """Cases, their order, the card and the digest survive."""
    loaded = load_cohort(cohort.folder)

    assert loaded == cohort
    assert [case.case_id for case in loaded] == ["c1", "c2"]
    assert loaded.cases[0].inputs["ct"] == cohort.folder / "ct" / "1"
    assert loaded.cases[0].reference == {"mask": cohort.folder / "mask" / "1.nii", "malignancy": 1}
    assert loaded.cases[1].attributes == {"sex": "female", "age_years": 52.0, "stage": None}
    assert loaded.card == CARD


def test_the_digest_is_that_of_the_manifest(cohort: Cohort) -> None:
    """Anyone can check it with sha256sum."""
    manifest = (cohort.folder / "manifest.tsv").read_bytes()

    assert cohort.sha256 == hashlib.sha256(manifest).hexdigest()
    assert f"{hashlib.sha256(b'1.nii of 1').hexdigest()}\t10\timage/1.nii" in manifest.decode().splitlines()


def change_one_byte(folder: Path) -> None:
    """Same size, other content."""
    (folder / "ct" / "2" / "1.dcm").write_text("1.dcm of X")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change_one_byte, r"ct/2/1\.dcm: does not match its digest \(1 changed files\); restore the cohort"),
        (
            lambda folder: (folder / "card.json").write_text(json.dumps(CARD | {"title": "x"})),
            r"card\.json: does not match its digest \(1 changed files\); restore the cohort",
        ),
        (
            lambda folder: (folder / "mask" / "1.nii").unlink(),
            r"mask/1\.nii: is missing \(1 of 10 files\); restore the cohort",
        ),
        (
            lambda folder: (folder / "ct" / "1" / "3.dcm").write_text("one more"),
            r"ct/1/3\.dcm: is not in the manifest \(1 such files\); restore the cohort",
        ),
        (lambda folder: (folder / "manifest.tsv").unlink(), r"manifest\.tsv is missing; the held-out data are not part of"),
        (
            lambda folder: (folder / "manifest.tsv").write_text("no\n"),
            r"manifest\.tsv:1: is not 'sha256 <tab> size <tab> path'",
        ),
    ],
)
def test_damage_is_named_by_file(cohort: Cohort, damage: Callable[[Path], object], message: str) -> None:
    """A changed, missing or added file stops the loading, and the message says which."""
    damage(cohort.folder)

    with pytest.raises(CohortError, match=message):
        load_cohort(cohort.folder)


def test_an_absent_cohort_is_named(tmp_path: Path) -> None:
    """A folder that is not there gives one line, not a traceback."""
    with pytest.raises(CohortError, match=r"none: manifest\.tsv is missing; the held-out data are not part of the program"):
        load_cohort(tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"case_id": "c1"}, "case ids are double; one row with its own id per case"),
        ({"attributes": {"sex": "male"}}, "case c2 differs in age_years, stage; all cases have the same columns"),
        ({"inputs": {"image": Path("/etc/hostname"), "ct": Path("/etc")}}, "of case c2 is not in .*; copy it there first"),
    ],
)
def test_cases_that_do_not_fit_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    """Double ids, differing columns and files outside the folder are told when the cohort is made."""
    folder = tmp_path / "toy"
    first, second = make_case(folder, 1), make_case(folder, 2)

    with pytest.raises(CohortError, match=message):
        write_cohort(folder, CARD, [first, dataclasses.replace(second, **change)])


def test_an_empty_cohort_is_refused(tmp_path: Path) -> None:
    """Nothing can be said about no case."""
    with pytest.raises(CohortError, match="holds no case; a cohort has at least one"):
        write_cohort(tmp_path, CARD, [])


@pytest.mark.parametrize("key", ["name", "version", "title"])
def test_a_card_without_identity_is_refused(tmp_path: Path, key: str) -> None:
    """Name, version and title are what a report calls the cohort by."""
    card = {other: value for other, value in CARD.items() if other != key}

    with pytest.raises(CohortError, match=rf"card\.json: '{key}' is missing; the card names the cohort"):
        write_cohort(tmp_path, card, [make_case(tmp_path, 1)])


def test_the_pixel_digest_is_that_of_values_not_of_storage() -> None:
    """Byte order and memory layout do not count; dtype, shape and every value do."""
    pixels = np.arange(6, dtype=np.int16).reshape(2, 3)
    digest = pixel_sha256(pixels)

    assert digest == pixel_sha256(pixels.astype(">i2")) == pixel_sha256(np.asfortranarray(pixels))
    assert digest == hashlib.sha256(b"int16 2x3\n" + pixels.astype("<i2").tobytes()).hexdigest()
    assert len({digest, pixel_sha256(pixels.astype(np.int32)), pixel_sha256(pixels.T), pixel_sha256(pixels + np.int16(1))}) == 4

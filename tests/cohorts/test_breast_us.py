from pathlib import Path

import numpy as np
import pytest

from tef.cohort import Cohort, pixel_sha256
from tef.cohorts.breast_us import make_breast_us
from tef.errors import CohortError
from tef.readers import read_pixels

SHARED = Path(__file__).parents[2] / "../shared/data/breastmnist"


def write_source(path: Path) -> Path:
    """Three images; the file calls the first malignant (0), the others not (1)."""
    images = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    np.savez(path, test_images=images, test_labels=np.array([[0], [1], [1]], dtype=np.uint8))
    return path


def test_one_is_malignant(tmp_path: Path) -> None:
    """The file's label 0, malignant, becomes 1."""
    cohort = make_breast_us(tmp_path / "breast-us", write_source(tmp_path / "breastmnist.npz"))

    assert [case.reference["malignancy"] for case in cohort] == [1, 0, 0]


def test_pixels_come_back(tmp_path: Path) -> None:
    """Each PNG decodes to the file's pixels, and the digest is theirs."""
    from PIL import Image

    source = write_source(tmp_path / "breastmnist.npz")
    cohort = make_breast_us(tmp_path / "breast-us", source)

    for case, image in zip(cohort, np.load(source)["test_images"], strict=True):
        assert (np.asarray(Image.open(case.inputs["image"])) == image).all()
        assert case.pixel_sha256 == pixel_sha256(image) == pixel_sha256(read_pixels(case.inputs["image"]))


def test_no_patient_is_invented(tmp_path: Path) -> None:
    """Each image is its own patient, the card says why, and the number of individuals is unknown."""
    cohort = make_breast_us(tmp_path / "breast-us", write_source(tmp_path / "breastmnist.npz"))

    assert len({case.patient_id for case in cohort}) == 3
    assert cohort.card["healthdcatap:numberOfUniqueIndividuals"] is None
    assert any("Patients are not known" in note for note in cohort.card["notes"])


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    """Built twice, the digest is equal."""
    source = write_source(tmp_path / "breastmnist.npz")

    assert make_breast_us(tmp_path / "one", source).sha256 == make_breast_us(tmp_path / "two", source).sha256


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    """Text, missing arrays and a wrong shape each give one line."""
    (tmp_path / "text.npz").write_text("no arrays")
    np.savez(tmp_path / "other.npz", train_images=np.zeros(3))
    np.savez(tmp_path / "large.npz", test_images=np.zeros((2, 64, 64), dtype=np.uint8), test_labels=np.zeros(2, dtype=np.uint8))

    for name in ("text", "other"):
        with pytest.raises(CohortError, match=rf"{name}\.npz: cannot be read .*; breastmnist\.npz with test_images"):
            make_breast_us(tmp_path / "out", tmp_path / f"{name}.npz")
    with pytest.raises(
        CohortError, match=r"large\.npz: holds uint8 images \(2, 64, 64\); uint8 \(n, 28, 28\) with labels 0 and 1"
    ):
        make_breast_us(tmp_path / "out", tmp_path / "large.npz")


@pytest.fixture(scope="module")
def real_cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Built from the data beside the project."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is absent: the real cohort is not part of the project")
    return make_breast_us(tmp_path_factory.mktemp("cohorts") / "breast-us", SHARED)


@pytest.mark.real
def test_the_real_cohort_has_its_classes(real_cohort: Cohort) -> None:
    """156 images, 42 of them malignant."""
    assert len(real_cohort) == 156
    assert sum(int(case.reference["malignancy"] == 1) for case in real_cohort) == 42


@pytest.mark.real
def test_the_known_leak_is_found_by_digest(real_cohort: Cohort) -> None:
    """One test image stands to the byte in the training split; the pixel digests find it and nothing else."""
    train = {pixel_sha256(image) for image in np.load(SHARED / "breastmnist.npz")["train_images"]}

    assert sum(case.pixel_sha256 in train for case in real_cohort) == 1

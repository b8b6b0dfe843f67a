"""Dice and volume differences, against masks counted by hand."""

import numpy as np
import pytest

from tef.metrics.base import MaskPair, Undefined
from tef.metrics.overlap import AbsoluteVolumeDifference, Dice, RelativeVolumeDifference

DICE = Dice(metric="dice", both_empty=1.0)
ABSOLUTE = AbsoluteVolumeDifference(metric="absolute-volume-difference")
RELATIVE = RelativeVolumeDifference(metric="relative-volume-difference")
SPACING_MM = (1.0, 2.0, 5.0)


def mask(*voxels):
    """A 4 x 4 x 4 mask of these voxels."""
    array = np.zeros((4, 4, 4), dtype=bool)
    for voxel in voxels:
        array[voxel] = True
    return array


EMPTY = mask()
ONE = mask((0, 0, 0))
TWO = mask((0, 0, 0), (3, 3, 3))
FIVE = mask((0, 0, 0), (1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 2, 2))


def test_dice_counts_common_voxels_twice():
    """One common voxel of two and five gives 2 x 1 / 7."""
    assert DICE.score(TWO, FIVE, SPACING_MM) == 2 / 7


def test_dice_is_one_for_equal_and_zero_for_disjoint_masks():
    """The ends of the scale, among them the two cases of one empty mask."""
    assert DICE.score(FIVE, FIVE, SPACING_MM) == 1
    assert [DICE.score(a, b, SPACING_MM) for a, b in [(mask((0, 1, 2)), FIVE), (EMPTY, FIVE), (FIVE, EMPTY)]] == [0, 0, 0]


@pytest.mark.parametrize(
    ("both_empty", "expected"),
    [(1.0, 1.0), (0.0, 0.0), ("undefined", Undefined("prediction and reference standard are both empty"))],
)
def test_dice_of_two_empty_masks_is_what_the_protocol_says(both_empty, expected):
    """The protocol decides whether finding nothing where nothing is counts."""
    assert Dice(metric="dice", both_empty=both_empty).score(EMPTY, EMPTY, SPACING_MM) == expected


def test_volume_differences_are_in_millilitres_and_as_a_share():
    """Two against five voxels of 10 mm3: 0.03 ml, and three fifths of the reference."""
    assert ABSOLUTE.score(TWO, FIVE, SPACING_MM) == pytest.approx(0.03)
    assert RELATIVE.score(TWO, FIVE, SPACING_MM) == pytest.approx(0.6)
    assert RELATIVE.score(FIVE, TWO, SPACING_MM) == pytest.approx(1.5)


def test_relative_volume_difference_is_undefined_for_an_empty_reference():
    """There is nothing to divide by, also where the prediction is empty too."""
    reason = Undefined("the reference standard is empty")
    assert [RELATIVE.score(TWO, EMPTY, SPACING_MM), RELATIVE.score(EMPTY, EMPTY, SPACING_MM)] == [reason, reason]
    assert ABSOLUTE.score(EMPTY, EMPTY, SPACING_MM) == 0


def test_a_failed_case_counts_as_the_worst():
    """A failure never counts as a correct empty prediction."""
    assert [DICE.worst(FIVE, SPACING_MM), DICE.worst(EMPTY, SPACING_MM)] == [0, 0]
    assert ABSOLUTE.worst(FIVE, SPACING_MM) == pytest.approx(0.59)
    assert ABSOLUTE.worst(~FIVE, SPACING_MM) == pytest.approx(0.59)
    assert ABSOLUTE.worst(EMPTY, SPACING_MM) == pytest.approx(0.64)
    assert RELATIVE.worst(FIVE, SPACING_MM) == 59 / 5
    assert RELATIVE.worst(~FIVE, SPACING_MM) == 1
    assert RELATIVE.worst(EMPTY, SPACING_MM) == Undefined("the reference standard is empty")


@pytest.mark.parametrize(
    ("prediction", "spacing_mm", "message"),
    [
        (ONE[:3], SPACING_MM, r"prediction has shape \(3, 4, 4\), reference \(4, 4, 4\); they must be equal"),
        (ONE.astype(np.uint8), SPACING_MM, r"masks are uint8 and bool; both must be bool"),
        (ONE, (1.0, 1.0), r"spacing_mm is \(1.0, 1.0\); it must be 3 positive numbers"),
        (ONE, (1.0, 1.0, 0.0), r"spacing_mm is \(1.0, 1.0, 0.0\); it must be 3 positive numbers"),
        (ONE, (1.0, 1.0, -2.0), r"spacing_mm is \(1.0, 1.0, -2.0\); it must be 3 positive numbers"),
        (ONE, (1.0, 1.0, np.nan), r"spacing_mm is \(1.0, 1.0, nan\); it must be 3 positive numbers"),
    ],
)
def test_masks_and_spacings_that_do_not_fit_are_refused(prediction, spacing_mm, message):
    """A wrong shape, type or spacing never becomes a number."""
    with pytest.raises(ValueError, match=message):
        DICE.score(prediction, ONE, spacing_mm)


def test_metrics_of_one_case_share_their_masks():
    """A pair measured once gives what each metric gives by itself."""
    pair = MaskPair(TWO, FIVE, SPACING_MM)
    for metric in (DICE, ABSOLUTE, RELATIVE):
        assert metric.measure(pair) == metric.score(TWO, FIVE, SPACING_MM)

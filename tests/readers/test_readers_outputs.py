"""Checking what a model returned."""

import numpy as np
import pytest

from tef.errors import CohortError
from tef.readers import (
    UnreadableOutput,
    WrongGeometry,
    check_output,
    read_mask,
    read_reference_mask,
    same_grid,
)


def save(path, shape=(4, 5, 6), affine=None, value=1):
    """Write a mask of one value."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.full(shape, value, dtype=np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def test_a_mask_on_the_grid_of_its_reference_passes(tmp_path):
    """Compressed or not."""
    reference, output = save(tmp_path / "reference.nii.gz"), save(tmp_path / "tumour.nii")
    check_output(output, "mask", reference)


@pytest.mark.parametrize("seed", range(12))
def test_a_grid_turned_by_45_degrees_is_read_like_its_reference(tmp_path, seed):
    """Two axes are equally near to left-right, so that noise of 1e-7 would decide, for each file by itself."""
    import nibabel

    random = np.random.default_rng(seed)
    voxels = random.random((4, 5, 6)) < 0.5
    turn = np.eye(4)
    turn[:2, :2] = np.array([[1, -1], [1, 1]]) / np.sqrt(2)
    for name in ("reference.nii", "tumour.nii"):
        affine = turn.copy()
        affine[:3] += random.uniform(-1e-7, 1e-7, (3, 4))
        nibabel.save(nibabel.Nifti1Image(voxels.astype(np.uint8), affine), tmp_path / name)
    check_output(tmp_path / "tumour.nii", "mask", tmp_path / "reference.nii")
    reference = read_reference_mask(tmp_path / "reference.nii")
    output = read_mask(tmp_path / "tumour.nii", voxels.size, reference.grid)
    np.testing.assert_array_equal(output.array, reference.array)
    assert same_grid(output, reference) is None


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((4, 5, 7), np.eye(4), "tumour.nii.gz: shape is 4 x 5 x 7, the reference's 4 x 5 x 6; a mask on the grid of its input"),
        (
            (4, 5, 6),
            np.diag([1, 1, 2, 1]),
            "tumour.nii.gz: a corner lies 5 mm from the reference's (spacing 1 x 1 x 2 mm, the reference's 1 x 1 x 1 mm); "
            "a mask on the grid of its input",
        ),
        (
            (4, 5, 6),
            np.diag([-1, -1, 1, 1]),
            "tumour.nii.gz: a corner lies 5 mm from the reference's (spacing 1 x 1 x 1 mm, the reference's 1 x 1 x 1 mm); "
            "a mask on the grid of its input",
        ),
    ],
)
def test_a_mask_on_another_grid_is_wrong_geometry(tmp_path, shape, affine, message):
    """Another shape, spacing or place is never resampled in silence."""
    reference, output = save(tmp_path / "reference.nii.gz"), save(tmp_path / "tumour.nii.gz", shape, affine)
    with pytest.raises(WrongGeometry) as error:
        check_output(output, "mask", reference)
    assert str(error.value) == message


def test_a_mask_of_other_values_is_unreadable_but_not_wrong_geometry(tmp_path):
    """The two are different failure codes."""
    reference, output = save(tmp_path / "reference.nii.gz"), save(tmp_path / "tumour.nii.gz", value=3)
    with pytest.raises(UnreadableOutput, match="120 voxels are neither 0 nor 1, the first is 3") as error:
        check_output(output, "mask", reference)
    assert not isinstance(error.value, WrongGeometry)


def test_a_fault_of_the_reference_is_the_data_holders(tmp_path):
    """It is not a failure of the model's."""
    output = save(tmp_path / "tumour.nii.gz")
    broken = tmp_path / "reference.nii.gz"
    broken.write_bytes(b"garbage")
    for read in (lambda: check_output(output, "mask", broken), lambda: read_reference_mask(broken)):
        with pytest.raises(
            CohortError, match=r"^reference standard .*/reference.nii.gz: cannot be read \(.*\); restore the cohort$"
        ):
            read()
    with pytest.raises(CohortError, match=r"absent.nii: cannot be read"):
        read_reference_mask(tmp_path / "absent.nii")
    with pytest.raises(CohortError, match=r"^the reference standard of mask tumour.nii.gz is the class 1; a mask file$"):
        check_output(output, "mask", 1)


def test_a_probability_is_checked(tmp_path):
    """Its reference is a class and has no grid."""
    path = tmp_path / "malignancy.json"
    path.write_text('{"probability": 0.25}')
    check_output(path, "probability", 1)
    path.write_text('{"probability": 25}')
    with pytest.raises(UnreadableOutput, match="probability is 25"):
        check_output(path, "probability", 1)

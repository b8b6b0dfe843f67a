"""Finding and checking what a model returned."""

import numpy as np
import pytest

from tef.errors import CohortError
from tef.readers import (
    UnreadableOutput,
    WrongGeometry,
    check_output,
    find_output,
    read_output,
    read_reference_mask,
)


def save(path, shape=(4, 5, 6), affine=None, value=1):
    """Write a mask of one value."""
    import nibabel

    nibabel.save(nibabel.Nifti1Image(np.full(shape, value, dtype=np.uint8), np.eye(4) if affine is None else affine), path)
    return path


def test_an_output_is_found_by_name(tmp_path):
    """Compressed or not; None where there is none; other files do not matter."""
    (tmp_path / "tumour.json").write_text("{}")
    (tmp_path / "liver.nii.gz").write_text("")
    assert find_output(tmp_path, "tumour", "mask") is None
    assert find_output(tmp_path, "tumour", "probability") == tmp_path / "tumour.json"
    path = save(tmp_path / "tumour.nii")
    assert find_output(tmp_path, "tumour", "mask") == path


def test_two_files_for_one_output_are_refused(tmp_path):
    """Which of them would count?"""
    save(tmp_path / "tumour.nii")
    save(tmp_path / "tumour.nii.gz")
    with pytest.raises(UnreadableOutput, match=r"^tumour.nii.gz and tumour.nii are both there; exactly one of them$"):
        find_output(tmp_path, "tumour", "mask")


@pytest.mark.parametrize("target", ["secret.nii", "absent.nii", None])
def test_a_link_or_folder_is_no_output(tmp_path, target):
    """A link out of the output folder would read a file of the host."""
    save(tmp_path / "secret.nii")
    path = tmp_path / "tumour.nii"
    path.symlink_to(tmp_path / target) if target else path.mkdir()
    with pytest.raises(UnreadableOutput, match=r"^tumour.nii: is a link or a folder; a regular file$"):
        find_output(tmp_path, "tumour", "mask")


def test_a_mask_on_the_grid_of_its_reference_passes(tmp_path):
    """And is read as bool."""
    reference, output = save(tmp_path / "reference.nii.gz"), save(tmp_path / "tumour.nii.gz")
    check_output(output, "mask", reference)
    assert read_output(output, "mask").array.all()


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


def test_a_probability_is_checked_and_read(tmp_path):
    """Its reference is a class and has no grid."""
    path = tmp_path / "malignancy.json"
    path.write_text('{"probability": 0.25}')
    check_output(path, "probability", 1)
    assert read_output(path, "probability") == 0.25
    path.write_text('{"probability": 25}')
    with pytest.raises(UnreadableOutput, match="probability is 25"):
        check_output(path, "probability", 1)

"""What comes out of a container: only regular files under the right name, within the limits, whatever stands there."""

import os
import socket

import pydicom
import pytest
from support import protocol, write_benchmark, write_submission

from tef.contracts.base import CaseFailed
from tef.contracts.exchange import check_size, collect, discard, lay_inputs, remove_tree
from tef.run import open_run


@pytest.fixture
def run(cubes, tmp_path):
    benchmark = write_benchmark(tmp_path / "cubes", protocol(cubes))
    submission = write_submission(tmp_path / "submission")
    return open_run(tmp_path / "runs", benchmark, submission, cubes, {"digest": "sha256:0"}, {})


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "output"
    made.mkdir()
    return made


def failure(cubes, benchmark, run, folder):
    with pytest.raises(CaseFailed) as caught:
        collect(cubes.cases[0], benchmark, run, folder)
    return str(caught.value.code), str(caught.value)


def test_an_output_is_kept_with_its_digest(cubes, benchmark, run, folder):
    """What was returned lies in the run's folder, to the byte."""
    (folder / "lesion.nii").write_bytes(b"mask")

    kept = collect(cubes.cases[0], benchmark, run, folder)["lesion"]

    assert (run.folder / kept.path).read_bytes() == b"mask"
    assert kept.size_bytes == 4


@pytest.mark.parametrize("kind", ["link", "dangling link", "fifo", "folder", "socket"])
def test_what_is_no_regular_file_is_no_output(cubes, benchmark, run, folder, kind):
    """A link to a file of the host is never followed, and a pipe is never waited for."""
    path = folder / "lesion.nii"
    if "link" in kind:
        path.symlink_to("/etc/passwd" if kind == "link" else "/nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as made:
            os.chdir(folder)
            made.bind("lesion.nii")

    assert failure(cubes, benchmark, run, folder)[0] == "MALFORMED_OUTPUT"
    assert not run.prediction(cubes.cases[0].case_id).exists()


def test_a_missing_output_and_two_outputs_are_told_apart(cubes, benchmark, run, folder):
    """The operator reads which files were expected."""
    assert failure(cubes, benchmark, run, folder) == (
        "NO_OUTPUT",
        "no lesion.nii.gz or lesion.nii in the output folder; exactly one is expected",
    )
    (folder / "lesion.nii").touch()
    (folder / "lesion.nii.gz").touch()
    code, text = failure(cubes, benchmark, run, folder)
    assert (code, text.split(" in the")[0]) == ("MALFORMED_OUTPUT", "both lesion.nii.gz and lesion.nii")


@pytest.mark.parametrize("kind", ["size", "holes", "number", "depth"])
def test_too_much_output_is_seen_before_it_is_read(folder, kind):
    """Bytes, holes, numbers of files and depth of folders are all limited."""
    if kind == "size":
        (folder / "big").write_bytes(b"x" * 1024 * 1025)
    elif kind == "holes":
        with (folder / "sparse").open("wb") as stream:
            stream.truncate(10**12)
    elif kind == "number":
        for number in range(1001):
            (folder / str(number)).touch()
    else:
        deep = folder.joinpath(*"d" * 30)
        deep.mkdir(parents=True)

    with pytest.raises(CaseFailed, match="wrote more than 1 MB or more than 1000 files, or nested them more than 16 deep"):
        check_size(folder, 1)


def test_links_are_not_followed_when_sizes_are_added_up(folder):
    """A link to the host's root costs nothing and is not walked."""
    (folder / "root").symlink_to("/")

    check_size(folder, 1)


def test_a_tidy_case_leaves_nothing_and_a_messy_one_goes_to_the_trash(tmp_path, folder):
    """Nothing is walked while a container lives: what is not expected is moved out of its sight as it is."""
    trash = tmp_path / "trash"
    (folder / "lesion.nii").touch()
    assert not discard(folder, ("lesion.nii",), trash)
    assert not folder.exists()

    folder.mkdir()
    (folder / "more").mkdir()
    assert discard(folder, ("lesion.nii",), trash)
    assert not folder.exists()
    assert (trash / "output" / "more").is_dir()


def test_a_tree_of_any_depth_is_removed(folder):
    """Neither recursion nor the length of a path is a limit to tidying up."""
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d" * 100, dir_fd=here)
        below = os.open("d" * 100, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)

    remove_tree(folder)

    assert list(folder.parent.glob("output*")) == []


def test_a_dicom_series_loses_its_names_and_keeps_its_image(cubes, tmp_path, run):
    """PatientID and UIDs are others in each run, equal ones stay equal, and pixels and geometry are as they were."""
    original = pydicom.examples.ct
    series = tmp_path / "series"
    series.mkdir()
    for number in (1, 2):
        original.SOPInstanceUID = original.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
        original.save_as(series / f"{number}.dcm")
    values = protocol(cubes)
    values["interface"]["inputs"] = {"scan": {"kind": "dicom-series", "description": "CT"}}
    benchmark = write_benchmark(tmp_path / "b" / "cubes", values)
    other = open_run(tmp_path / "other", benchmark, write_submission(tmp_path / "s"), cubes, {"digest": "sha256:0"}, {})
    from dataclasses import replace

    case = replace(cubes.cases[0], inputs={"scan": series})
    seen = []
    for each in (run, other):
        lay_inputs(case, benchmark, each, tmp_path / each.run_id)
        seen.append([pydicom.dcmread(path) for path in sorted((tmp_path / each.run_id / "scan").iterdir())])

    (first, second), (again, _) = seen
    assert first.PatientID == run.token(case.case_id)
    assert str(first.PatientName) == ""
    assert first.SeriesInstanceUID == second.SeriesInstanceUID != original.SeriesInstanceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID
    assert first.SeriesInstanceUID != again.SeriesInstanceUID
    assert first.SOPClassUID == original.SOPClassUID
    assert first.PixelData == original.PixelData
    assert first.ImagePositionPatient == original.ImagePositionPatient

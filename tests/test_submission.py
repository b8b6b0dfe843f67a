"""What a submission may declare, and what its maker reads when it is wrong."""

import pytest
from support import write_submission

import tef.submission
from tef.errors import SubmissionError


@pytest.mark.parametrize("version", ["1", "1.0", "2026.08+git-a1b2_rc", "V" * 64])
def test_usual_versions_are_taken(tmp_path, version):
    """A maker numbers as they like."""
    assert write_submission(tmp_path, version=version).version == version


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": "1.0 [/b]"}, "submission.yaml: version: String should match pattern"),
        ({"version": ""}, "submission.yaml: version: String should match pattern"),
        ({"version": "1\n"}, "submission.yaml: version: String should match pattern"),
        ({"version": "V" * 65}, "submission.yaml: version: String should match pattern"),
        ({"name": "a" * 65}, "submission.yaml: name: String should have at most 64 characters"),
        ({"image": "a" * 513}, "submission.yaml: image: String should have at most 512 characters"),
        ({"intended_use": "a" * 4001}, "submission.yaml: intended_use: String should have at most 4000 characters"),
        ({"intended_use": "\x1b[2J"}, "submission.yaml: intended_use: holds a control character; write plain text"),
        ({"contact": "\x9b2J"}, "submission.yaml: contact: holds a control character; write plain text"),
        ({"contact": "a" * 4001}, "submission.yaml: contact: String should have at most 4000 characters"),
        ({"training_data": {"description": "\0"}}, "training_data.description: holds a control character; write plain text"),
        (
            {"training_data": {"description": "", "pixel_sha256_file": "../x"}},
            "training_data.pixel_sha256_file: String should match pattern",
        ),
    ],
)
def test_texts_that_are_no_plain_text_are_refused(tmp_path, change, message):
    """Nothing that a submitter writes can flood a report or steer a terminal."""
    with pytest.raises(SubmissionError) as caught:
        write_submission(tmp_path, **change)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_text_over_lines_is_taken(tmp_path):
    """Line ends and tabs are part of plain text."""
    assert write_submission(tmp_path, intended_use="One.\n\tTwo.").intended_use == "One.\n\tTwo."


def declaring(tmp_path, content):
    (tmp_path / "pixels.txt").write_bytes(content)
    training = {"description": "Public scans.", "pixel_sha256_file": "pixels.txt"}
    return write_submission(tmp_path, training_data=training)


def test_declared_digests_are_read_whatever_the_line_ends(tmp_path):
    """A file from Windows, with empty lines, declares the same."""
    submission = declaring(tmp_path, b"a" * 64 + b"\r\n\r\n" + b"b" * 64)

    assert submission.declared_pixel_sha256() == {"a" * 64, "b" * 64}


@pytest.mark.parametrize("bad", [b"hello", b"\xff\xfe", b"A" * 64, b"a" * 64 + b" " + b"b" * 64, "é".encode() * 32])
def test_a_line_of_the_training_pixels_that_is_no_digest_is_named(tmp_path, bad):
    """A wrong declaration, in whatever encoding, is not taken for "no overlap"."""
    submission = declaring(tmp_path, b"a" * 64 + b"\n\n" + bad + b"\n")

    with pytest.raises(SubmissionError) as caught:
        submission.declared_pixel_sha256()

    expected = "submission cube-finder: pixels.txt:3: is not a digest; 'tef hash' prints them, one a line"
    assert str(caught.value) == expected


def test_a_file_of_training_pixels_that_is_too_large_is_refused(tmp_path, monkeypatch):
    """A submitter's file cannot fill the memory of the site."""
    monkeypatch.setattr(tef.submission, "_MAX_PIXEL_BYTES", 1 << 20)
    submission = declaring(tmp_path, (b"a" * 64 + b"\n") * 20_000)

    with pytest.raises(SubmissionError, match=r"pixels\.txt: is larger than 1 MiB; it holds a digest for each image$"):
        submission.declared_pixel_sha256()

"""The ledger: what is on record stays, what was cut short is dropped, what was changed is found."""

import errno
import json
import os

import pytest

from tef.errors import RunError
from tef.ledger import Ledger
from tef.prediction import Failure, FailureCode, OutputFile, Prediction

DONE = Prediction("a", {"lesion": OutputFile("predictions/c1/lesion.nii", "0" * 64, 10)}, 0.5, 0.6)
FAILED = Failure("b", FailureCode.TIMEOUT, "predict", "no answer in 5 s", 5.0)


@pytest.fixture
def ledger(tmp_path):
    found = Ledger(tmp_path / "ledger.jsonl")
    found.record(DONE)
    found.record(FAILED)
    return found


def test_outcomes_come_back_as_they_were_recorded(ledger):
    """A resumed run knows of every finished case what the first session knew."""
    assert Ledger(ledger.path).outcomes() == {"a": DONE, "b": FAILED}


@pytest.mark.parametrize("kept", range(1, 60, 7))
def test_a_line_that_a_crash_cut_short_is_dropped_and_written_over(ledger, kept):
    """Whatever part of the last line reached the disk, its case is run again and the chain stays whole."""
    content = ledger.path.read_bytes()
    start_of_last = content[:-1].rfind(b"\n") + 1
    ledger.path.write_bytes(content[: start_of_last + kept])

    again = Ledger(ledger.path)
    assert again.outcomes() == {"a": DONE}
    assert again.repaired_bytes == kept

    again.record(FAILED)
    assert Ledger(ledger.path).outcomes() == {"a": DONE, "b": FAILED}


def test_a_changed_line_is_found(ledger):
    """Nobody can turn a failure into another one unseen, as the next line no longer follows."""
    content = ledger.path.read_text().replace('"case_id": "a"', '"case_id": "x"')
    ledger.path.write_text(content)

    with pytest.raises(RunError, match=r"ledger.jsonl:2: does not follow from the line before"):
        Ledger(ledger.path)


def test_a_removed_line_is_found(ledger):
    """A case cannot be taken out of the record."""
    ledger.path.write_text(ledger.path.read_text().splitlines(keepends=True)[1])

    with pytest.raises(RunError, match=r"ledger.jsonl:1: does not follow"):
        Ledger(ledger.path)


def test_a_line_of_garbage_is_found(ledger):
    """Damage inside the file is named with its line and not taken for a crash."""
    ledger.path.write_text(ledger.path.read_text() + "garbage\n")

    with pytest.raises(RunError, match=r"ledger.jsonl:3: is not a ledger line"):
        Ledger(ledger.path)


def test_a_case_recorded_twice_is_found(ledger):
    """No case is counted twice."""
    ledger.record(DONE)

    with pytest.raises(RunError, match="recorded twice"):
        ledger.outcomes()


def test_a_full_disk_leaves_the_ledger_as_it_was(ledger, monkeypatch):
    """After "no space left" the file ends with the last whole line, so that the same command can go on."""
    before = ledger.path.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ledger.record(Failure("c", FailureCode.TIMEOUT, "predict", "", 1.0))

    assert ledger.path.read_bytes() == before


def test_every_line_names_the_digest_of_the_one_before(ledger):
    """The chain can be checked with nothing but sha256sum."""
    import hashlib

    lines = ledger.path.read_bytes().splitlines()
    assert json.loads(lines[0])["prev"] == "0" * 64
    assert json.loads(lines[1])["prev"] == hashlib.sha256(lines[0]).hexdigest()
    assert ledger.head == hashlib.sha256(lines[1]).hexdigest()

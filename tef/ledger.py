"""The ledger of a run: one line for each case the moment its outcome is known, on disk before the next thing happens.

Each line is a JSON object whose ``prev`` is the sha256 of the line before: no line can be taken out or changed unseen. A line
that a crash cut short is dropped when the ledger is opened again: its case was not recorded and is run again.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tef.errors import RunError
from tef.files import fsync_folder
from tef.prediction import Failure, FailureCode, Outcome, OutputFile, Prediction

_FIRST = "0" * 64


class Ledger:
    """An append-only file; one process at a time writes it.

    Attributes:
        path: The file.
        entries: Every line so far, oldest first.
        repaired_bytes: Bytes of an unfinished last line that were cut off when the ledger was opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        self.entries: list[dict[str, Any]] = []
        self._prev = _FIRST
        for number, line in enumerate(whole.splitlines(), start=1):
            self.entries.append(self._read(number, line))
            self._prev = hashlib.sha256(line).hexdigest()
        self.repaired_bytes = len(content) - len(whole)

    def _read(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise RunError(
                f"{self.path}:{number}: is not a ledger line; the run cannot be trusted, restore it or move the run away"
            ) from error
        if not isinstance(entry, dict) or entry.get("prev") != self._prev:
            raise RunError(
                f"{self.path}:{number}: does not follow from the line before; it was changed: restore it or move the run away"
            )
        return entry

    def append(self, kind: str, content: Mapping[str, Any]) -> None:
        """Add a line and return when it is on disk."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = {"kind": kind, "time": now, "prev": self._prev} | dict(content)
        line = json.dumps(entry, allow_nan=False).encode()
        new = not self.path.exists()
        with self.path.open("xb" if new else "r+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END) - self.repaired_bytes
            stream.seek(end)
            stream.truncate()
            self.repaired_bytes = 0
            try:
                left = memoryview(line + b"\n")
                while left:
                    left = left[stream.write(left) :]
                os.fsync(stream.fileno())
            except OSError:
                # A full disk: leave the ledger as it was, so that the same command can go on later.
                os.ftruncate(stream.fileno(), end)
                raise
        if new:
            fsync_folder(self.path.parent)
        self.entries.append(entry)
        self._prev = hashlib.sha256(line).hexdigest()

    def record(self, outcome: Outcome) -> None:
        """Add the outcome of a case."""
        self.append("prediction" if isinstance(outcome, Prediction) else "failure", asdict(outcome))

    def outcomes(self) -> dict[str, Outcome]:
        """Case id to outcome, of every case that is done.

        Raises:
            RunError: A case is recorded twice.
        """
        found: dict[str, Outcome] = {}
        for entry in self.entries:
            if entry["kind"] not in ("prediction", "failure"):
                continue
            if entry["case_id"] in found:
                raise RunError(
                    f"{self.path}: a case is recorded twice; the ledger was changed, restore it or move the run away"
                )
            found[entry["case_id"]] = _outcome(entry)
        return found

    @property
    def head(self) -> str:
        """sha256 of the last line: it stands for the whole ledger."""
        return self._prev


def _outcome(entry: Mapping[str, Any]) -> Outcome:
    if entry["kind"] == "failure":
        code = FailureCode(entry["code"])
        return Failure(entry["case_id"], code, entry["stage"], entry["message"], entry["total_s"])
    outputs = {name: OutputFile(**file) for name, file in entry["outputs"].items()}
    return Prediction(entry["case_id"], outputs, entry["model_s"], entry["total_s"])

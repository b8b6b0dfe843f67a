"""Contract ``tef``, version 1: the model stays loaded and is handed one case after the other.

A container is started once a worker. After ``{"tef": 1, "ready": true}`` on its standard output it is handed one line a case,
``{"tef": 1, "case": ID, "inputs": {NAME: PATH}, "output": FOLDER}``, and answers ``{"tef": 1, "case": ID, "status": "ok"}``
when the outputs are complete, or ``"status": "error"`` with a ``message``. Only the case in hand is ever in its ``/input``,
and finished outputs are out of its reach.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from typing import Any

from tef.cohort import Case
from tef.contracts.base import FAREWELL_S, INPUT, OUTPUT, Cancelled, CaseFailed, Slot, explain_ending
from tef.contracts.exchange import (
    LITTLE_MB,
    MAX_FILES,
    TRASH,
    LittleRoom,
    check_room,
    check_size,
    collect,
    discard,
    lay_inputs,
    make_output,
    sweep,
)
from tef.contracts.stdio import Conversation, Ended, Log, TimedOut, end
from tef.errors import ConfigError, SubmissionError
from tef.prediction import FailureCode, Outcome, Prediction
from tef.sandbox import Container, Ending

_STARTS_IN_VAIN = 3
_MAX_MESSES = 50


class Tef:
    """See the module's text."""

    one_start = False

    def predict(self, slot: Slot, cases: Iterator[Case]) -> Iterator[Outcome]:
        """See `tef.contracts.Contract.predict`."""
        session = _Session(slot)
        try:
            # Before a case is taken in hand: an image that never starts is the submitter's affair as a whole.
            first = session.start()
            if first is not None:
                raise SubmissionError(f"the container did not become ready: {first}", code="STARTUP_FAILED")
            for case in cases:
                yield session.run(case)
        finally:
            session.close()


class _Session:
    """The container of one worker, started anew after a crash or a time-out."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._folder = slot.run.exchange(slot.index)
        self._log = Log(slot.run.log(slot.index), slot.benchmark.limits.log_mb)
        self._container: Container | None = None
        self._talk: Conversation | None = None
        self._starts = 0
        self._in_vain = 0
        self._messes = 0

    def start(self) -> CaseFailed | None:
        """Start a container and wait until it is ready, or say why it is not."""
        self._sweep()
        self._starts += 1
        self._container = self._slot.runtime.start(self._slot.spec(self._starts))
        self._talk = Conversation(self._container, self._log)
        try:
            self._receive(lambda m: m.get("ready") is True, self._slot.benchmark.limits.startup_timeout_s)
        except TimedOut:
            self._stop()
            limit = self._slot.benchmark.limits.startup_timeout_s
            failed = CaseFailed(FailureCode.STARTUP_FAILED, "start", f"not ready after {limit:g} s")
        except Ended:
            failed = self._ended("start")
            failed = CaseFailed(FailureCode.STARTUP_FAILED, "start", str(failed))
        except CaseFailed as error:
            self._stop()
            failed = error
        except LittleRoom as error:
            self._stop()
            self._sweep()
            failed = error.judged(self._folder, self._slot.benchmark.limits)
        else:
            self._in_vain = 0
            return None
        self._in_vain += 1
        return failed

    def run(self, case: Case) -> Outcome:
        """One case, from its inputs to its outputs."""
        began = time.monotonic()
        try:
            return self._predict(case, began)
        except CaseFailed as failed:
            return failed.failure(case, time.monotonic() - began)
        finally:
            if self._container is not None:
                self._clear(case)

    def _predict(self, case: Case, began: float) -> Prediction:
        slot, limits = self._slot, self._slot.benchmark.limits
        if self._container is None:
            if self._in_vain >= _STARTS_IN_VAIN:
                raise CaseFailed(
                    FailureCode.STARTUP_FAILED, "start", f"not tried: {_STARTS_IN_VAIN} starts in a row were in vain"
                )
            if failed := self.start():
                raise failed
        token = slot.run.token(case.case_id)
        laid = lay_inputs(case, slot.benchmark, slot.run, self._folder / "input" / token)
        make_output(self._folder / "output" / token)
        inputs = {name: f"{INPUT}/{token}/{file}" for name, file in laid.items()}
        asked = time.monotonic()
        request = {"tef": 1, "case": token, "inputs": inputs, "output": f"{OUTPUT}/{token}"}
        try:
            self._send(request, limits.case_timeout_s)
            answer = self._receive(lambda m: m.get("case") == token and "status" in m, limits.case_timeout_s)
            if answer["status"] != "ok":
                check_room(self._folder, 2 * limits.output_mb)
        except TimedOut as error:
            self._stop()
            raise CaseFailed(FailureCode.TIMEOUT, "predict", f"no answer in {limits.case_timeout_s:g} s") from error
        except Ended as error:
            ended = self._ended("predict")
            # A file that hit its size limit ends the writer with SIGXFSZ: say what it did, not how it died.
            check_size(self._folder / "output", limits.output_mb)
            raise ended from error
        except LittleRoom as error:
            self._stop()
            self._sweep()
            raise error.judged(self._folder, limits) from error
        except (CaseFailed, Cancelled):
            self._stop()
            raise
        model_s = time.monotonic() - asked
        if answer["status"] != "ok":
            # Too much output ends in an error inside the model: say what it did, not what it says.
            check_size(self._folder / "output", limits.output_mb)
            raise CaseFailed(FailureCode.MODEL_ERROR, "predict", str(answer.get("message", "no message"))[:300])
        outputs = collect(case, slot.benchmark, slot.run, self._folder / "output" / token)
        return Prediction(case.case_id, outputs, round(model_s, 4), round(time.monotonic() - began, 4))

    def _send(self, message: dict[str, Any], timeout_s: float) -> None:
        assert self._talk is not None  # noqa: S101 - for the type checker: start() came before
        self._talk.send(message, timeout_s, self._watch)

    def _receive(self, wanted: Any, timeout_s: float) -> dict[str, Any]:
        assert self._talk is not None  # noqa: S101 - for the type checker: start() came before
        return self._talk.receive(wanted, timeout_s, self._watch)

    def _watch(self) -> None:
        if self._slot.stop.is_set():
            raise Cancelled
        limit_mb = self._slot.benchmark.limits.output_mb
        check_size(self._folder / "output", limit_mb)
        if self._messes:
            check_size(self._folder / TRASH, _MAX_MESSES * limit_mb, max_files=_MAX_MESSES * MAX_FILES)
        check_room(self._folder, LITTLE_MB)

    def _ended(self, stage: str) -> CaseFailed:
        """The container has closed its standard output: say why."""
        assert self._container is not None  # noqa: S101 - for the type checker: there was one to listen to
        try:
            self._container.process.wait(timeout=FAREWELL_S)
        except subprocess.TimeoutExpired:
            self._stop()
            return CaseFailed(FailureCode.NONZERO_EXIT, stage, "closed its standard output and stayed")
        ending = self._stop()
        assert ending is not None  # noqa: S101 - for the type checker: there was a container
        if ending.engine_error is not None and ending.exit_code == 125:
            raise ConfigError(f"runtime: the container cannot be started: {self._log.last_error() or ending.engine_error}")
        failed = explain_ending(ending, stage, self._slot.benchmark.limits.memory_mb)
        said = self._log.last_line()
        return CaseFailed(failed.code, stage, f"{failed}; last line: {said}" if said else str(failed))

    def _stop(self) -> Ending | None:
        """End the container, if there is one, and return how it ended."""
        container, self._container = self._container, None
        if container is None:
            return None
        talk, self._talk = self._talk, None
        assert talk is not None  # noqa: S101 - for the type checker: a container comes with its conversation
        return end(container, talk)

    def _clear(self, case: Case) -> None:
        """Take the case out of the container's sight."""
        token = self._slot.run.token(case.case_id)
        if (laid := self._folder / "input" / token).exists():
            shutil.rmtree(laid)
        if (written := self._folder / "output" / token).exists():
            outputs = self._slot.benchmark.interface.outputs.items()
            names = tuple(file for name, wanted in outputs for file in wanted.file_names(name))
            self._messes += discard(written, names, self._folder / TRASH)
        if self._messes >= _MAX_MESSES:
            # What it left behind can be deleted only once it has ended.
            self._stop()

    def _sweep(self) -> None:
        """Delete whatever is left in the worker's folders; no container may be alive."""
        self._messes = 0
        sweep(self._folder)

    def close(self) -> None:
        """End the container and the log."""
        try:
            self._stop()
            self._sweep()
        finally:
            self._log.close()

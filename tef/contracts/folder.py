"""Contract ``folder``: all cases in, all outputs out, one start.

``/input/<id>/`` holds the inputs of each case, ``/output/<id>/`` is there for its outputs; the image's entry point is run
without arguments and ends with exit code 0. What is complete when it fails is kept; the limit of time is that of the start and
of all cases together.
"""

import subprocess
import time
from collections.abc import Iterator

from tef.cohort import Case
from tef.contracts.base import FAREWELL_S, Cancelled, CaseFailed, Slot, explain_ending
from tef.contracts.exchange import (
    LITTLE_MB,
    MAX_FILES,
    LittleRoom,
    check_room,
    check_size,
    collect,
    lay_inputs,
    make_output,
    sweep,
)
from tef.contracts.stdio import Conversation, Ended, Log, TimedOut, end
from tef.errors import ConfigError, SubmissionError
from tef.prediction import FailureCode, Outcome, Prediction


class Folder:
    """See the module's text."""

    one_start = True

    def predict(self, slot: Slot, cases: Iterator[Case]) -> Iterator[Outcome]:
        """See `tef.contracts.Contract.predict`."""
        folder = slot.run.exchange(slot.index)
        sweep(folder)
        todo = list(cases)
        if not todo:
            return
        try:
            for case in todo:
                token = slot.run.token(case.case_id)
                lay_inputs(case, slot.benchmark, slot.run, folder / "input" / token)
                make_output(folder / "output" / token)
            began = time.monotonic()
            failed = _run(slot, len(todo))
            each_s = (time.monotonic() - began) / len(todo)
            for case in todo:
                yield _outcome(slot, case, failed, each_s)
        finally:
            sweep(folder)


def _run(slot: Slot, n_cases: int) -> CaseFailed | None:
    """Run the image to its end, and say what went wrong, if anything did."""
    limits = slot.benchmark.limits
    output = slot.run.exchange(slot.index) / "output"
    # The limit of output is a case's; all of them may use it.
    total_mb = limits.output_mb * n_cases
    log = Log(slot.run.log(slot.index), limits.log_mb)
    container = slot.runtime.start(slot.spec(1))
    talk = Conversation(container, log)

    def watch() -> None:
        if slot.stop.is_set():
            raise Cancelled
        check_size(output, total_mb, max_files=MAX_FILES + 10 * n_cases)
        check_room(output, LITTLE_MB)

    little: LittleRoom | None = None
    failed: CaseFailed | None = None
    try:
        talk.receive(lambda _: False, limits.startup_timeout_s + n_cases * limits.case_timeout_s, watch)
    except TimedOut:
        failed = CaseFailed(FailureCode.TIMEOUT, "predict", "did not end in the time of all its cases")
    except CaseFailed as error:
        failed = error
    except LittleRoom as error:
        little = error
    except Ended:
        try:
            container.process.wait(timeout=FAREWELL_S)
        except subprocess.TimeoutExpired:
            failed = CaseFailed(FailureCode.NONZERO_EXIT, "predict", "closed its standard output and stayed")
    finally:
        ending = end(container, talk)
        said = log.last_error()
        log.close()
    if little is not None:
        failed = little.judged(output, limits)
    if failed is None and ending.engine_error is not None:
        if ending.exit_code == 125:
            raise ConfigError(f"runtime: the container cannot be started: {said or ending.engine_error}")
        raise SubmissionError(f"the container's entry point cannot be run: {said}", code="STARTUP_FAILED")
    if failed is None and (ending.exit_code != 0 or ending.oom_killed):
        failed = explain_ending(ending, "predict", limits.memory_mb)
    return failed


def _outcome(slot: Slot, case: Case, failed: CaseFailed | None, each_s: float) -> Outcome:
    folder = slot.run.exchange(slot.index) / "output" / slot.run.token(case.case_id)
    try:
        outputs = collect(case, slot.benchmark, slot.run, folder)
    except CaseFailed as error:
        # What ended the whole run is the reason of an output that is not there.
        missing = error.code is FailureCode.NO_OUTPUT
        return (failed if failed is not None and missing else error).failure(case, each_s)
    return Prediction(case.case_id, outputs, round(each_s, 4), round(each_s, 4))

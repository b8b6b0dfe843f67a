"""What every contract shares: a worker's slot, and what can go wrong on a case."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from tef.benchmark import Benchmark
from tef.cohort import Case
from tef.prediction import Failure, FailureCode, Outcome
from tef.run import Run
from tef.sandbox import ContainerSpec, Ending, Mount, Runtime

INPUT, OUTPUT = "/input", "/output"
# How long a container that has closed its standard output may take to end.
FAREWELL_S = 5


@dataclass(frozen=True, slots=True)
class Slot:
    """One worker's place: what it needs to run cases, and nothing of the reference standard.

    Attributes:
        index: From 0; names the worker's folders and its log.
        image: Digest of the pinned image.
        gpus: Devices of this worker.
        stop: Set when the run is to end early; checked several times a second.
    """

    index: int
    runtime: Runtime
    image: str
    run: Run
    benchmark: Benchmark
    gpus: tuple[str, ...]
    stop: threading.Event

    def spec(self, start: int) -> ContainerSpec:
        """The container of this worker's ``start``-th start."""
        exchange = self.run.exchange(self.index)
        return ContainerSpec(
            image=self.image,
            name=f"tef-{self.run.run_id}-s{len(self.run.record['sessions'])}-w{self.index}-{start}",
            run_id=self.run.run_id,
            mounts=(Mount(exchange / "input", INPUT, writable=False), Mount(exchange / "output", OUTPUT, writable=True)),
            limits=self.benchmark.limits,
            gpus=self.gpus,
        )


class Contract(Protocol):
    """A way of talking to an image."""

    @property
    def one_start(self) -> bool:
        """All cases go to one container in one start, so that more workers are of no use."""

    def predict(self, slot: Slot, cases: Iterator[Case]) -> Iterator[Outcome]:
        """Run cases until there are no more, and say of each how it ended, as soon as it is known.

        Outputs of the outcomes are in the run's folder for predictions already, on disk to stay. Whether a file can be read and
        fits the case is for others to check.

        Raises:
            SubmissionError: The image cannot be evaluated at all: ``STARTUP_FAILED`` before its first case.
            ConfigError: The engine failed.
            Cancelled: `Slot.stop` was set.
        """


class Cancelled(Exception):  # noqa: N818 - not an error: the run was asked to end
    """The run is to end early; the case in hand is not finished and not recorded."""


class CaseFailed(Exception):  # noqa: N818 - becomes a Failure
    """A case cannot have a prediction; turned into a Failure where the case is known."""

    def __init__(self, code: FailureCode, stage: str, message: str) -> None:
        super().__init__(message)
        self.code, self.stage = code, stage

    def failure(self, case: Case, total_s: float) -> Failure:
        """The record of it."""
        return Failure(case.case_id, self.code, self.stage, str(self), round(total_s, 4))


def explain_ending(ending: Ending, stage: str, memory_mb: int) -> CaseFailed:
    """Why a container that should be alive is not."""
    if ending.oom_killed:
        return CaseFailed(
            FailureCode.OOM_KILLED, stage, f"killed (exit code {ending.exit_code}) at the memory limit of {memory_mb} MB"
        )
    if ending.exit_code == 0:
        return CaseFailed(FailureCode.NO_OUTPUT, stage, "ended with exit code 0 before it answered")
    return CaseFailed(FailureCode.NONZERO_EXIT, stage, f"ended with exit code {ending.exit_code}")

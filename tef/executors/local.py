"""Workers on this machine, one thread each: the work itself is in the containers."""

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from tef.cohort import Case
from tef.prediction import Outcome

# Worker index, the cases it may take, and the event that tells it to end early.
Work = Callable[[int, Iterator[Case], threading.Event], Iterable[Outcome]]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Local:
    """Threads of this process, which take cases from one queue.

    Attributes:
        workers: How many containers run at a time.
    """

    workers: Annotated[int, Field(ge=1, le=256)]

    def map(self, work: Work, cases: list[Case], *, one_start: bool) -> Iterator[Outcome]:
        """Run the work of every worker and yield each outcome as soon as it is known.

        An error in one worker ends the others at their next look and is raised here, after what they had finished. Closing
        the iterator, as an interrupt does, ends all of them; it returns when they have ended.
        """
        stop = threading.Event()
        results: queue.Queue[Outcome | BaseException | None] = queue.Queue()
        shared = _Shared(cases, stop)
        count = 1 if one_start else min(self.workers, len(cases))

        def serve(index: int) -> None:
            try:
                for outcome in work(index, shared, stop):
                    results.put(outcome)
            except BaseException as error:  # noqa: BLE001 - handed on whole to the thread that waits for it
                results.put(error)
            else:
                results.put(None)

        threads = [threading.Thread(target=serve, args=(i,), name=f"worker-{i}") for i in range(count)]
        try:
            for thread in threads:
                thread.start()
            working = count
            while working:
                result = results.get()
                if isinstance(result, BaseException):
                    raise result
                if result is None:
                    working -= 1
                else:
                    yield result
        except GeneratorExit:
            raise
        except BaseException:
            # What other workers have finished meanwhile is not lost.
            _end(threads, stop)
            while not results.empty():
                late = results.get()
                if late is not None and not isinstance(late, BaseException):
                    yield late
            raise
        finally:
            _end(threads, stop)


def _end(threads: list[threading.Thread], stop: threading.Event) -> None:
    stop.set()
    for thread in threads:
        if thread.ident is not None:
            thread.join()


class _Shared(Iterator[Case]):
    """One iterator for several threads."""

    def __init__(self, cases: Iterable[Case], stop: threading.Event) -> None:
        self._cases = iter(cases)
        self._lock = threading.Lock()
        self._stop = stop

    def __next__(self) -> Case:
        with self._lock:
            if self._stop.is_set():
                raise StopIteration
            return next(self._cases)

"""The local executor: every case once, errors and interrupts end all workers."""

import threading
import time

import pytest

from tef.executors import Local


def cases(n):
    return list(range(n))


def test_every_case_is_run_once_whatever_the_number_of_workers():
    """Workers share one queue of cases."""

    def work(index, mine, stop):
        yield from mine

    for workers in (1, 3, 50):
        assert sorted(Local(workers).map(work, cases(20), one_start=False)) == cases(20)


def test_a_contract_of_one_start_gets_one_worker():
    """All cases go to one container however many workers the site allows."""
    seen = []

    def work(index, mine, stop):
        seen.append(index)
        yield from mine

    assert list(Local(8).map(work, cases(5), one_start=True)) == cases(5)
    assert seen == [0]


def test_an_outcome_is_handed_on_while_others_are_still_at_work():
    """The ledger is written as cases end, not at the end of the run."""
    release = threading.Event()

    def work(index, mine, stop):
        for case in mine:
            if case == 1:
                release.wait(10)
            yield case

    results = Local(1).map(work, cases(2), one_start=False)
    assert next(results) == 0
    release.set()
    assert list(results) == [1]


def test_an_error_in_one_worker_ends_the_others_and_is_raised():
    """Our own fault stops the run; no worker goes on unseen."""

    def work(index, mine, stop):
        for case in mine:
            if case == 3:
                raise ValueError("ours")
            stop.wait(0.05)
            yield case

    with pytest.raises(ValueError, match="ours"):
        list(Local(4).map(work, cases(1000), one_start=False))
    assert threading.active_count() == 1


def test_closing_the_iterator_ends_workers_that_wait_for_a_container():
    """After an interrupt no thread is left, although no case had ended."""

    def work(index, mine, stop):
        for case in mine:
            if case > 0:
                stop.wait(60)
            yield case

    results = Local(2).map(work, cases(10), one_start=False)
    assert next(results) == 0
    began = time.monotonic()
    results.close()
    assert time.monotonic() - began < 10
    assert threading.active_count() == 1

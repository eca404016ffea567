"""Threads over a list."""

from __future__ import annotations

import threading

import pytest

from launcher.models.download.workers import run_in_threads


def test_each_item_is_done_once_and_no_more_at_a_time_than_asked() -> None:
    lock = threading.Lock()
    at_once = [0, 0]

    def work(item: int) -> int:
        with lock:
            at_once[0] += 1
            at_once[1] = max(at_once)
        threading.Event().wait(0.01)
        with lock:
            at_once[0] -= 1
        return item * item

    stop = threading.Event()
    done = dict(run_in_threads(work, range(20), threads=3, stop=stop))
    assert done == {item: item * item for item in range(20)}
    assert at_once[1] <= 3
    assert stop.is_set()


def test_the_first_failure_ends_it_and_stops_the_others() -> None:
    begun = []

    def work(item: int) -> None:
        begun.append(item)
        if item == 1:
            raise ValueError("one")
        stop.wait(30)

    stop = threading.Event()
    with pytest.raises(ValueError, match="one"):
        list(run_in_threads(work, range(100), threads=2, stop=stop))
    assert begun == [0, 1]


def test_an_interruption_is_not_held_up_by_what_waits() -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    stop = threading.Event()
    with pytest.raises(KeyboardInterrupt):
        list(run_in_threads(stop.wait, [30.0], threads=1, stop=stop, look=interrupt))
    assert stop.is_set()


def test_nothing_to_do_starts_no_thread() -> None:
    before = threading.active_count()
    assert list(run_in_threads(str, [], threads=4, stop=threading.Event())) == []
    assert threading.active_count() == before

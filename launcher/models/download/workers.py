"""A few threads over a list, which never keep a process from ending."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

LOOK_SECONDS: Final = 0.2
# What a thread gets to notice that it shall stop.
STOP_SECONDS: Final = 1.0

_T = TypeVar("_T")
_R = TypeVar("_R")


def run_in_threads(
    work: Callable[[_T], _R],
    items: Sequence[_T],
    *,
    threads: int,
    stop: threading.Event,
    look: Callable[[], None] = lambda: None,
) -> Iterator[tuple[_T, _R]]:
    """Do the work for each item, in the order of the list, some at a time.

    The threads are daemons, unlike those of `concurrent.futures`: one that waits for the network
    must not hold up Ctrl-C.

    Args:
        work: called in a thread.
        items: what for.
        threads: how many at a time.
        stop: set when this ends, however; work that lasts looks at it.
        look: called in this thread, several times a second.

    Yields:
        Each item and its result, as they come.

    Raises:
        BaseException: what the work raised first.
    """
    waiting: queue.SimpleQueue[_T] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    results: queue.SimpleQueue[tuple[_T, _R] | BaseException] = queue.SimpleQueue()

    def loop() -> None:
        while not stop.is_set():
            try:
                item = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                results.put((item, work(item)))
            except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                stop.set()
                results.put(error)

    pool = [threading.Thread(target=loop, daemon=True) for _ in range(min(threads, len(items)))]
    for thread in pool:
        thread.start()
    try:
        for _ in items:
            yield _next(results, look)
    finally:
        stop.set()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in pool:
            thread.join(max(0.0, deadline - time.monotonic()))


def _next(
    results: queue.SimpleQueue[tuple[_T, _R] | BaseException], look: Callable[[], None]
) -> tuple[_T, _R]:
    while True:
        look()
        try:
            result = results.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            continue
        if isinstance(result, BaseException):
            raise result
        return result

"""Word of the first of some processes that ends."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Callable, Iterable

from launcher.system.activity import EngineChild
from launcher.system.process import ProcessIdentity


class MemberWatch:
    """A thread that waits for the first of some processes to end, and calls back once.

    The kernel wakes it, so that word comes within milliseconds and waiting costs nothing.

    Args:
        children: processes with their titles, as `Engine.children` finds them.
        on_end: called in the thread with the first that ended, or had ended before the start.
    """

    def __init__(
        self,
        children: Iterable[EngineChild],
        on_end: Callable[[ProcessIdentity, str], None],
    ) -> None:
        self._children = tuple(children)
        self._on_end = on_end
        self._stopped = threading.Event()
        # Guards `_wake`, which the thread closes while `stop` may be about to write to it.
        self._lock = threading.Lock()
        self._wake: int | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch.

        Raises:
            OSError: no descriptor is to be had; none is left open.
            RuntimeError: no thread is to be had, likewise.
        """
        with contextlib.ExitStack() as opening:
            self._wake = os.eventfd(0, os.EFD_CLOEXEC)
            opening.callback(self._close_wake)
            watched, ended = _open_all(self._children, opening)
            descriptors = opening.pop_all()
        thread = threading.Thread(
            target=self._run,
            args=(self._wake, watched, ended, descriptors),
            name="member-watch",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError:
            descriptors.close()
            raise
        self._thread = thread

    def stop(self) -> None:
        """Watch no more: when this returns, no call is made any longer and no descriptor is open.

        May be called from anywhere, the callback included, and again.
        """
        self._stopped.set()
        with self._lock:
            if self._wake is not None:
                os.eventfd_write(self._wake, 1)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _run(
        self,
        wake: int,
        watched: dict[int, EngineChild],
        ended: EngineChild | None,
        descriptors: contextlib.ExitStack,
    ) -> None:
        with descriptors:
            if ended is None:
                poll = select.poll()
                for descriptor in (wake, *watched):
                    poll.register(descriptor, select.POLLIN)
                ready = {descriptor for descriptor, _ in poll.poll()}
                ended = next((child for fd, child in watched.items() if fd in ready), None)
        if ended is not None and not self._stopped.is_set():
            self._on_end(*ended)

    def _close_wake(self) -> None:
        with self._lock:
            if self._wake is not None:
                os.close(self._wake)
                self._wake = None


def _open_all(
    children: Iterable[EngineChild], descriptors: contextlib.ExitStack
) -> tuple[dict[int, EngineChild], EngineChild | None]:
    """A descriptor for each process, or the first that has ended already."""
    watched: dict[int, EngineChild] = {}
    for child in children:
        identity, _ = child
        try:
            descriptor = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return watched, child
        descriptors.callback(os.close, descriptor)
        # It is alive, and was when it was identified: so the descriptor, which was opened in
        # between, is its own and not that of another process with the same pid.
        if not identity.is_alive():
            return watched, child
        watched[descriptor] = child
    return watched, None

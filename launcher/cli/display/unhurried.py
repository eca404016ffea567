"""Output that nobody waits for longer than they want to: a terminal or a pipe may go unread.

Ctrl-S, a connection that stalls, or a program that has stopped reading make write(2) wait without
end. Whoever supervises a server must not: its loop hands what there is to tell to a `Teller`, whose
thread does the waiting, and at the end of the process `Streams` bounds what is waited for then.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import io
import os
import select
import signal
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# A start has some dozens of events, and a download two a second: more than an hour of one.
MOST_WAITING: Final = 10_000


class Teller:
    """Does one thing after another in a thread; whoever hands it over waits for nothing.

    What fails because nobody reads any more (`OSError`, or `SystemExit`, by which rich and click
    answer a broken pipe) is the end of it: the rest is left out. `refused` is why, where it is not
    that a pipe was closed.

    Args:
        on_dropped: called in the thread with how many were left out, before what comes after them.
        most_waiting: of more than that the oldest are left out.
    """

    def __init__(
        self, *, on_dropped: Callable[[int], None], most_waiting: int = MOST_WAITING
    ) -> None:
        self._on_dropped = on_dropped
        self._most_waiting = most_waiting
        self._waiting: deque[Callable[[], None]] = deque()
        self._dropped = 0
        self._is_over = False
        self._has_thread = True
        self.refused: OSError | None = None
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="teller", daemon=True)

    def start(self) -> None:
        """Begin; where the system has no thread left, each thing is done when it is handed over."""
        try:
            self._thread.start()
        except RuntimeError:
            self._has_thread = False

    def tell(self, what: Callable[[], None]) -> None:
        """Hand something over."""
        with self._changed:
            if self._is_over:
                return
            if not self._has_thread:
                self._is_over = not self._succeeds(what)
                return
            if len(self._waiting) >= self._most_waiting:
                self._waiting.popleft()
                self._dropped += 1
            self._waiting.append(what)
            self._changed.notify()

    def finish(self) -> None:
        """Wait until all is told, or nobody reads. `Streams.hurry` bounds that."""
        with self._changed:
            self._is_over = True
            self._changed.notify()
        if self._has_thread:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._is_over)
                if not self._waiting:
                    return
                what = self._waiting.popleft()
                dropped, self._dropped = self._dropped, 0
            if dropped and not self._succeeds(functools.partial(self._on_dropped, dropped)):
                break
            if not self._succeeds(what):
                break
        with self._changed:
            self._is_over = True
            self._waiting.clear()

    def _succeeds(self, what: Callable[[], None]) -> bool:
        try:
            what()
        except BrokenPipeError:
            return False
        except OSError as error:
            # A terminal that went away answers so, and nobody is there to be told.
            self.refused = None if error.errno == errno.EIO else error
            return False
        except SystemExit:
            return False
        return True


class _Handed(io.RawIOBase):
    """Writes to a descriptor in a thread of its own; `write` waits for that, up to a deadline.

    Args:
        descriptor: of a terminal, a pipe or a socket; it stays open.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._deadline: float | None = None
        self._data: bytes | None = None
        self._error: OSError | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name=f"writer-{descriptor}", daemon=True).start()

    def hurry(self, seconds: float) -> None:
        """From now on wait for so long at most, all in all."""
        with self._changed:
            self._deadline = time.monotonic() + seconds
            self._changed.notify_all()

    def write(self, data: ReadableBuffer, /) -> int:
        """Write all; what is not taken by the deadline is left out.

        Raises:
            OSError: as write(2).
        """
        copy = bytes(data)
        with self._changed:
            if self._wait(lambda: self._data is None):
                self._data, self._error = copy, None
                self._changed.notify_all()
                if self._wait(lambda: self._data is not copy) and self._error is not None:
                    raise self._error
        return len(copy)

    def _wait(self, holds: Callable[[], bool]) -> bool:
        """Wait for a condition, the lock being held; False where the time is over."""
        while not holds():
            if self._deadline is None:
                self._changed.wait()
                continue
            left = self._deadline - time.monotonic()
            if left <= 0:
                return False
            self._changed.wait(left)
        return True

    def _run(self) -> None:
        # A terminal may stop whoever writes to it from the background (`stty tostop`).
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTTOU])
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._data is not None)
                data = self._data or b""
            error = None
            try:
                self._write_all(data)
            except OSError as refused:
                error = refused
            with self._changed:
                self._data, self._error = None, error
                self._changed.notify_all()

    def _write_all(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # somebody who shares it has made it so
                select.select([], [self._descriptor], [])

    def writable(self) -> bool:
        """It is for nothing else."""
        return True

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """The descriptor."""
        return self._descriptor


class Streams:
    """Standard output and standard error, while they are written to in threads."""

    def __init__(self) -> None:
        self._before: tuple[TextIO, TextIO] | None = None
        self._handed: list[_Handed] = []

    def install(self) -> None:
        """Hand on what is printed, wherever a reader could make it wait."""
        if self._before is None:
            self._before = sys.stdout, sys.stderr
            sys.stdout = self._hand_on(sys.stdout)
            sys.stderr = self._hand_on(sys.stderr)

    def hurry(self, seconds: float) -> None:
        """Wait for readers for so long from now, and no longer; nothing where not installed."""
        for each in self._handed:
            each.hurry(seconds)

    def uninstall(self) -> None:
        """Say what is left, and put back what was there: the interpreter ends without threads."""
        if self._before is None:
            return
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = self._before
        self._before = None

    def _hand_on(self, stream: TextIO) -> TextIO:
        try:
            descriptor = stream.fileno()
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode):
                return stream
            stream.flush()
            raw = _Handed(descriptor)
        except (AttributeError, OSError, ValueError, RuntimeError):
            # None at all, or one of memory; or no thread is left.
            return stream
        self._handed.append(raw)
        return io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=stream.encoding,
            errors=stream.errors,
            line_buffering=raw.isatty(),
        )


STREAMS: Final = Streams()

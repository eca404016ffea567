"""What the server prints, as its supervisor sees it.

The pipe is read by the collector (`launcher/logs/collector.py`), a process of its own, which writes
the log and hands the lines on. Two ways lead to them: a supervisor that started the server reads
the collector's second pipe (`ServerOutput`); one that took over a running server follows the file
(`launcher.logs.adopted`).
"""

from __future__ import annotations

import os
import select
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from launcher.logs import collector
from launcher.logs.collector_process import CollectorProcess, CollectorSettings, enlarge_pipe
from launcher.logs.files import KEEP_FILES, ROTATE_BYTES
from launcher.system.process import ProcessIdentity

TAIL_LINES: Final = 400
# Of a line in the tail: 400 of the longest lines would be 26 MB.
TAIL_LINE_CHARACTERS: Final = 8192
# A collector that lived shorter than this is not replaced at once.
SHORT_LIFE_SECONDS: Final = 1.0
KILL_TIMEOUT_SECONDS: Final = 5.0


def is_finished(pipe: int) -> bool:
    """Whether nobody can write to a pipe any more, and nothing is left in it."""
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    return [event for _, event in poller.poll(0)] == [select.POLLHUP]


class Output(ABC):
    """What is known of a server's output, however it is read.

    Attributes:
        last_line_at: when the last line came, in monotonic seconds; None before the first.
        collector: the process that reads the server's pipe now; None where none is known.
        dropped_lines: how many lines the disk did not take.
    """

    collector: ProcessIdentity | None

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self.last_line_at: float | None = None
        self.dropped_lines = 0
        self._on_line = on_line
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)

    @property
    def tail(self) -> tuple[str, ...]:
        """The last lines, the newest last."""
        return tuple(self._tail)

    @abstractmethod
    def join(self, timeout_seconds: float) -> bool:
        """Wait until the output has ended, and let go of everything.

        Returns:
            False where the collector had to be killed, since somebody still held the pipe.
        """

    def _remember(self, line: bytes) -> str:
        text = line.decode("utf-8", "replace")
        self._tail.append(text[:TAIL_LINE_CHARACTERS])
        return text

    def _take(self, line: bytes) -> str:
        self.last_line_at = time.monotonic()
        text = self._remember(line)
        self._on_line(text)
        return text


class ServerOutput(Output):
    """The supervisor's end of the collector, which it starts, and starts again where it is killed.

    The supervisor holds the reading end of the server's pipe too, so that the pipe does not break
    while there is no collector.

    Args:
        log_file: appended to; see `launcher.logs.files.begin`.
        secrets: texts that never reach the file, `on_line` or `tail`.
        on_line: called for each line, in a thread. Lines are skipped where it is so slow that a
            megabyte of them waits.
        on_restart: called in the thread with each collector that replaces one.
        rotate_bytes: size at which the log is rotated.
        keep_files: how many rotated files there may be.

    Raises:
        OSError: the system refuses another process, or descriptors.
    """

    collector: ProcessIdentity

    def __init__(
        self,
        *,
        log_file: Path,
        secrets: Iterable[str],
        on_line: Callable[[str], None],
        on_restart: Callable[[ProcessIdentity], None] = lambda _: None,
        rotate_bytes: int = ROTATE_BYTES,
        keep_files: int = KEEP_FILES,
    ) -> None:
        super().__init__(on_line)
        self.restarts = 0
        self._settings = CollectorSettings(
            log_file.absolute(), tuple(secrets), rotate_bytes, keep_files
        )
        self._on_restart = on_restart
        self._closing = threading.Event()
        self._read_end, self.write_end = os.pipe()
        self._open_ends = {self._read_end, self.write_end}
        try:
            enlarge_pipe(self.write_end)
            self._current = CollectorProcess.spawn(
                self._settings, self._read_end, in_the_middle=False
            )
        except OSError:
            self._close(self._read_end, self.write_end)
            raise
        self.collector = self._current.identity
        self._thread = threading.Thread(target=self._run, name="server-output", daemon=True)
        self._thread.start()

    def close_write_end(self) -> None:
        """Let go of the server's end, once it has its own: the output ends with the server."""
        self._close(self.write_end)

    def join(self, timeout_seconds: float) -> bool:
        """Wait until the last writer has closed the pipe and all is in the log; close everything.

        Returns:
            False where it had not ended in time, and the collector was killed.
        """
        self.close_write_end()
        self._thread.join(timeout_seconds)
        has_ended = not self._thread.is_alive()
        self._closing.set()
        deadline = time.monotonic() + KILL_TIMEOUT_SECONDS
        while self._thread.is_alive() and time.monotonic() < deadline:
            # In a loop: it may be a new one since a moment ago.
            self._current.popen.kill()
            self._thread.join(0.1)
        if not self._thread.is_alive():
            self._close(self._read_end)
        return has_ended

    def _close(self, *descriptors: int) -> None:
        for descriptor in descriptors:
            if descriptor in self._open_ends:
                self._open_ends.remove(descriptor)
                os.close(descriptor)

    def _run(self) -> None:
        while True:
            self._pump(self._current.lines)
            self._current.close()
            if self._closing.is_set() or is_finished(self._read_end) or not self._replace():
                return

    def _pump(self, descriptor: int) -> None:
        """Take what a collector hands on, until it ends."""
        rest = b""
        dropped_before = self.dropped_lines
        while chunk := os.read(descriptor, collector.READ_BYTES):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(collector.DROPPED_CONTROL):
                    dropped_now = int(line[len(collector.DROPPED_CONTROL) :])
                    self.dropped_lines = dropped_before + dropped_now
                else:
                    self._take(line)

    def _replace(self) -> bool:
        """Start another collector; False where the output ended before that was possible."""
        in_a_row = time.monotonic() - self._current.started_at < SHORT_LIFE_SECONDS
        while True:
            if in_a_row and self._stand_in():
                return False
            try:
                self._current = CollectorProcess.spawn(
                    self._settings, self._read_end, in_the_middle=True
                )
            except OSError:
                in_a_row = True
                continue
            self.restarts += 1
            self.collector = self._current.identity
            self._on_restart(self.collector)
            return True

    def _stand_in(self) -> bool:
        """Do the collector's work for a while; True at the end of the output, or when closing."""
        splitter = collector.LineSplitter(self._settings.secrets, in_the_middle=True)
        log = self._settings.new_log()
        poller = select.poll()
        poller.register(self._read_end, select.POLLIN)
        deadline = time.monotonic() + SHORT_LIFE_SECONDS
        is_over = False
        # Another one can only go on between two lines.
        while not is_over and (time.monotonic() < deadline or not splitter.is_between_lines):
            lines: list[bytes] = []
            if poller.poll(100):
                chunk = os.read(self._read_end, collector.READ_BYTES)
                is_over = not chunk
                lines = splitter.feed(chunk) if chunk else splitter.finish()
            log.write(lines)
            for line in lines:
                self._take(line)
            is_over = is_over or self._closing.is_set()
        log.close()
        self.dropped_lines += log.dropped_lines
        return is_over

"""What a server prints whose own supervisor was killed: the log file, followed.

Its collector goes on writing, and hands on to nobody. The reading end of the server's pipe went
with the supervisor; the kernel gives out another one, for as long as the server has the pipe open.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from typing import Final

from launcher.logs import collector
from launcher.logs.collector_process import CollectorProcess, CollectorSettings
from launcher.logs.files import LogReader
from launcher.logs.output import KILL_TIMEOUT_SECONDS, TAIL_LINES, Output, is_finished
from launcher.system.process import ProcessIdentity, wait_until_gone

FOLLOW_SECONDS: Final = 1.0
_POLL_SECONDS: Final = 0.02
_NOTICE: Final = re.compile(rf"specserve: (?P<lines>\d+) {re.escape(collector.DROPPED_NOTICE)}")


class AdoptedOutput(Output):
    """The output of a server that was taken over.

    Args:
        settings: what its collector was told, for one that takes its place.
        collector: who reads the server's pipe, by the run record.
        server: its first process, whose pipe is read on where the collector ends; None where that
            is not wanted.
        on_line: called for each new line, in a thread.
        on_restart: called in the thread with each collector that replaces one.
        on_lost: called in the thread, once, where none can.
        began_at: when the run began, in seconds since the epoch; what the log holds of former
            runs is none of this one's last words.
        poll_seconds: how often to look.
    """

    def __init__(
        self,
        settings: CollectorSettings,
        collector: ProcessIdentity | None,
        server: ProcessIdentity | None = None,
        *,
        on_line: Callable[[str], None],
        on_restart: Callable[[ProcessIdentity], None] = lambda _: None,
        on_lost: Callable[[], None] = lambda: None,
        began_at: float = 0.0,
        poll_seconds: float = FOLLOW_SECONDS,
    ) -> None:
        super().__init__(on_line)
        self.collector = collector
        self._settings = settings
        self._server = server
        self._on_restart = on_restart
        self._on_lost = on_lost
        self._began_at = began_at
        self._poll_seconds = poll_seconds
        self._pipe = None if server is None else _reopen_pipe(server)
        self._replacement: CollectorProcess | None = None
        self._is_lost = False
        self._closing = threading.Event()
        self._reader = self._open()
        if self._reader is not None:
            self._look_back(self._reader)
        self._thread = threading.Thread(target=self._run, name="adopted-output", daemon=True)
        self._thread.start()

    def join(self, timeout_seconds: float) -> bool:
        """Wait until the collector is gone and all is read; let go of the file and the pipe.

        Returns:
            False where it was not gone in time, and was killed.
        """
        deadline = time.monotonic() + timeout_seconds
        while not (is_gone := self._has_ended()) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self._closing.set()
        self._thread.join()
        if self.collector is not None and self.collector.send_signal(signal.SIGKILL):
            wait_until_gone(self.collector, timeout_seconds=KILL_TIMEOUT_SECONDS)
        self._reap()
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        return is_gone

    def _has_ended(self) -> bool:
        if self.collector is not None and self.collector.is_alive():
            return False
        # What a collector that was killed has left in the pipe is for the next.
        return self._pipe is None or self.collector is None or is_finished(self._pipe)

    def _open(self) -> LogReader | None:
        try:
            return LogReader(self._settings.log_file, written_since=self._began_at)
        except OSError:  # removed; at the next rotation there is one again
            return None

    def _look_back(self, reader: LogReader) -> None:
        """Learn the last lines from before; what comes then is new."""
        reader.skip_to_last(TAIL_LINES)
        for block in reader.read():
            for line in _lines_of(block):
                self._remember(line)
        if self._tail:
            # The time at which the file was written, by the clock of the day.
            age_seconds = max(0.0, time.time() - reader.modified_at)
            self.last_line_at = time.monotonic() - age_seconds

    def _run(self) -> None:
        is_over = False
        while not is_over:
            # Asked before the read: what is printed last must not be lost.
            is_over = self._closing.wait(self._poll_seconds)
            if not is_over:
                self._see_to_the_collector()
            self._reader = self._reader or self._open()
            if self._reader is not None:
                self._take_blocks(self._reader.read(to_the_end=is_over))
        if self._reader is not None:
            self._reader.close()

    def _see_to_the_collector(self) -> None:
        """Replace one that has ended while there is something to read, or say that none can be."""
        if self._server is None or self.collector is None or self.collector.is_alive():
            return
        if self._pipe is None:
            # It ends after the server; one that went before was killed.
            if not self._is_lost and self._server.is_alive():
                self._is_lost = True
                self._on_lost()
            return
        if is_finished(self._pipe):
            return
        self._reap()
        # Refused now, it may be granted at the next look; the pipe has room meanwhile.
        with contextlib.suppress(OSError):
            new = CollectorProcess.spawn(self._settings, self._pipe, in_the_middle=True)
            # The file is followed: it needs to hand on nothing.
            os.close(new.lines)
            self._replacement = new
            self.collector = new.identity
            self._on_restart(new.identity)

    def _reap(self) -> None:
        if self._replacement is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._replacement.popen.wait(KILL_TIMEOUT_SECONDS)
            self._replacement = None

    def _take_blocks(self, blocks: Iterable[bytes]) -> None:
        for block in blocks:
            for line in _lines_of(block):
                text = self._take(line)
                if notice := _NOTICE.search(text):
                    self.dropped_lines += int(notice["lines"])


def _reopen_pipe(server: ProcessIdentity) -> int | None:
    """Another reading end of the pipe that a server prints to; None where it prints to none.

    Source: proc(5), `/proc/PID/fd`: to open what stands there is to open the pipe itself.
    """
    for number in (1, 2):
        name = f"/proc/{server.pid}/fd/{number}"
        with contextlib.suppress(OSError):
            if not os.readlink(name).startswith("pipe:"):  # noqa: PTH115  # it is no path
                continue
            # Not to wait for a writer that has gone meanwhile.
            descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            if server.is_alive():
                os.set_blocking(descriptor, True)  # its own form
                return descriptor
            os.close(descriptor)
    return None


def _lines_of(block: bytes) -> list[bytes]:
    return block.removesuffix(b"\n").split(b"\n")

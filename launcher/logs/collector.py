# pathlib would add a tenth to this process's memory.
# ruff: noqa: PTH105, PTH116
"""What the server prints, from its pipe to a file, in a process that outlives the supervisor.

    server ──pipe──► collector ──► server.log, server.log.1, ...
                         └──pipe──► supervisor, for as long as there is one

The same shape as s6-log and svlogd: the writer of the log is neither the server nor its
supervisor, so that a supervisor which is killed breaks no pipe. It drains the pipe whatever happens
to the disk or to the supervisor, since a server whose pipe is full stands still. It ignores every
signal that can be ignored, and ends when the last writer has closed the pipe.

`launcher/logs/output.py` starts it as a script, `python -I -S collector.py LOG_FILE`, with its
settings as one JSON document on standard input (they hold the keys) and the supervisor's pipe as
standard output. It imports little, to stay at about 10 MB, and nothing of this package.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import select
import signal
import stat
import sys
import time
from collections import deque

# `typing` is another 0.6 MB. A checker takes this name for true.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

READ_BYTES: Final = 65536
LONGEST_LINE_BYTES: Final = 65536
REDACTED: Final = b"[redacted]"
# A part of a key this long is taken out too, where the key was cut.
SHORTEST_PART_BYTES: Final = 4
# How much waits for a supervisor that does not read, besides what its pipe holds.
BACKLOG_BYTES: Final = 256 * 1024
# How long the supervisor has, after the end of the output, to take what waits.
PARTING_SECONDS: Final = 0.5
# A line that begins with this is the collector's own word; the server's lines hold no such byte.
CONTROL: Final = b"\0"
DROPPED_CONTROL: Final = CONTROL + b"dropped_lines="
DROPPED_NOTICE: Final = "lines are missing here"


class LineSplitter:
    """Bytes in any pieces become lines of bounded length without secrets.

    The lines do not depend on how the bytes were cut into pieces.

    Args:
        secrets: what is replaced by `[redacted]`.
        in_the_middle: the first bytes may be the second half of a line, whose first half went
            elsewhere; a secret that was cut in two there is taken out as well.
    """

    def __init__(self, secrets: Iterable[str] = (), *, in_the_middle: bool = False) -> None:
        # The longest first, since one may be the beginning of another.
        self._secrets = sorted(
            (secret.encode() for secret in secrets if secret), key=len, reverse=True
        )
        self._longest_secret_bytes = max(map(len, self._secrets), default=0)
        self._may_begin_with_part = in_the_middle
        self._rest = b""

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that are complete now, without their ends; empty ones are left out.

        A line that grows too long is cut into several.
        """
        # tqdm redraws its bars with a carriage return alone. A byte 0 makes grep take the file for
        # a binary one, and is the sign of a control line.
        chunk = chunk.replace(b"\r", b"\n").replace(b"\0", "\ufffd".encode())
        complete, end, self._rest = (self._rest + chunk).rpartition(b"\n")
        lines = []
        if end:
            for line in self._scrub(complete).split(b"\n"):
                lines += [
                    line[start : start + LONGEST_LINE_BYTES]
                    for start in range(0, len(line), LONGEST_LINE_BYTES)
                ]
        while self._rest_is_too_long():
            self._rest = self._scrub(self._rest)
            if self._rest_is_too_long():
                lines.append(self._rest[:LONGEST_LINE_BYTES])
                self._rest = self._rest[LONGEST_LINE_BYTES:]
        return [line for line in lines if line.strip()]

    def finish(self) -> list[bytes]:
        """The last line, if the output did not end with a line end."""
        return self.feed(b"\n")

    @property
    def is_between_lines(self) -> bool:
        """Whether all that was fed has been given back, so that another one can go on."""
        return not self._rest

    def _rest_is_too_long(self) -> bool:
        # A secret that begins before the cut is here to its end, so none is cut in two.
        return len(self._rest) > LONGEST_LINE_BYTES + self._longest_secret_bytes

    def _scrub(self, text: bytes) -> bytes:
        if self._may_begin_with_part:
            self._may_begin_with_part = False
            text = self._scrub_part(text)
        for secret in self._secrets:
            text = text.replace(secret, REDACTED)
        return text

    def _scrub_part(self, text: bytes) -> bytes:
        for secret in self._secrets:
            for start in range(1, len(secret) - SHORTEST_PART_BYTES + 1):
                if text.startswith(secret[start:]):
                    return REDACTED + text[len(secret) - start :]
        return text


def rotated_name(log_file: str, number: int) -> str:
    """Where a log goes when it is rotated; 1 is the newest."""
    return f"{log_file}.{number}"


def rotate(log_file: str, keep_files: int) -> None:
    """Move a log out of the way, to `.1`, what is there to `.2`, and so on.

    Args:
        log_file: there is none by this name afterwards.
        keep_files: how many rotated files there may be, 1 or more; the oldest one goes.

    Raises:
        OSError: the system refuses; nothing is lost, and to call it again is safe.
    """
    # Up to the first gap only: a rotation that failed half-way has left one, and tried again it
    # must not push out more.
    free = 1
    while free < keep_files and os.path.lexists(rotated_name(log_file, free)):
        free += 1
    for number in range(free, 1, -1):
        os.replace(rotated_name(log_file, number - 1), rotated_name(log_file, number))
    os.replace(log_file, rotated_name(log_file, 1))


class LogFile:
    """A file of whole lines that is rotated, and that may refuse to be written at any time.

    What it does not take is dropped and counted, and a line in the file says so, once it takes
    lines again.

    Args:
        path: appended to; made with mode 0600.
        rotate_bytes: rotated before it would grow beyond this.
        keep_files: how many rotated files there may be.
    """

    def __init__(self, path: str, *, rotate_bytes: int, keep_files: int) -> None:
        self.dropped_lines = 0
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep_files = keep_files
        self._limit_bytes = rotate_bytes
        self._descriptor: int | None = None
        self._size_bytes = 0
        self._noted_lines = 0
        self._refusal = ""

    def write(self, lines: list[bytes]) -> None:
        """Append lines, as far as the disk takes them."""
        text = b"".join(line + b"\n" for line in lines)
        if not text:
            return
        try:
            # One that somebody has removed is read by nobody.
            if self._descriptor is None or not os.fstat(self._descriptor).st_nlink:
                self._open()
            if self._size_bytes and self._size_bytes + len(text) > self._limit_bytes:
                self._rotate()
        except OSError as error:
            self._refusal = str(error.strerror)
        self._append(text)

    def close(self) -> None:
        """Note what is missing at the end, and close."""
        if self._descriptor is None:
            return
        if self.dropped_lines > self._noted_lines:
            self._append(b"")
        os.close(self._descriptor)
        self._descriptor = None

    def _open(self) -> None:
        former, self._descriptor = self._descriptor, open_own(self._path)
        self._size_bytes = os.fstat(self._descriptor).st_size
        if former is not None:
            os.close(former)

    def _rotate(self) -> None:
        """Go on in a new file, or in this one where that cannot be had."""
        try:
            if self._path_was_replaced():
                self._limit_bytes += self._rotate_bytes
                return
            # Nothing by that name: somebody moved it away.
            with contextlib.suppress(FileNotFoundError):
                rotate(self._path, self._keep_files)
            self._open()
        except OSError:
            # Not at every line: where it fails once, it mostly fails for long.
            self._limit_bytes = self._size_bytes + max(1, self._rotate_bytes // 16)
        else:
            self._limit_bytes = self._rotate_bytes

    def _path_was_replaced(self) -> bool:
        """Whether the file of that name is the log of a later run, and not to be moved."""
        assert self._descriptor is not None  # noqa: S101  # `write` opened it
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _append(self, text: bytes) -> None:
        notice = b""
        if self.dropped_lines > self._noted_lines:
            notice = dropped_notice(self.dropped_lines - self._noted_lines, self._refusal)
        data = notice + text
        kept_bytes = self._write_whole_lines(data)
        if notice and kept_bytes >= len(notice):
            self._noted_lines = self.dropped_lines
        self.dropped_lines += data.count(b"\n", max(kept_bytes, len(notice)))

    def _write_whole_lines(self, data: bytes) -> int:
        """Write as many lines as the disk takes; returns their bytes."""
        if self._descriptor is None:
            return 0
        written = 0
        try:
            # A disk that fills up takes a part, and refuses the next.
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            kept = written
        except OSError as error:
            self._refusal = str(error.strerror)
            kept = data.rfind(b"\n", 0, written) + 1
            with contextlib.suppress(OSError):
                # Half a line would be taken for one together with what comes next.
                end = os.fstat(self._descriptor).st_size
                os.ftruncate(self._descriptor, end - (written - kept))
        self._size_bytes += kept
        return kept


def open_own(path: str) -> int:
    """Open a log of ours to append to it; `launcher.system.private` in a few lines.

    Raises:
        OSError: the system refuses, or it is no regular file, or not ours alone.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    found = os.fstat(descriptor)
    if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o022:
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EPERM, "the log's file is not ours alone")


def dropped_notice(lines: int, reason: str) -> bytes:
    """The line that stands in the log for lines that the disk did not take.

    Its time is written as SGLang writes its own, for whoever reads from a time on.
    """
    now = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"[{now}] specserve: {lines} {DROPPED_NOTICE}: {reason}\n".encode()


class Forwarder:
    """The pipe to the supervisor, which never makes the server wait.

    Of lines that the supervisor does not take in time, the oldest are skipped: what a server said
    last explains its end.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self._is_open = True
        self._head = b""  # may be a part of a block, so it cannot be skipped
        self._blocks: deque[bytes] = deque()
        self._waiting_bytes = 0

    @property
    def is_waiting(self) -> bool:
        """Whether there is something that the pipe did not take yet."""
        return self._is_open and bool(self._head or self._blocks)

    def offer(self, block: bytes) -> None:
        """Hand on a block of whole lines, now or once there is room."""
        if not (self._is_open and block):
            return
        self._blocks.append(block)
        self._waiting_bytes += len(block)
        self.flush()
        while self._waiting_bytes > BACKLOG_BYTES and len(self._blocks) > 1:
            self._waiting_bytes -= len(self._blocks.popleft())

    def flush(self) -> None:
        """Write what the pipe takes without waiting."""
        try:
            while self.is_waiting:
                if not self._head:
                    self._head = self._blocks.popleft()
                    self._waiting_bytes -= len(self._head)
                self._head = self._head[os.write(self.descriptor, self._head) :]
        except BlockingIOError:
            return
        except OSError:  # the supervisor is gone; the server is not
            self._is_open = False

    def finish(self) -> None:
        """Give the supervisor some time to take what waits."""
        deadline = time.monotonic() + PARTING_SECONDS
        while self.is_waiting and (left := deadline - time.monotonic()) > 0:
            select.select([], [self.descriptor], [], left)
            self.flush()


def collect(source: int, splitter: LineSplitter, log: LogFile, forwarder: Forwarder) -> None:
    """Read a pipe until its last writer has closed it."""

    def take(lines: list[bytes]) -> None:
        log.write(lines)
        block = b"".join(line + b"\n" for line in lines)
        if log.dropped_lines:
            # With each block, since one that carries it may be skipped.
            block += b"%b%d\n" % (DROPPED_CONTROL, log.dropped_lines)
        forwarder.offer(block)

    while True:
        waiting = [forwarder.descriptor] if forwarder.is_waiting else []
        readable, writable, _ = select.select([source], waiting, [])
        if writable:
            forwarder.flush()
        if readable:
            chunk = os.read(source, READ_BYTES)
            if not chunk:
                break
            take(splitter.feed(chunk))
    take(splitter.finish())
    log.close()
    forwarder.finish()


def main() -> None:
    """Collect as standard input says."""
    # Those of a fault, and of somebody who wants a dump, end it as ever.
    faults = {
        *(signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT),
        *(signal.SIGTRAP, signal.SIGSYS, signal.SIGKILL, signal.SIGSTOP),
    }
    for number in signal.valid_signals() - faults:
        signal.signal(number, signal.SIG_IGN)
    settings = json.load(sys.stdin)
    collect(
        settings["source"],
        LineSplitter(settings["secrets"], in_the_middle=settings["in_the_middle"]),
        LogFile(
            sys.argv[1],
            rotate_bytes=settings["rotate_bytes"],
            keep_files=settings["keep_files"],
        ),
        Forwarder(sys.stdout.fileno()),
    )


if __name__ == "__main__":
    main()

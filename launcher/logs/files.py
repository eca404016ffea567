"""A log with its rotated files: beginning it anew, and reading it as one stream.

`server.log` is the newest file, `server.log.1` the one before it, and so on. Whoever writes rotates
by renaming (`launcher.logs.collector.rotate`), so a file is known by its inode, and a reader that
holds it open loses nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Self, TypeAlias

from launcher.logs import collector
from launcher.system import private
from launcher.system.files import cannot_write, file_size_bytes, open_private
from launcher.system.private import NotOursError

ROTATE_BYTES: Final = 64 * 1024 * 1024
KEEP_FILES: Final = 5
_BLOCK_BYTES: Final = 64 * 1024
# A line without an end is handed on all the same once it is this long.
_LONGEST_LINE_BYTES: Final = 1024 * 1024
# Between the two steps of a rotation there is no file of the log's own name.
_ROTATION_SECONDS: Final = 0.02
# How many numbers without a file end the list of rotated files.
_LONGEST_GAP: Final = 2
_MOST_FILES: Final = 10_000

# Says of a line whether it is late enough; None for a line without a time.
Judge: TypeAlias = Callable[[bytes], bool | None]


def begin(log_file: Path, keep_files: int = KEEP_FILES) -> None:
    """Begin a log anew, empty and 0600; what is there is rotated.

    Call it before a server is started, so that a folder that cannot be written is known then.

    Raises:
        ForeignStateError: what is there is none of ours.
        StateError: the system refuses.
    """
    try:
        # A run that printed nothing must not push out one that did.
        if private.is_usable(log_file) and file_size_bytes(log_file):
            collector.rotate(str(log_file), keep_files)
        open_private(log_file).close()
    except OSError as error:
        raise cannot_write(log_file, error) from error


@dataclass(slots=True)
class _Piece:
    """One file of a log, and from where on it is still to be read."""

    file: BinaryIO
    offset: int = 0

    @property
    def size_bytes(self) -> int:
        return os.fstat(self.file.fileno()).st_size

    @property
    def modified_at(self) -> float:
        """Seconds since the epoch."""
        return os.fstat(self.file.fileno()).st_mtime

    def is_same_file(self, other: _Piece) -> bool:
        return os.path.samestat(os.fstat(self.file.fileno()), os.fstat(other.file.fileno()))

    def skip_to(self, judge: Judge) -> bool:
        """Go to the first line that is late enough, or to the end; says whether there is one."""
        self.file.seek(self.offset)
        position = self.offset
        seen_time = False
        for line in self.file:
            if not line.endswith(b"\n"):  # still being written
                break
            is_late = judge(line)
            if is_late:
                # What stands before the first line with a time belongs to that line.
                self.offset = position if seen_time else self.offset
                return True
            seen_time = seen_time or is_late is not None
            position += len(line)
        if position > self.offset and not seen_time:
            return True
        self.offset = position
        return False

    def skip_to_last(self, lines: int) -> int:
        """Go to the last lines; returns how many there are, `lines` at the most."""
        end = self.size_bytes
        if lines == 0 or end <= self.offset:
            self.offset = max(self.offset, end)
            return 0
        found = 0
        # The end of the last line is the beginning of none.
        position = end - 1
        while position > self.offset:
            start = max(self.offset, position - _BLOCK_BYTES)
            block = os.pread(self.file.fileno(), position - start, start)
            in_block = block.count(b"\n")
            if found + in_block >= lines:
                newline = len(block)
                for _ in range(lines - found):
                    newline = block.rindex(b"\n", 0, newline)
                self.offset = start + newline + 1
                return lines
            found += in_block
            position = start
        return found + 1

    def read(self, *, to_the_end: bool) -> Iterator[bytes]:
        """Blocks of whole lines; with `to_the_end` also a last line that has no end."""
        while True:
            size = self.size_bytes
            if size < self.offset:  # somebody cut it
                self.offset = 0
            block = os.pread(self.file.fileno(), _LONGEST_LINE_BYTES, self.offset)
            whole = block.rfind(b"\n") + 1
            if to_the_end or (whole == 0 and len(block) == _LONGEST_LINE_BYTES):
                whole = len(block)
            if whole == 0:
                return
            self.offset += whole
            yield block[:whole]


class LogReader:
    """Reads a log over all its files, the oldest first, and goes on as it grows and rotates.

    A context manager: it holds the files open.

    Args:
        log_file: the newest of them.
        written_since: rotated files that were last written before are left out; seconds since the
            epoch.

    Raises:
        OSError: there is no such log, it is none of ours, or it cannot be read.
    """

    def __init__(self, log_file: Path, *, written_since: float = 0.0) -> None:
        self._log_file = log_file
        *rotated, newest = _open_all(log_file)
        self._pieces = []
        for piece in rotated:
            if piece.modified_at < written_since:
                piece.file.close()
            else:
                self._pieces.append(piece)
        self._pieces.append(newest)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def modified_at(self) -> float:
        """When the log was last written, in seconds since the epoch."""
        return self._pieces[-1].modified_at

    def close(self) -> None:
        """Let go of the files."""
        for piece in self._pieces:
            piece.file.close()

    def skip_to(self, judge: Judge, *, written_since: float) -> None:
        """Leave out what was written before the first line that is late enough.

        All that follows that line is read, since a clock that is set back, as in autumn, makes
        later lines look earlier. A line without a time belongs to the one before it.

        Args:
            judge: says of a line whether it is late enough, or None where it has no time.
            written_since: files last written before are not even looked at; seconds since the
                epoch.
        """
        for piece in self._pieces:
            if piece.modified_at < written_since:
                piece.offset = piece.size_bytes
            elif piece.skip_to(judge):
                return

    def skip_to_last(self, lines: int) -> None:
        """Leave out all but the last lines of what is there; reads backwards, in blocks."""
        for index in range(len(self._pieces) - 1, -1, -1):
            lines -= self._pieces[index].skip_to_last(lines)

    def read(self, *, to_the_end: bool = False) -> Iterator[bytes]:
        """What was not read yet, as blocks of whole lines; call it again for what comes later.

        Args:
            to_the_end: also a last line that has no end, since nobody will write on.
        """
        while True:
            while len(self._pieces) > 1:
                # Nothing is added to a file once there is a newer one.
                yield from self._pieces[0].read(to_the_end=True)
                self._pieces.pop(0).file.close()
            yield from self._pieces[0].read(to_the_end=to_the_end)
            newer = self._open_newer()
            if not newer:
                return
            self._pieces += newer

    def _open_newer(self) -> list[_Piece]:
        """The files that came after the newest one known, the oldest first."""
        known = self._pieces[-1]
        try:
            if os.path.samestat(self._log_file.stat(), os.fstat(known.file.fileno())):
                return []
            pieces = _open_all(self._log_file)
        except FileNotFoundError:  # a rotation in progress, or removed
            return []
        newer: list[_Piece] = []
        for piece in reversed(pieces):
            if piece.is_same_file(known):
                break
            newer.insert(0, piece)
        # Where the known one is not among them, those in between have gone.
        for piece in pieces[: len(pieces) - len(newer)]:
            piece.file.close()
        return newer


def _open_all(log_file: Path) -> list[_Piece]:
    """All files of a log, the oldest first."""
    pieces = [_Piece(_open_newest(log_file))]
    prefix = f"{log_file.name}."
    numbers = (
        int(name[len(prefix) :])
        for name in os.listdir(log_file.parent)  # noqa: PTH208  # names are all we need
        if name.startswith(prefix) and name[len(prefix) :].isdecimal()
    )
    # Each number up to the last is tried, and somebody may have made one of a hundred digits.
    last = max((number for number in numbers if number <= _MOST_FILES), default=0)
    # From new to old, the way rotations move them: those that go on meanwhile can show us a file
    # twice, and hide none. The later place is the right one, since newer files may have come
    # between. One rotation leaves one gap at a time.
    number = missing = 0
    while number < last or missing < _LONGEST_GAP:
        number += 1
        try:
            name = collector.rotated_name(str(log_file), number)
            piece = _Piece(private.open_to_read(Path(name)))
        except (FileNotFoundError, NotOursError):
            missing += 1
            continue
        missing = 0
        for other in pieces:
            if piece.is_same_file(other):
                other.file.close()
                pieces.remove(other)
                break
        pieces.append(piece)
    return pieces[::-1]


def _open_newest(log_file: Path) -> BinaryIO:
    try:
        return private.open_to_read(log_file)
    except FileNotFoundError:
        time.sleep(_ROTATION_SECONDS)
        return private.open_to_read(log_file)

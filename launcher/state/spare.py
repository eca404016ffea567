"""A second place for the run record, taken while there was room, for when the disk is full.

A record is replaced by writing another file and renaming it, which takes a new inode and new
blocks. Where the disk has none left, the record goes into the spare file, whose blocks are there
already, and the two change names in one step: a reader sees the one or the other. The former record
is the spare file from then on, so this can be done again and again.

A file system that never overwrites a block (btrfs, ZFS), or that cannot exchange two names (NFS),
refuses; then the former record stands.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
from pathlib import Path
from typing import Final

from launcher.errors import StateError
from launcher.system import private
from launcher.system.files import write_atomically

# Records of one server differ by little: each fits where the one before it was.
SLOT_BYTES: Final = 16 * 1024
_ROOM_BYTES: Final = 4 * 1024
_AT_FDCWD: Final = -100  # linux/fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


def padded(text: str) -> str:
    """A JSON text with blanks behind it, so that it fills its place and can grow in there."""
    size = len(text.encode())
    slots = -(-(size + _ROOM_BYTES) // SLOT_BYTES)
    return f"{text}{' ' * (slots * SLOT_BYTES - size - 1)}\n"


def replace(file: Path, text: str) -> None:
    """Replace a JSON file of ours in one step; on a full disk by way of its spare.

    Raises:
        StateError: the disk is full or not writable; the former file then stands.
    """
    content = padded(text)
    try:
        write_atomically(file, content)
    except StateError as error:
        if not is_full(error.__cause__):
            raise
        try:
            write_to_spare(file, content.encode())
        except OSError:
            raise error from error.__cause__
    else:
        # The next one may find the disk full; this one is written.
        with contextlib.suppress(OSError):
            keep_spare(file)


def spare_of(file: Path) -> Path:
    """The name of a file's spare."""
    return file.with_name(f".{file.name}.spare")


def keep_spare(file: Path) -> None:
    """Have a spare as large as the file is now.

    Raises:
        OSError: the system refuses; nothing is lost.
    """
    spare, size = spare_of(file), file.stat().st_size
    try:
        if spare.lstat().st_size >= size:
            return
    except FileNotFoundError:
        pass
    # Written, not merely reserved: not every file system counts a reservation.
    descriptor = private.open_file(spare, os.O_WRONLY | os.O_CREAT)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(b" " * size)
        opened.flush()
        os.fsync(descriptor)


def is_full(error: BaseException | None) -> bool:
    """Whether the disk, or the user's part of it, has no room."""
    return isinstance(error, OSError) and error.errno in _FULL


def write_to_spare(file: Path, content: bytes) -> None:
    """Replace a file by way of its spare, in one step, without a new block or inode.

    Raises:
        OSError: there is no spare, it is too small, or the file system cannot do it.
    """
    spare = spare_of(file)
    descriptor = private.open_file(spare, os.O_WRONLY)
    with os.fdopen(descriptor, "wb") as opened:
        if os.fstat(descriptor).st_size < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(spare))
        opened.write(content)
        opened.flush()
        os.ftruncate(descriptor, len(content))
        os.fsync(descriptor)
    exchange(spare, file)


def exchange(one: Path, other: Path) -> None:
    """Let two files or folders change names, in one step (rename(2), RENAME_EXCHANGE).

    Raises:
        OSError: one is missing, or the file system cannot do it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(one))
    names = os.fsencode(one), os.fsencode(other)
    if libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))

"""Files that only their owner can read, and that are never seen half-written."""

from __future__ import annotations

import contextlib
import io
import os
from pathlib import Path
from typing import BinaryIO

from launcher.errors import StateError


def make_private_folder(path: Path) -> None:
    """Create a folder with mode 0700, and its parents.

    Raises:
        StateError: the system refuses.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_atomically(path: Path, text: str) -> None:
    """Replace a file of our state in one step, as `replace_file` does.

    Raises:
        StateError: the disk is full or not writable; the old file is then untouched.
    """
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_file(
    path: Path, content: bytes, *, partial: Path | None = None, mode: int = 0o600
) -> None:
    """Replace a file in one step: a reader sees the old content or the new, never a part.

    Args:
        path: the file.
        content: all of it.
        partial: where it grows, removed if it cannot be written; None: a name of its own beside it.
        mode: of a new file, less the umask.

    Raises:
        OSError: the disk is full or not writable; the old file is then untouched.
    """
    partial = partial or path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        # Buffered: a raw write may take a part of it, and say so only by its result.
        with io.BufferedWriter(_open(partial, os.O_TRUNC, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file for writing with mode 0600."""
    return _open(path, os.O_APPEND if append else os.O_TRUNC, 0o600)


def _open(path: Path, flag: int, mode: int) -> BinaryIO:
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flag
    return os.fdopen(os.open(path, flags, mode), "wb", buffering=0)


def file_size_bytes(path: Path) -> int:
    """Size of a file; 0 for what is none, is not there, or may not be looked at."""
    with contextlib.suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def cannot_write(path: Path, error: OSError) -> StateError:
    """The error for a state file or folder that the system refuses."""
    return StateError(
        f"{path} cannot be written: {error.strerror}.",
        action="Free space, mend the permissions, or set XDG_STATE_HOME to another folder.",
    )

"""Files that only their owner can read, and that are never seen half-written."""

from __future__ import annotations

import contextlib
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
    """Replace a file of our state in one step, as `replace_text` does.

    Raises:
        StateError: the disk is full or not writable; the old file is then untouched.
    """
    try:
        replace_text(path, text)
    except OSError as error:
        raise cannot_write(path, error) from error


def replace_text(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never a part.

    Raises:
        OSError: the disk is full or not writable; the old file is then untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_TRUNC
        # Buffered: a raw write may take a part of the text, and say so only by its result.
        with os.fdopen(os.open(partial, flags, mode), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file for writing with mode 0600."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_APPEND if append else os.O_TRUNC)
    return os.fdopen(os.open(path, flags, 0o600), "wb", buffering=0)


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

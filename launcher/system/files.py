"""Files that only their owner can read, and that are never seen half-written."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
from pathlib import Path
from typing import BinaryIO

from launcher.errors import ForeignStateError, StateError
from launcher.system import private
from launcher.system.private import NotOursError


def make_private_folder(path: Path) -> None:
    """Make a folder, 0700, and its parents; see `private.make_folder`.

    Raises:
        ForeignStateError: it is not ours alone.
        StateError: the system refuses.
    """
    try:
        private.make_folder(path)
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
        # The name under which it grew is nobody's business.
        raise cannot_write(path, OSError(error.errno, error.strerror)) from error


def replace_file(
    path: Path, content: bytes, *, partial: Path | None = None, mode: int = 0o600
) -> None:
    """Replace a file in one step: a reader sees the old content or the new, never a part.

    Args:
        path: the file. Where a link stands in its place, the link is replaced.
        content: all of it.
        partial: where it grows, removed if it cannot be written; None: a name of its own beside it.
        mode: of a new file, less the umask.

    Raises:
        OSError: the disk is full or not writable; the old file is then untouched.
    """
    # Of no name that somebody could know and be there before.
    own = f"{os.getpid()}-{secrets.token_hex(4)}"
    partial = partial or path.with_name(f".{path.name}.{own}.partial")
    with contextlib.suppress(FileNotFoundError):
        partial.unlink()
    try:
        # Buffered: a raw write may take a part of it, and say so only by its result.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        raw = os.fdopen(os.open(partial, flags, mode), "wb", buffering=0)
        with io.BufferedWriter(raw) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise


def open_private(path: Path, *, append: bool = False) -> BinaryIO:
    """Open a file of ours for writing with mode 0600; raises what `private.open_file` does."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    return os.fdopen(private.open_file(path, flags), "wb", buffering=0)


def file_size_bytes(path: Path) -> int:
    """Size of a file; 0 for what is none, is not there, or may not be looked at."""
    with contextlib.suppress(OSError):
        return path.stat().st_size if path.is_file() else 0
    return 0


def cannot_write(path: Path, error: OSError) -> StateError:
    """The error for a state file or folder that the system, or our own care, refuses."""
    return _refused(path, error, "written", "Free space, mend the permissions")


def cannot_read(path: Path, error: OSError) -> StateError:
    """The same for one that cannot be read."""
    return _refused(path, error, "read", "Mend its permissions")


def _refused(path: Path, error: OSError, done: str, mend: str) -> StateError:
    if isinstance(error, NotOursError):
        place = error.filename
        return ForeignStateError(
            f"{place} is not ours alone: {error.strerror}.",
            action="Look who put it there. Remove it, or make it yours alone (`chown`, "
            "`chmod go-w`), or set XDG_STATE_HOME to another folder.",
        )
    return StateError(
        f"{error.filename or path} cannot be {done}: {error.strerror}.",
        action=f"{mend}, or set XDG_STATE_HOME to another folder.",
    )

"""Files that are never seen half-written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from benchmarks.errors import StorageError


def write_atomically(path: Path, text: str) -> None:
    """Replace a file in one step: a reader sees the old text or the new, never a part.

    Raises:
        StorageError: the disk is full or not writable; the old file is then untouched.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise StorageError(
            f"{path} cannot be written: {error.strerror}.",
            action="Free space, mend the permissions, or name another folder; what was measured "
            "is kept in the run's folder, and the report can be made from it again.",
        ) from error

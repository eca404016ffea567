"""Locks in the shape of files, which the kernel takes from a process that dies."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

from launcher.system import private

_POLL_SECONDS: Final = 0.02


def is_locked(file: Path) -> bool:
    """Whether some process holds a lock file of ours; a file that is none of ours is no lock."""
    try:
        # Held no longer than the look takes.
        open_locked(file, make=False).close()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def has_open(pid: int, file: Path) -> bool | None:
    """Whether a process has a file open; None where the kernel does not let us look.

    Whoever holds a lock has its file open, be it that it inherited the descriptor.
    """
    try:
        descriptors = list(Path(f"/proc/{pid}/fd").iterdir())
    except PermissionError:
        return None
    except OSError:
        return False
    # By its name: a file that somebody has removed since is still held.
    names = {str(file.resolve()), f"{file.resolve()} (deleted)"}
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()) in names:
                return True
    return False


def open_locked(
    file: Path,
    *,
    timeout_seconds: float = 0.0,
    keep_waiting: Callable[[], bool] = lambda: True,
    mode: int = 0o600,
    shared: bool = False,
    make: bool = True,
) -> BinaryIO:
    """Open a lock file, made where there is none, as its only holder until it is closed.

    A process that inherits the descriptor holds the lock too.

    Args:
        file: the lock.
        timeout_seconds: how long to wait for another holder.
        keep_waiting: asked each time that another holder is met.
        mode: of the file, where it is made.
        make: where there is none; else that is a `FileNotFoundError`.
        shared: other users may lock it too, so it need not be ours alone.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made, or is not ours alone.
    """
    # Imported here: Windows has no fcntl, and no `up` either, but it reads records.
    import fcntl  # noqa: PLC0415

    deadline = time.monotonic() + timeout_seconds
    with contextlib.ExitStack() as stack:
        flags = os.O_RDWR | (os.O_CREAT if make else 0)
        if shared:
            descriptor = os.open(file, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, mode)
        else:
            descriptor = private.open_file(file, flags, mode=mode)
        opened = stack.enter_context(os.fdopen(descriptor, "r+b", buffering=0))
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not keep_waiting() or time.monotonic() > deadline:
                    raise
            else:
                stack.pop_all()
                return opened
            time.sleep(_POLL_SECONDS)

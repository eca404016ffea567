"""Locks in the shape of files, which the kernel takes from a process that dies."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Final

_POLL_SECONDS: Final = 0.02


def open_locked(
    file: Path,
    *,
    timeout_seconds: float = 0.0,
    keep_waiting: Callable[[], bool] = lambda: True,
    mode: int = 0o600,
) -> BinaryIO:
    """Open a lock file, made where there is none, as its only holder until it is closed.

    A process that inherits the descriptor holds the lock too.

    Args:
        file: the lock.
        timeout_seconds: how long to wait for another holder.
        keep_waiting: asked each time that another holder is met.
        mode: of the file, where it is made.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the file cannot be made.
    """
    # Imported here: Windows has no fcntl, and no `up` either, but it reads records.
    import fcntl  # noqa: PLC0415

    deadline = time.monotonic() + timeout_seconds
    with contextlib.ExitStack() as stack:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
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

"""Locks in the shape of files, which the kernel takes from a process that dies."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from launcher.system import private
from launcher.system.proc_stat import all_pids

_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class LockHolder:
    """Who holds a lock.

    Attributes:
        pid: None where no process that can be seen from here holds it.
        is_here: it has its pid and its start time in our namespaces, so both mean here what they
            mean there.
    """

    pid: int | None
    is_here: bool

    @property
    def where(self) -> str:
        """Where one that is not here runs, as a clause."""
        seen = "" if self.pid is None else f", here process {self.pid}"
        return (
            "in another container (pid or time namespace), or on another machine that shares the "
            f"state folder{seen}"
        )


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


def find_holder(file: Path) -> LockHolder | None:
    """Who holds a lock of ours; None where nobody does.

    A lock whose file somebody has removed is still held, and its holder found. Waits for nobody.
    """
    is_there = os.path.lexists(file)
    if is_there and not is_locked(file):
        return None
    # Ourselves first: whoever looks often has the lock.
    for pid in (os.getpid(), *all_pids()):
        if any(_is_lock(pid, number) for number in _descriptors_of(pid, file)):
            return LockHolder(pid, is_here=_shares_namespaces(pid))
    # It may have been let go meanwhile.
    return LockHolder(None, is_here=False) if is_there and is_locked(file) else None


def own_descriptor(file: Path) -> int | None:
    """The descriptor by which this process holds the lock that has this name now."""
    with contextlib.suppress(OSError):
        there = file.lstat()
        for number in _descriptors_of(os.getpid(), file):
            if os.path.samestat(os.fstat(number), there) and _is_lock(os.getpid(), number):
                return number
    return None


def _names_of(file: Path) -> set[str]:
    """What /proc calls it, whether or not somebody has removed it."""
    # pathlib ends with an error of its own where links lead in a circle.
    name = os.path.realpath(file)
    return {name, f"{name} (deleted)"}


def _descriptors_of(pid: int, file: Path) -> Iterator[int]:
    """The descriptors by which a process has a file open, by its name or, elsewhere, its inode."""
    folder = f"/proc/{pid}/fd"
    names = _names_of(file)
    with contextlib.suppress(OSError):
        there = file.lstat() if os.path.lexists(file) else None
        for number in os.listdir(folder):  # noqa: PTH208  # names alone, of every process
            with contextlib.suppress(OSError):
                target = os.readlink(f"{folder}/{number}")  # noqa: PTH115  # as above
                # In another container the folder may have another path. The name first: asking a
                # file for its inode may wait for a network disk.
                is_it = target in names or (
                    there is not None
                    and target.rpartition("/")[2] == file.name
                    and os.path.samestat(os.stat(f"{folder}/{number}"), there)  # noqa: PTH116
                )
                if is_it:
                    yield int(number)


def _is_lock(pid: int, descriptor: int) -> bool:
    """Whether a lock is held by this descriptor (proc(5), fdinfo), and its file not merely open."""
    try:
        return b"FLOCK" in Path(f"/proc/{pid}/fdinfo/{descriptor}").read_bytes()
    except OSError:
        return False


def _shares_namespaces(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return all(
            os.path.samestat(Path(f"/proc/{pid}/ns/{kind}").stat(), Path(own).stat())
            for kind in ("pid", "time")
            if os.path.exists(own := f"/proc/self/ns/{kind}")  # noqa: PTH110  # of older kernels
        )
    return True


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
    names = _names_of(file)
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

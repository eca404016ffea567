"""What is ours alone on disk: how it is made, checked, opened, and set aside.

Whatever lies in a folder of ours may have been put there by somebody else: a link, a pipe, a
device, a file of another user, or one that others can write. None of that is read, written or
waited for. A place is ours alone when nobody but us and root can change what its path leads to.
Windows has no owners of this kind, and only reads records: there the type alone is checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO, Final

FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS: Final = 8
_HAS_OWNERS: Final = hasattr(os, "geteuid")
# Never follow a link, wait for the other end of a pipe, or take a terminal for one's own.
_CAREFULLY: Final = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOCTTY", 0)
)
_KINDS: Final = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFDIR: "a folder",
    stat.S_IFREG: "a file",
}


class NotOursError(OSError):
    """What is there is not ours alone, or not what has its place there.

    An `OSError`, since whoever cannot use a file goes on as if the system had refused it.
    """

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def make_folder(path: Path) -> None:
    """Make a folder, 0700 whatever the umask, and the parents that are missing likewise.

    Raises:
        NotOursError: it is there and not ours alone, or one of its parents is not.
        OSError: the system refuses.
    """
    path = path.absolute()
    missing = []
    there = path
    while not os.path.lexists(there):
        missing.append(there)
        there = there.parent
    if missing:
        _check_parent(there)
    for each in reversed(missing):
        # Another process may be making the same one.
        with contextlib.suppress(FileExistsError):
            each.mkdir(FOLDER_MODE)
            each.chmod(FOLDER_MODE)
    check_folder(path)


def check_folder(path: Path) -> None:
    """Hold a folder and the way to it against what is ours alone.

    The folder has to be ours and not writable by others, and no link. Each folder above has to
    belong to us or to root, and others may write to it only where they cannot rename what is
    another's (the sticky bit), or where they are the user's own group, of which nobody else is.

    Raises:
        FileNotFoundError: there is none.
        NotOursError: somebody else could have put something into it, or something in its place.
        OSError: the system does not let us look.
    """
    path = path.absolute()
    _check_parent(path.parent)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotOursError(path, f"it is {_kind(found)} in a folder's place")
    _check_owner(path, found)


def open_file(path: Path, flags: int, *, mode: int = FILE_MODE) -> int:
    """Open a regular file that is ours alone; returns its descriptor, which no child inherits.

    Args:
        path: in a folder that was checked.
        flags: as for open(2). O_TRUNC takes effect only once the file is known to be ours.
        mode: of a file that is made here, whatever the umask.

    Raises:
        FileNotFoundError: there is none, and none is to be made.
        NotOursError: it is no regular file, another's, or one that others can write.
        OSError: the system refuses.
    """
    truncate, flags = flags & os.O_TRUNC, flags & ~os.O_TRUNC | _CAREFULLY
    if flags & os.O_CREAT and not os.path.lexists(path):
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(path, flags | os.O_EXCL, mode)
            if _HAS_OWNERS:
                os.fchmod(descriptor, mode)
            return descriptor
    # Before it is opened, too: to open a device may itself do something.
    _check_file(path, path.lstat())
    descriptor = os.open(path, flags & ~os.O_CREAT, mode)
    try:
        _check_file(path, os.fstat(descriptor))
        if truncate:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def open_to_read(path: Path) -> BinaryIO:
    """Open a file of ours to read it; raises what `open_file` does."""
    return os.fdopen(open_file(path, os.O_RDONLY), "rb")


def read_bytes(path: Path, *, largest_bytes: int) -> bytes:
    """All of a file of ours.

    Raises:
        NotOursError: it is none of ours, or larger than any of ours.
        OSError: what `open_file` raises.
    """
    with open_to_read(path) as file:
        content = file.read(largest_bytes + 1)
    if len(content) > largest_bytes:
        raise NotOursError(path, f"it is longer than {largest_bytes} bytes, which none of ours is")
    return content


def is_usable(path: Path, *, whatever_mode: bool = False) -> bool:
    """Whether a file of ours may be opened here: it is one, or there is none yet.

    Args:
        path: the file.
        whatever_mode: also one that we have forbidden ourselves to read or write.
    """
    try:
        found = path.lstat()
        _check_file(path, found)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return whatever_mode or stat.S_IMODE(found.st_mode) & FILE_MODE == FILE_MODE


def set_aside(path: Path) -> Path:
    """Rename what is in a file's place, so that a file can be made there; returns its new name.

    Raises:
        OSError: the system refuses.
    """
    other = path.with_name(f"{path.name}.broken-{time.time_ns()}")
    path.rename(other)
    return other


def _check_parent(path: Path, links: int = _MOST_LINKS) -> None:
    """Check a folder above one of ours, and all above it."""
    for each in reversed((path, *path.parents)):
        found = each.lstat()
        if stat.S_ISLNK(found.st_mode):
            if _HAS_OWNERS and found.st_uid not in {0, os.geteuid()}:
                raise NotOursError(each, f"it is a symbolic link of user {found.st_uid}")
            if not links:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(each))
            _check_parent(each.parent / each.readlink(), links - 1)
            found = each.stat()
        if not stat.S_ISDIR(found.st_mode):
            raise NotOursError(each, f"it is {_kind(found)} in a folder's place")
        _check_owner(each, found, is_parent=True)


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise NotOursError(path, f"it is {_kind(found)} in a file's place")
    _check_owner(path, found)


def _check_owner(path: Path, found: os.stat_result, *, is_parent: bool = False) -> None:
    if not _HAS_OWNERS:
        return
    own = {os.geteuid(), 0} if is_parent else {os.geteuid()}
    if found.st_uid not in own:
        raise NotOursError(
            path, f"it belongs to user {found.st_uid}, and we are user {os.geteuid()}"
        )
    mode = stat.S_IMODE(found.st_mode)
    writers = mode & _OTHERS_WRITE
    if is_parent and mode & stat.S_ISVTX:
        return
    if is_parent and writers == stat.S_IWGRP and _is_own_group(found.st_gid):
        return
    if writers:
        raise NotOursError(path, f"others can write to it (mode {mode:04o})")


def _is_own_group(group: int) -> bool:
    """Whether a group is the user's private one, as many systems make one for each user."""
    # Imported here: Windows has neither, and few folders need it.
    import grp  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    return (
        user.pw_gid == group and found.gr_name == user.pw_name and not {*found.gr_mem} - {user[0]}
    )


def _kind(found: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(found.st_mode), "something else")

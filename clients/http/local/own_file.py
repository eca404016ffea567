"""Files that nobody but this user, or root, can have written: the run record and the keys.

The same care as the launcher's `launcher.system.private`, which is not imported: a client sends a
key of one file to the address of another, so both have to be this user's own. Windows has no
owners of this kind; there the type and the size alone are checked.
"""

import errno
import os
import stat
from pathlib import Path

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_MOST_LINKS = 8
_HAS_OWNERS = hasattr(os, "geteuid")
_NEVER_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


class NotOwnFileError(OSError):
    """It is not this user's alone, no regular file, or too long."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EPERM, why, str(path))


def read_state_file(path: Path, *, largest_bytes: int) -> bytes:
    """Read a file of the launcher's state, to which only this user can have led the way.

    Raises:
        OSError: there is none, the system refuses, or it is a `NotOwnFileError`.
    """
    folder = path.absolute().parent
    _check_way(folder.parent, _MOST_LINKS)
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise NotOwnFileError(folder, "it is no folder")
    _check_owner(folder, folder.lstat())
    return _read(path, os.O_RDONLY | _NO_LINK, largest_bytes)


def read_key_file(path: Path, *, largest_bytes: int) -> bytes:
    """Read a file that the user has named; it may be a link, and root's, as mounted secrets are.

    Raises:
        OSError: there is none, the system refuses, or it is a `NotOwnFileError`.
    """
    return _read(path, os.O_RDONLY, largest_bytes, may_be_roots=True)


def _read(path: Path, flags: int, largest_bytes: int, *, may_be_roots: bool = False) -> bytes:
    # Before it is opened, too: to open a device may itself do something.
    before = path.lstat() if flags & _NO_LINK else path.stat()
    if not stat.S_ISREG(before.st_mode):
        raise NotOwnFileError(path, "it is no regular file")
    with os.fdopen(os.open(path, flags | _NEVER_WAIT), "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise NotOwnFileError(path, "it is no regular file")
        _check_owner(path, found, may_be_roots=may_be_roots)
        content = file.read(largest_bytes + 1)
    if len(content) > largest_bytes:
        raise NotOwnFileError(path, f"it is longer than {largest_bytes} bytes")
    return content


def _check_way(folder: Path, links: int) -> None:
    for each in reversed((folder, *folder.parents)):
        found = each.lstat()
        if stat.S_ISLNK(found.st_mode):
            if _HAS_OWNERS and found.st_uid not in {0, os.geteuid()}:
                raise NotOwnFileError(each, f"it is a link of user {found.st_uid}")
            if not links:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(each))
            _check_way(each.parent / each.readlink(), links - 1)
            found = each.stat()
        # In a folder with the sticky bit nobody renames what is another's.
        if not found.st_mode & stat.S_ISVTX:
            _check_owner(each, found, may_be_roots=True, may_be_groups=True)


def _check_owner(
    path: Path,
    found: os.stat_result,
    *,
    may_be_roots: bool = False,
    may_be_groups: bool = False,
) -> None:
    if not _HAS_OWNERS:
        return
    if found.st_uid != os.geteuid() and not (may_be_roots and found.st_uid == 0):
        raise NotOwnFileError(path, f"it belongs to user {found.st_uid}")
    writers = found.st_mode & _OTHERS_WRITE
    if may_be_groups and writers == stat.S_IWGRP and _is_own_group(found.st_gid):
        return
    if writers:
        raise NotOwnFileError(path, "others can write to it")


def _is_own_group(group: int) -> bool:
    """Whether a group is the user's private one, as many systems make one for each user."""
    # Imported here: Windows has neither, and few folders need it.
    import grp  # noqa: PLC0415
    import pwd  # noqa: PLC0415

    try:
        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except KeyError:
        return False
    others = {*found.gr_mem} - {user.pw_name}
    return user.pw_gid == group and found.gr_name == user.pw_name and not others

"""What somebody else wrote: files and JSON, read within bounds. One place for all of them.

A FIFO would be waited for, a device read without end, and a bracket opened a thousand times ends
Python's own readers with an error that nobody expects.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, Final, NoReturn

from launcher.text import human_bytes

DEEPEST_JSON_LEVELS: Final = 64


def read_foreign(path: Path, *, most_bytes: int) -> bytes:
    """All of a regular file; a link is followed.

    Args:
        path: the file.
        most_bytes: a larger one is not read.

    Raises:
        OSError: it cannot be opened or read, is no regular file, or too large; `strerror` says
            which, with the size and the bound.
    """
    # Without O_NONBLOCK to open a FIFO waits for whoever writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            _refuse(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(status.st_mode):
            _refuse(errno.EINVAL, "it is a pipe, a socket or a device, not a file", path)
        if status.st_size > most_bytes:
            _refuse(errno.EFBIG, _too_large(human_bytes(status.st_size), most_bytes), path)
        # What grows meanwhile, and /proc, which calls each of its files empty.
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:
        _refuse(errno.EFBIG, _too_large("more", most_bytes), path)
    return content


def parse_json(
    text: str | bytes, *, deepest_levels: int = DEEPEST_JSON_LEVELS, finite: bool = False
) -> Any:
    """What a JSON text says.

    Args:
        text: as it came; bytes are UTF-8.
        deepest_levels: lists and objects within each other.
        finite: refuse NaN and Infinity, which are no JSON, though Python reads them.

    Raises:
        ValueError: it is not JSON, nested deeper, has a number of thousands of digits, or bytes
            that are no UTF-8.
    """
    try:
        content = json.loads(
            text.decode("utf-8") if isinstance(text, bytes) else text,
            parse_constant=_refuse_constant if finite else None,
        )
    except RecursionError:
        raise ValueError(_too_deep(deepest_levels)) from None
    level = [content]
    for _ in range(deepest_levels + 1):
        level = [inner for outer in level for inner in _inside(outer) if isinstance(inner, _NESTS)]
        if not level:
            return content
    raise ValueError(_too_deep(deepest_levels))


_NESTS: Final = (dict, list)


def _inside(value: Any) -> Any:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON")


def _too_deep(levels: int) -> str:
    return f"it is nested deeper than {levels} levels"


def _too_large(size: str, most_bytes: int) -> str:
    return f"it has {size}, and {human_bytes(most_bytes)} are read at most"


def _refuse(number: int, why: str, path: Path) -> NoReturn:
    raise OSError(number, why, str(path))

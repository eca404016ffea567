"""What is remembered from run to run, by kind of server: one JSON file for each matter.

A file only serves to say what was usual. Where it cannot be read or written, nothing is known or
kept, and nobody is told.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from launcher.errors import StateError
from launcher.system import private
from launcher.system.files import file_size_bytes, make_private_folder, write_atomically
from launcher.system.locks import open_locked

# Of kinds of servers; the oldest goes.
MOST_KEYS: Final = 200
# What is larger is not ours.
LARGEST_FILE_BYTES: Final = 4 * 1024**2
LOCK_TIMEOUT_SECONDS: Final = 1.0

Content = TypeVar("Content", bound=BaseModel)
Kept = TypeVar("Kept")


class KeptFile(Generic[Content]):
    """A file of this user's, 0600. No method raises for what the file is.

    Args:
        file: where it is.
        kind: what is in it; it has a field `schema_version`, and is empty without arguments.
    """

    def __init__(self, file: Path, kind: type[Content]) -> None:
        self._file = file
        self._kind = kind

    def read(self) -> Content | None:
        """The content, empty where it is missing or broken; None where it is not ours to replace.

        That of another version of this project stays as it is: two versions side by side must
        not throw away each other's.
        """
        try:
            if file_size_bytes(self._file) > LARGEST_FILE_BYTES:
                return self._kind()
            text = private.read_bytes(self._file, largest_bytes=LARGEST_FILE_BYTES)
        except FileNotFoundError:
            return self._kind()
        except OSError:
            return None
        try:
            return self._kind.model_validate_json(text)
        except ValidationError as error:
            another_version = any(part["loc"] == ("schema_version",) for part in error.errors())
            return None if another_version else self._kind()

    def change(self, change: Callable[[Content], None]) -> bool:
        """Change the content; says whether that was kept."""
        try:
            make_private_folder(self._file.parent)
            # Read under the lock, so that of two servers that write at once neither is lost.
            lock_file = self._file.with_suffix(".lock")
            with open_locked(lock_file, timeout_seconds=LOCK_TIMEOUT_SECONDS):
                content = self.read()
                if content is None:
                    return False
                change(content)
                write_atomically(self._file, content.model_dump_json() + "\n")
        except (OSError, StateError):
            return False
        return True


def put_last(kept: dict[str, Kept], key: str, value: Kept) -> None:
    """Put a value behind all others; the oldest ones go where there are too many."""
    kept.pop(key, None)
    kept[key] = value
    for oldest in list(kept)[:-MOST_KEYS]:
        del kept[oldest]

"""Reads a file of prompts into JSON values, each with its place for messages. The only I/O here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic_core import from_json

from benchmarks.errors import WorkloadError

PLACE: Final = re.compile(r" at line (\d+) column (\d+)$")
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One value of a file.

    Attributes:
        unit: a line of a JSONL file, or an element of a JSON array.
        number: of it, from 1.
        value: as parsed.
    """

    unit: Literal["line", "entry"]
    number: int
    value: Any


def read_entries(path: Path) -> tuple[FileEntry, ...]:
    """Read all values of a JSONL file, or of a JSON file that is one array.

    Returns:
        At least one. Blank lines and a byte order mark are passed over.

    Raises:
        WorkloadError: the file cannot be read, is empty or is not UTF-8, or a line is not JSON.
    """
    data = _read(path)
    if not data.strip():
        raise WorkloadError(f"{path.name} is empty.", action="Give it at least one prompt.")
    if (array := _array(data, path.name)) is not None:
        if not array:
            raise WorkloadError(
                f"{path.name} is an empty array.", action="Give it at least one prompt."
            )
        return tuple(FileEntry("entry", number, value) for number, value in enumerate(array, 1))
    return tuple(
        FileEntry("line", number, _parse(line, path.name, number))
        # Not `splitlines`: JSON may hold U+2028 and the like inside of a text.
        for number, line in enumerate(data.split(b"\n"), 1)
        if line.strip()
    )


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise WorkloadError(
                f"{path} is a folder, not a file of prompts.", action="Name a file in it."
            )
        if path.exists() and not path.is_file():
            # It is read again when a run is resumed, so a pipe will not do.
            raise WorkloadError(
                f"{path} is not a regular file.", action="Write the prompts to a file first."
            )
        data = path.read_bytes().removeprefix(BYTE_ORDER_MARK)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise WorkloadError(
            f"{short(str(path), 200)} cannot be read: {why}.",
            action="Check the path and its permissions.",
        ) from None
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line, column = _place(data, error.start)
        raise WorkloadError(
            f"{path.name}, line {line}, column {column}: the byte 0x{data[error.start]:02x} "
            "is not UTF-8.",
            action="Save the file as UTF-8.",
        ) from None
    return data


def _array(data: bytes, name: str) -> list[Any] | None:
    """The elements of a file that is one JSON array of entries; None for JSONL."""
    if not data.lstrip().startswith(b"["):
        return None
    first = data.lstrip().split(b"\n", 1)[0]
    try:
        value = from_json(first, allow_inf_nan=False)
    except ValueError:
        # It begins on this line and ends on a later one.
        value = _parse(data, name, 1)
    else:
        # A whole array on one line: the whole file, or the messages of a JSONL file's first line.
        if data.strip() != first.strip() or _is_messages(value):
            return None
    return value if isinstance(value, list) and not _is_messages(value) else [value]


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and any(
        isinstance(one, dict) and "role" in one for one in value[:1]
    )


def _parse(text: bytes, name: str, first_line: int) -> Any:
    """Parse one JSON value that begins on the given line of a file.

    Raises:
        WorkloadError: with line, column and what is wrong, without the text itself.
    """
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        what = str(error)
        line, column = first_line, None
        if place := PLACE.search(what):
            what = what[: place.start()]
            line += int(place[1]) - 1
            before = text.split(b"\n")[int(place[1]) - 1][: max(int(place[2]) - 1, 0)]
            # The parser counts bytes, an editor counts characters.
            column = len(before.decode(errors="ignore")) + 1
        at = "" if column is None else f", column {column}"
        raise WorkloadError(
            f"{name}, line {line}{at}: this is not JSON: {what}.",
            action="Correct the line. A JSONL file has one whole JSON value on each line.",
        ) from None


def _place(data: bytes, offset: int) -> tuple[int, int]:
    """Line and column of a byte, both from 1."""
    begin = data.rfind(b"\n", 0, offset) + 1
    return data.count(b"\n", 0, offset) + 1, len(data[begin:offset].decode(errors="ignore")) + 1


def short(text: str, longest: int = 80) -> str:
    """A text for a message, cut to so many characters."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"

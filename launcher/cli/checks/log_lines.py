"""The lines of a log of anybody, read in pieces: no log costs more memory or time than a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import IO, Final

# What is kept is the end of a log: a start and its failure are far shorter.
LARGEST_LOG_BYTES: Final = 32 * 2**20
# A line costs so much by itself, so that a log of empty lines is bounded, too.
_LINE_BYTES: Final = 64
# Of the line with SGLang's arguments, and of any other.
LONGEST_ARGUMENTS_BYTES: Final = 64 * 1024
LONGEST_LINE_BYTES: Final = 8 * 1024
_ARGUMENTS: Final = b"server_args="
_BLOCK_BYTES: Final = 2**20


def last_lines(log: IO[bytes]) -> list[str]:
    """The last lines of a log, oldest first, as far as `LARGEST_LOG_BYTES` reach.

    Each is cut at `LONGEST_LINE_BYTES`, the one with SGLang's arguments at
    `LONGEST_ARGUMENTS_BYTES`. Bytes that are no UTF-8 become U+FFFD.

    Raises:
        OSError: it cannot be read.
    """
    kept: deque[bytes] = deque()
    held_bytes = 0
    for line in _cut_lines(log):
        kept.append(line)
        held_bytes += len(line) + _LINE_BYTES
        while held_bytes > LARGEST_LOG_BYTES:
            held_bytes -= len(kept.popleft()) + _LINE_BYTES
    lines = []
    while kept:
        # Each goes as its text comes, so that a log is never here twice.
        lines.append(kept.popleft().decode("utf-8", errors="replace"))
    return lines


def _cut_lines(log: IO[bytes]) -> Iterator[bytes]:
    """Each line without its end, cut; a line that has no end is never held whole."""
    begun = b""
    while block := log.read(_BLOCK_BYTES):
        pieces = block.splitlines(keepends=True)
        for piece in pieces:
            # The rest of a long line is dropped.
            begun += piece[: LONGEST_ARGUMENTS_BYTES + 1 - len(begun)] if begun else piece
            if piece.endswith((b"\n", b"\r")):
                # Of a piece that ends in \r, a \n may follow in the next block: an empty line.
                yield _cut(begun)
                begun = b""
        begun = begun[: LONGEST_ARGUMENTS_BYTES + 1]
    if begun:
        yield _cut(begun)


def _cut(line: bytes) -> bytes:
    line = line.rstrip(b"\r\n")[:LONGEST_ARGUMENTS_BYTES]
    return line if _ARGUMENTS in line else line[:LONGEST_LINE_BYTES]

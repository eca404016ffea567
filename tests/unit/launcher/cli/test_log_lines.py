"""A log is read in pieces, and none is held whole."""

from __future__ import annotations

import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.cli.checks import log_lines
from launcher.cli.checks.log_lines import (
    LONGEST_ARGUMENTS_BYTES,
    LONGEST_LINE_BYTES,
    last_lines,
)

MIB = 2**20


class Endless(io.RawIOBase):
    """A log of one text over and over, which is nowhere whole."""

    def __init__(self, text: bytes, blocks: int) -> None:
        self._text = text
        self._blocks = blocks

    def read(self, size: int = -1) -> bytes:
        """A block of it."""
        self._blocks -= 1
        return (self._text * (size // len(self._text) + 1))[:size] if self._blocks >= 0 else b""


@pytest.mark.parametrize(
    "text",
    [
        b"\0",
        b"\n",
        b"a\n",
        b"a",
        b" ",
        b"\r",
        b"\xff\x85",
        "\U0001f600\n".encode(),
        b"x" * 9_000 + b"\n",
    ],
)
def test_no_log_whatever_takes_more_memory_than_a_bound(
    text: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "LARGEST_LOG_BYTES", MIB // 8)
    monkeypatch.setattr(log_lines, "_BLOCK_BYTES", MIB // 64)
    tracemalloc.start()
    lines = last_lines(Endless(text, 32))  # type: ignore[arg-type]
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    # The widest characters that Python has take four bytes each.
    assert peak_bytes < MIB
    assert sum(len(line.encode()) for line in lines) <= 3 * MIB // 8


def test_a_long_line_is_cut_and_the_arguments_less() -> None:
    text = b"x" * 3_000_000 + b"\nserver_args=" + b"y" * 3_000_000 + b"\nRuntimeError: z\n"

    long, arguments, last = last_lines(io.BytesIO(text))

    assert len(long) == LONGEST_LINE_BYTES
    assert len(arguments) == LONGEST_ARGUMENTS_BYTES
    assert last == "RuntimeError: z"


@given(st.binary(max_size=200), st.integers(1, 50))
def test_the_size_of_a_block_changes_no_line(content: bytes, block_bytes: int) -> None:
    before = log_lines._BLOCK_BYTES
    log_lines._BLOCK_BYTES = block_bytes  # type: ignore[misc]
    try:
        lines = last_lines(io.BytesIO(content))
    finally:
        log_lines._BLOCK_BYTES = before  # type: ignore[misc]

    expected = [line.decode("utf-8", errors="replace") for line in content.splitlines()]
    # Between the two ends of a line of Windows a block may end: one empty line more.
    assert [line for line in lines if line] == [line for line in expected if line]

"""What an engine printed, taken apart: its exceptions with their tracebacks. Pure.

The engines are Python programs, so this much is the same for all. It holds for lines of several
ranks mixed with each other, and for output that begins in the middle of a traceback.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

TRACEBACK: Final = "Traceback (most recent call last)"
# Begins each further line of an exception's text, which may be a client's, in the logs of servers
# that the launcher has started; see `launcher.engines.sglang.plugins.guard.lines`.
CONTINUES: Final = "| "
_FRAME: Final = re.compile(
    r'^\s*File "(?P<path>[^"]{0,500})", line (?P<line>\d{1,9}), in (?P<function>\S{1,200})'
)
# torch puts "[rank1]: " before each line of a traceback that it prints, Ray "(Worker pid=9) ".
_RANK: Final = re.compile(r"^(?:\[rank\d+\]:|\([\w:.-]{1,80}(?: rank=\d+)? pid=\d+[^)]{0,60}\)) ?")
# vLLM logs a traceback line by line: "ERROR 11-30 09:13:26 [core.py:133] ".
_RECORD: Final = re.compile(
    r"^(?:ERROR|CRITICAL) \d\d-\d\d \d\d:\d\d(?::\d\d)? \[?[\w./]{1,80}\.py:\d{1,6}\] ?"
)
# "ValueError: text", "torch.AcceleratorError: text", "AssertionError", "triton.Foo:" at the line's
# beginning. Without a traceback only what calls itself an error is one.
_RAISED: Final = re.compile(
    r"^(?P<kind>(?:[A-Za-z_]\w{0,80}\.){0,8}[A-Z]\w{0,80})(?:: ?(?P<text>.*))?$", re.DOTALL
)
_ERROR_NAME: Final = re.compile(r"(?:Error|Exception|NotFound|Exit|Interrupt|Timeout|Failed)$")
_CARETS: Final = re.compile(r"^[\s~^]+$")
# What begins a line of a log rather than goes on with a message.
_NEW_RECORD: Final = re.compile(
    r"^(?:\[\d{4}-\d\d-\d\d|\[rank\d+\]:|\d{4}-\d\d-\d\d[ T]|[IWEF]\d{4} |"
    r"(?:INFO|WARNING|ERROR|DEBUG|CRITICAL)\b|During handling of the above|The above exception was"
    r"|Traceback \()"
)
LONGEST_MESSAGE_LINES: Final = 40
# A traceback longer than this has lost its exception: what follows belongs to something else.
_LONGEST_TRACEBACK_LINES: Final = 300


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a traceback; `code` is empty where the source was not printed."""

    path: str
    function: str
    code: str = ""

    @property
    def file(self) -> str:
        """The name of the file, without its folders."""
        return re.split(r"[/\\]", self.path)[-1]


@dataclass(frozen=True, slots=True)
class PythonError:
    """An exception as it was printed.

    Attributes:
        head: number of its first line, the one that announces the traceback where there is one.
        index: number of the line that names the exception.
        end: number of the line after its message.
        kind: the class, with its module where that was printed.
        text: the message, its lines joined by line breaks; may be empty.
        frames: outermost first; none where no traceback was printed.
        announced: what stands before the word "Traceback" in its line.
    """

    head: int
    index: int
    end: int
    kind: str
    text: str
    frames: tuple[Frame, ...]
    announced: str

    @property
    def short_kind(self) -> str:
        """The class without its module."""
        return self.kind.rpartition(".")[2]

    @property
    def headline(self) -> str:
        """Class and message as one line."""
        text = " ".join(self.text.split())
        code = self.frames[-1].code if self.frames else ""
        if not text and code.startswith(("assert ", "raise ")):
            return f"{self.short_kind}: {code}"
        return f"{self.short_kind}: {text}" if text else self.short_kind


@dataclass(slots=True)
class _Open:
    """A traceback whose exception has not come yet."""

    head: int
    announced: str
    frames: list[Frame] = field(default_factory=list)


def plain(line: str) -> str:
    """A line without what torch, Ray and vLLM put before each line of a traceback."""
    return _RECORD.sub("", _RANK.sub("", line, count=1), count=1)


def goes_on(line: str) -> bool:
    """Whether a line is more of an exception's text, whatever it says."""
    return plain(line).startswith(CONTINUES)


@lru_cache(maxsize=8)
def python_errors(lines: tuple[str, ...]) -> tuple[PythonError, ...]:
    """Every exception that these lines tell, in the order of the lines that name them."""
    return tuple(_Reader(lines).errors())


class _Reader:
    """Reads once through the lines."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = [plain(line[:4_000]) for line in lines]
        self._open: list[_Open] = []

    def errors(self) -> Iterator[PythonError]:
        """See `python_errors`."""
        after = 0  # the line up to which the last exception's message goes
        for number, line in enumerate(self._lines):
            if line.startswith(CONTINUES):
                continue
            if _announces(line):
                self._open.append(_Open(number, line.partition(TRACEBACK)[0].strip()))
                continue
            if self._take_frame(number, line) or number < after:
                continue
            # "INFO: text" has the form of an exception and is none.
            found = None if _NEW_RECORD.match(line) else _RAISED.match(line)
            if found is None or not (self._is_awaited(number) or _says_error(found)):
                continue
            after = self._message_end(number)
            yield self._close(number, after, found)

    def _is_awaited(self, number: int) -> bool:
        """Whether a traceback is open whose frames have come."""
        self._open = [one for one in self._open if number - one.head < _LONGEST_TRACEBACK_LINES]
        return any(one.frames for one in self._open)

    def _take_frame(self, number: int, line: str) -> bool:
        """Whether the line is part of a traceback; of several that are open, of each."""
        frame = _FRAME.match(line)
        if frame is not None:
            if not self._open:
                self._open.append(_Open(number, ""))
            for one in self._open:
                one.frames.append(Frame(frame["path"], frame["function"]))
            return True
        if not self._open or not line.startswith("    "):
            return False
        code = line.strip()
        for one in self._open:
            if one.frames and not one.frames[-1].code and not _CARETS.match(line):
                last = one.frames[-1]
                one.frames[-1] = Frame(last.path, last.function, code[:400])
        return True

    def _message_end(self, number: int) -> int:
        limit = min(len(self._lines), number + LONGEST_MESSAGE_LINES)
        several = len(self._open) > 1
        for end in range(number + 1, limit):
            line = self._lines[end]
            if line.startswith(CONTINUES):
                continue
            if _NEW_RECORD.match(line) or _announces(line) or _FRAME.match(line):
                return end
            # With the tracebacks of two ranks mixed, their exceptions follow each other.
            if several and (found := _RAISED.match(line)) and _says_error(found):
                return end
        return limit

    def _close(self, number: int, end: int, found: re.Match[str]) -> PythonError:
        # Of several ranks the first that began speaks first.
        one = self._open.pop(0) if self._open else _Open(number, "")
        more = (line.removeprefix(CONTINUES) for line in self._lines[number + 1 : end])
        text = [found["text"] or "", *more]
        return PythonError(
            head=one.head,
            index=number,
            end=end,
            kind=found["kind"],
            text="\n".join(text).strip(),
            frames=tuple(one.frames),
            announced=one.announced,
        )


def _announces(line: str) -> bool:
    """Whether a traceback begins below a line, and is not in it with its breaks written out."""
    _, word, rest = line.partition(TRACEBACK)
    return bool(word) and "\\n" not in rest


def _says_error(found: re.Match[str]) -> bool:
    return _ERROR_NAME.search(found["kind"]) is not None

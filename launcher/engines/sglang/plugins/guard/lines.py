r"""What a client wrote makes no line of its own in the server's log.

SGLang quotes requests in what it logs, line breaks and all: a schema's unknown type, a session's
name. Whoever reads the log afterwards, `launcher.diagnosis` first of all, could not tell such a
line from one of SGLang's. So a message is one line, with what would break it written out (`\n`),
and only tracebacks have more. In those the text of an exception may be a client's too: its further
lines begin with `launcher.engines.output.CONTINUES`, which no line of SGLang's does.

Text that C++ prints does not pass here: see `launcher.engines.sglang.plugins.guard.grammars`.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from launcher.engines.output import CONTINUES, TRACEBACK
from launcher.names import RUN_ID_VARIABLE

# All that some reader takes for the end of a line, or a terminal acts on. A tab does no harm.
BREAKS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]")
_LINE_BREAKS: Final = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
# SGLang formats a traceback first and logs it as a part of a message then, at once or a little
# later (managers/scheduler.py, entrypoints/http_server.py).
_recent: deque[str] = deque(maxlen=32)
_installed: list[bool] = []


class OneLineRecord(logging.LogRecord):
    """A record whose message is one line, but for a traceback that Python itself has printed."""

    def getMessage(self) -> str:  # noqa: N802 - logging's name
        """The message with its arguments, as any formatter asks for it."""
        return one_line(super().getMessage())


def one_line(message: str) -> str:
    """A message with its line breaks and controls written out, genuine tracebacks left alone."""
    if BREAKS.search(message) is None:
        return message
    if TRACEBACK in message:
        for genuine in reversed(_recent):
            if genuine in message:
                before, _, after = message.partition(genuine)
                # What follows begins a line of its own, which nobody but SGLang may.
                rest = visible(after.strip("\n"))
                return visible(before) + genuine + (f"\n{CONTINUES}{rest}" if rest else "")
    return visible(message)


def visible(text: str) -> str:
    r"""A text on one line: each line break and control as Python would write it, as `\n`."""
    return BREAKS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def continued(text: str) -> str:
    """A text of several lines, of which all but the first say that they go on with it."""
    return f"\n{CONTINUES}".join(visible(line) for line in _LINE_BREAKS.split(text))


def activate() -> None:
    """Take charge of what is logged, once in each process that the launcher has started."""
    if RUN_ID_VARIABLE not in os.environ or _installed:
        return
    # A forked process has it from the one that it came from.
    _installed.append(True)
    install()


def install() -> None:
    """Put it into `logging`, `traceback`, `warnings` and the hooks for what nobody catches."""
    logging.setLogRecordFactory(OneLineRecord)
    _mark_exceptions()
    _remember_tracebacks()
    sys.excepthook = _print_uncaught
    threading.excepthook = _print_uncaught_of_thread
    format_warning = warnings.formatwarning

    def format_one_line(message: Warning | str, *rest: Any, **more: Any) -> str:
        return format_warning(visible(str(message)), *rest, **more)

    warnings.formatwarning = format_one_line


def _mark_exceptions() -> None:
    """Have every traceback that Python prints mark the further lines of an exception's text."""
    make = traceback.TracebackException.__init__

    def make_marked(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        # As Python keeps them (Lib/traceback.py); a version that does not is none to fail for.
        if isinstance(text := getattr(self, "_str", None), str):
            self._str = continued(text)
        if isinstance(notes := getattr(self, "__notes__", None), list | tuple):
            self.__notes__ = [f"{CONTINUES}{continued(str(note))}" for note in notes]

    traceback.TracebackException.__init__ = make_marked  # type: ignore[method-assign]


def _remember_tracebacks() -> None:
    """Know a traceback again that was formatted to be logged."""
    format_exception = traceback.format_exception

    def format_and_remember(*args: Any, **kwargs: Any) -> list[str]:
        lines = format_exception(*args, **kwargs)
        if len(lines) > 1:
            _recent.append("".join(lines).rstrip("\n"))
        return lines

    traceback.format_exception = format_and_remember


def _print_uncaught(kind: type[BaseException], error: BaseException, frames: Any) -> None:
    # Python's own hook is written in C and prints the text as it is.
    _write(traceback.format_exception(kind, error, frames))


def _print_uncaught_of_thread(facts: threading.ExceptHookArgs) -> None:
    if facts.exc_value is None or issubclass(facts.exc_type, SystemExit):
        return
    name = facts.thread.name if facts.thread else "?"
    lines = traceback.format_exception(facts.exc_type, facts.exc_value, facts.exc_traceback)
    _write([f"Exception in thread {visible(name)}:\n", *lines])


def _write(lines: Iterable[str]) -> None:
    if sys.stderr is not None:
        sys.stderr.write("".join(lines))
        sys.stderr.flush()

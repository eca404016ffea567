"""Keys, one by one, without waiting for a line's end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

_NAMES: Final = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b": "escape",
    "\r": "enter",
    "\n": "enter",
}
_READ_BYTES: Final = 64


@contextlib.contextmanager
def keys() -> Iterator[int | None]:
    """The descriptor from which keys can be read as they are pressed, for as long as a block runs.

    Ctrl-C still interrupts; Ctrl-Z does not, since it would leave the terminal as it is here.

    Returns:
        None where there is no keyboard.
    """
    try:
        descriptor = sys.stdin.fileno()
        is_keyboard = os.isatty(descriptor)
    except (OSError, ValueError, AttributeError):
        is_keyboard = False
    if not is_keyboard:
        yield None
        return
    import termios  # noqa: PLC0415 - not on Windows, and for this alone

    before = termios.tcgetattr(descriptor)
    raw = termios.tcgetattr(descriptor)
    raw[3] &= ~(termios.ICANON | termios.ECHO)
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    raw[6][termios.VSUSP] = b"\0"
    try:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, raw)
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def read_keys(descriptor: int) -> list[str] | None:
    """The keys that were pressed: characters, and names of others.

    Returns:
        None where the terminal has gone.
    """
    try:
        content = os.read(descriptor, _READ_BYTES)
    except OSError:
        return None
    return name_keys(content.decode("utf-8", "replace")) if content else None


def name_keys(text: str) -> list[str]:
    """What a terminal sent, as keys. A sequence that is not known is no key."""
    found: list[str] = []
    while text:
        if text[0] != "\x1b" or len(text) == 1:
            found.append(_NAMES.get(text[0], text[0]))
            text = text[1:]
            continue
        # Escape, [ or O, digits and semicolons, and one letter or ~.
        end = 2
        if text[1] in "[O":
            while end < len(text) and not (text[end].isalpha() or text[end] == "~"):
                end += 1
            end += 1
        name = _NAMES.get(text[:end])
        if name is not None:
            found.append(name)
        text = text[end:]
    return found

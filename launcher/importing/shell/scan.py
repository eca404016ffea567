"""A script cut into commands and words, before anything in it is filled in.

Source of the rules: POSIX.1-2024, Shell Command Language, 2.2 Quoting and 2.3 Token Recognition.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_OPERATOR: Final = re.compile(r"&&|\|\||;;|[;&|()\n]")
_REDIRECTION: Final = re.compile(r"\d*(?:<<-?|>>|<&|>&|&>>?|>\||<>|<|>)")
_HERE_DOCUMENT: Final = re.compile(r"<<(-?)\s*(?:'([^'\n]+)'|\"([^\"\n]+)\"|([\w.-]+))")
_BLANK: Final = " \t\r"


@dataclass(frozen=True, slots=True)
class Statement:
    """One simple command.

    Attributes:
        words: as written, quotes and all.
        before: operators between it and the one before: `&&`, `(` and the like.
    """

    words: tuple[str, ...]
    before: tuple[str, ...] = ()


def statements(text: str) -> Iterator[Statement]:
    """Cut a script into its simple commands, without redirections, comments, here-documents.

    Raises:
        ValueError: a quotation or substitution has no end.
    """
    words: list[str] = []
    before: list[str] = []
    place = 0
    text = text.replace("\r\n", "\n")
    pending: list[re.Match[str]] = []
    while place < len(text):
        here = text[place]
        if here in _BLANK:
            place += 1
        elif text.startswith("\\\n", place):
            place += 2
        elif here == "#":
            place = _line_end(text, place)
        elif (document := _HERE_DOCUMENT.match(text, place)) is not None:
            pending.append(document)
            place = document.end()
        elif (redirection := _REDIRECTION.match(text, place)) is not None:
            place = _behind_target(text, redirection.end())
        elif (operator := _OPERATOR.match(text, place)) is not None:
            if words:
                yield Statement(tuple(words), tuple(before))
                words, before = [], []
            before.append(operator[0])
            place = operator.end()
            if operator[0] == "\n":
                place = _behind_documents(text, place, pending)
        else:
            end = word_end(text, place)
            word = text[place:end]
            if word.endswith("=") and text.startswith("(", end):
                end = _array_end(text, end)
                word = text[place:end]
            words.append(word)
            place = end
    if words or before:
        yield Statement(tuple(words), tuple(before))


def word_end(text: str, place: int) -> int:
    """Where the word that begins at a place ends.

    Raises:
        ValueError: a quotation or substitution has no end.
    """
    while place < len(text):
        here = text[place]
        if here in " \t\r\n;&|()<>":
            return place
        place = part_end(text, place)
    return place


def part_end(text: str, place: int) -> int:
    """Where the quotation, substitution, escape or character that begins at a place ends.

    Raises:
        ValueError: it has no end.
    """
    if text[place] == "\\":
        return min(place + 2, len(text))
    if text[place] in "'`":
        return _find(text, text[place], place + 1) + 1
    if text[place] == '"':
        return _quotation_end(text, place + 1)
    for pair in ("()", "{}"):
        if text.startswith(f"${pair[0]}", place):
            return _bracket_end(text, place + 1, pair)
    return place + 1


def _quotation_end(text: str, place: int) -> int:
    """Behind the double quote that ends what begins at a place."""
    while place < len(text) and text[place] != '"':
        place = part_end(text, place) if text[place] in "\\$`" else place + 1
    if place >= len(text):
        raise ValueError("a quotation has no end")
    return place + 1


def _bracket_end(text: str, place: int, pair: str) -> int:
    """Behind the bracket that closes the one at a place."""
    depth = 0
    while place < len(text):
        if text[place] == pair[0]:
            depth += 1
        elif text[place] == pair[1]:
            depth -= 1
            if depth == 0:
                return place + 1
        elif text[place] in "'\"\\":
            place = part_end(text, place)
            continue
        place += 1
    raise ValueError("a substitution has no end")


def _array_end(text: str, place: int) -> int:
    """Behind an array's last bracket; a comment in it may hold any quote."""
    while place < len(text):
        if text[place] == ")":
            return place + 1
        if text[place] == "#" and text[place - 1] in " \t\n(":
            place = _line_end(text, place)
        else:
            place = part_end(text, place)
    raise ValueError("an array has no end")


def _behind_target(text: str, place: int) -> int:
    """Behind the file or the number that a redirection names."""
    while place < len(text) and text[place] in _BLANK:
        place += 1
    return max(word_end(text, place), place)


def _behind_documents(text: str, place: int, pending: list[re.Match[str]]) -> int:
    """Behind the here-documents that begin in this line."""
    for document in pending:
        end = next(filter(None, document.groups()[1:]))
        closing = re.compile(rf"^\t*{re.escape(end)}$", re.MULTILINE)
        found = closing.search(text, place)
        place = len(text) if found is None else min(found.end() + 1, len(text))
    pending.clear()
    return place


def _find(text: str, wanted: str, place: int) -> int:
    found = text.find(wanted, place)
    if found < 0:
        raise ValueError("a quotation has no end")
    return found


def _line_end(text: str, place: int) -> int:
    found = text.find("\n", place)
    return len(text) if found < 0 else found

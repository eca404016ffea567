"""A script read from its first line to its last: which commands it runs, with which variables."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from launcher.importing.shell.expand import Value, assign, assignment, expand
from launcher.importing.shell.scan import statements

# What may stand before a command, and is none.
_KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "fi", "for", "do", "done", "while", "until", "case", "esac",
     "in", "{", "}", "!", "time", "function"}
)  # fmt: skip
_USE: Final = re.compile(r"\$\{?([A-Za-z_]\w*)")
_DECLARATIONS: Final = frozenset({"export", "declare", "local", "readonly", "typeset"})


@dataclass(frozen=True, slots=True)
class Run:
    """A command that a script runs.

    Attributes:
        argv: its words.
        environment: variables that it gets from the script.
        folder: where it runs; "" where the script does not say.
        used: names of variables that its words are filled in with.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    folder: str = ""
    used: frozenset[str] = frozenset()


def commands(text: str, variables: Mapping[str, str]) -> Iterator[Run]:
    """Read a script.

    All branches of an `if` are read, one behind the other.

    Args:
        text: of the script.
        variables: those that are set where it runs.

    Raises:
        ValueError: a quotation or substitution has no end.
    """
    known: dict[str, Value] = dict(variables)
    exported: dict[str, str] = {}
    folder = ""
    for statement in statements(text):
        words = list(statement.words)
        while words and words[0] in _KEYWORDS:
            words.pop(0)
        if words and words[0] in _DECLARATIONS:
            _declare(words[1:], known, exported, export=words[0] == "export")
            continue
        before: dict[str, Value] = {}
        own: dict[str, Value] = dict(known)
        while words and assignment(words[0]) is not None:
            name = assign(words.pop(0), own)
            before[name or ""] = own[name or ""]
        if not words:
            known |= before
            exported |= {name: _text(known[name]) for name in before if name in exported}
            continue
        argv = [one for word in words for one in expand(word, known)]
        if argv and argv[0] in {"cd", "pushd"} and len(argv) > 1:
            folder = posixpath.join(folder, argv[1])
        elif argv:
            texts = {name: _text(value) for name, value in before.items()}
            used = frozenset(_USE.findall(" ".join(words)))
            yield Run(tuple(argv), exported | texts, folder, used)


def _declare(
    words: list[str], known: dict[str, Value], exported: dict[str, str], *, export: bool
) -> None:
    for word in words:
        if word.startswith("-"):
            export = export or "x" in word
            continue
        name = assign(word, known) or word
        if export and name in known:
            exported[name] = _text(known[name])


def _text(value: Value) -> str:
    return value if isinstance(value, str) else " ".join(value[:1])

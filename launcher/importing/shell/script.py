"""A script read from its first line to its last: which commands it runs, with which variables."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from launcher.importing.definition import names_used, unknown
from launcher.importing.shell.expand import Value, assign, assignment, expand
from launcher.importing.shell.scan import statements

# What may stand before a command, and is none.
_KEYWORDS: Final = frozenset(
    {"if", "then", "else", "elif", "fi", "do", "done", "while", "until", "esac", "{", "}", "!",
     "time"}
)  # fmt: skip
_OPENING: Final = frozenset({"if", "while", "until"})
_CLOSING: Final = frozenset({"fi", "done", "esac"})
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

    All branches of an `if` are read, one behind the other. What is assigned on a condition is not
    known afterwards: which branch is taken only a run could tell.

    Args:
        text: of the script.
        variables: those that are set where it runs.

    Raises:
        ValueError: a quotation or substitution has no end.
        UnimportableError: a value grows beyond all bounds.
    """
    known: dict[str, Value] = dict(variables)
    exported: dict[str, str] = {}
    folders = [""]
    depth = 0
    for statement in statements(text):
        for operator in statement.before:
            if operator == "(":
                folders.append(folders[-1])
            elif operator == ")" and len(folders) > 1:
                folders.pop()
        words = list(statement.words)
        if words[:1] in (["for"], ["case"], ["select"], ["function"]):
            depth += words[0] in {"for", "case", "select"}
            continue
        while words and words[0] in _KEYWORDS:
            word = words.pop(0)
            depth += (word in _OPENING) - (word in _CLOSING)
        conditional = depth > 0 or statement.before[-1:] in (("&&",), ("||",))
        before_it = dict(known)
        if words and words[0] in _DECLARATIONS:
            _declare(words[1:], known, exported, export=words[0] == "export")
            _forget(known, before_it, conditional=conditional)
            continue
        before: dict[str, Value] = {}
        own: dict[str, Value] = dict(known)
        while words and assignment(words[0]) is not None:
            name = assign(words.pop(0), own)
            before[name or ""] = own[name or ""]
        if not words:
            known |= before
            _forget(known, before_it, conditional=conditional)
            exported |= {name: _text(known[name]) for name in before if name in exported}
            continue
        argv = [one for word in words for one in expand(word, known)]
        _forget(known, before_it, conditional=conditional)
        if argv and argv[0] in {"cd", "pushd"} and len(argv) > 1:
            folders[-1] = posixpath.join(folders[-1], argv[1])
        elif argv:
            texts = {name: _text(value) for name, value in before.items()}
            yield Run(tuple(argv), exported | texts, folders[-1], names_used(" ".join(words)))


def _forget(known: dict[str, Value], before: Mapping[str, Value], *, conditional: bool) -> None:
    """Mark what a condition may have changed as not known."""
    if conditional:
        for name, value in list(known.items()):
            if before.get(name) != value:
                known[name] = unknown(f"${{{name}}}, set on a condition")


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

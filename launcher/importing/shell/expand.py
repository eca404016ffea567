"""Words with their variables filled in, quotes removed, and what nobody filled in marked.

Source of the rules: POSIX.1-2024, Shell Command Language, 2.6 Word Expansions; arrays are bash's.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Final

from launcher.importing.definition import UNKNOWN, bounded, unknown
from launcher.importing.shell.scan import part_end, word_end

Value = str | tuple[str, ...]
"""Of a variable, or of an array."""

_NAME: Final = re.compile(r"[A-Za-z_]\w*")
_ASSIGNMENT: Final = re.compile(r"([A-Za-z_]\w*)(\+?)=")
_BRACED: Final = re.compile(
    r"(?P<name>[A-Za-z_]\w*|\d+)(?P<all>\[[@*]\])?(?:(?P<operator>:?[-=+?])(?P<word>.*))?",
    re.DOTALL,
)
_PIECE: Final = re.compile(rf"(?:{UNKNOWN.pattern.replace('(', '(?:')}|\S)+")
_ARGUMENTS: Final = frozenset("@*#0123456789")
_KEPT_ESCAPES: Final = '$`"\\\n'


def assignment(word: str) -> tuple[str, str, bool] | None:
    """Name, word and whether it is appended, where a word is an assignment; else None."""
    found = _ASSIGNMENT.match(word)
    return None if found is None else (found[1], word[found.end() :], bool(found[2]))


def assign(word: str, variables: MutableMapping[str, Value]) -> str | None:
    """Carry out an assignment; return the variable's name, or None where the word is none."""
    parts = assignment(word)
    if parts is None:
        return None
    name, written, appended = parts
    value: Value
    if written.startswith("("):
        value = tuple(one for part in _cut(written[1:-1]) for one in expand(part, variables))
    else:
        value = "".join(expand(written, variables, split=False))
    if appended:
        before = variables.get(name, "")
        value = (
            (*_many(before), *_many(value))
            if isinstance(before, tuple) or isinstance(value, tuple)
            else before + value
        )
    for one in _many(value):
        bounded(one)
    variables[name] = value
    return name


def expand(word: str, variables: MutableMapping[str, Value], *, split: bool = True) -> list[str]:
    """Fill in a word: one, several where an unquoted variable holds several, or none.

    Args:
        word: as written.
        variables: known ones.
        split: whether what is not quoted is cut at blanks; an assignment is not.

    Returns:
        Words; what is not known stands in them as `definition.unknown` marks it.
    """
    made: list[str] = [""]
    quoted = False
    place = 0
    while place < len(word):
        end = part_end(word, place)
        part = word[place:end]
        if part[0] == "'":
            made[-1] += part[1:-1]
            quoted = True
        elif part[0] == '"':
            values = _in_quotes(part[1:-1], variables)
            _append(made, values)
            quoted = quoted or bool(values)
        elif part[0] == "\\":
            made[-1] += part[1:] if part[1:] != "\n" else ""
            quoted = True
        elif part[0] in "$`":
            part, values = _substitution(word, place, variables)
            end = place + len(part)
            text = [piece for value in values for piece in (_pieces(value) if split else [value])]
            lead = split and bool(values) and values[0][:1].isspace()
            _append(made, ["", *text] if lead and made[-1] else text)
        else:
            made[-1] += part
        place = end
    if word[:2] == "~/" and "HOME" in variables:
        made[0] = f"{variables['HOME']}{made[0][1:]}"
    return made if quoted or made != [""] or not word or not split else []


def _pieces(value: str) -> list[str]:
    """Cut what is not quoted at blanks; a place that is not known stays whole."""
    return _PIECE.findall(value)


def _append(made: list[str], values: list[str]) -> None:
    """Join the first value to the last word, and let the others be words of their own."""
    if values:
        made[-1] += values[0]
        made += values[1:]


def _in_quotes(text: str, variables: MutableMapping[str, Value]) -> list[str]:
    """What stands between double quotes: one word, or one for each value of an array."""
    if (text[:1] == "$" and part_end(text, 0) == len(text)) or text in {"$@", "$*"}:
        return _substitution(text, 0, variables)[1]
    made = [""]
    place = 0
    while place < len(text):
        if text[place] == "\\" and text[place + 1 : place + 2] in _KEPT_ESCAPES:
            made[-1] += text[place + 1 : place + 2].replace("\n", "")
            place += 2
        elif text[place] in "$`":
            part, values = _substitution(text, place, variables)
            _append(made, values)
            place += len(part)
        else:
            made[-1] += text[place]
            place += 1
    return made


def _substitution(
    text: str, place: int, variables: MutableMapping[str, Value]
) -> tuple[str, list[str]]:
    """What stands at a dollar sign or back quote, and its values."""
    found = _NAME.match(text, place + 1)
    if text[place] == "$" and found is not None:
        return text[place : found.end()], _values(found[0], variables, every=False)
    if text.startswith("${", place):
        end = part_end(text, place)
        return text[place:end], _braced(text[place + 2 : end - 1], variables)
    if text[place] == "`" or text.startswith("$(", place):
        end = part_end(text, place)
        return text[place:end], [unknown(text[place:end])]
    if text[place + 1 : place + 2] in _ARGUMENTS and text[place + 1 : place + 2]:
        # A script's own arguments: it is read as if it had none.
        many = text[place + 1] in "@*"
        return text[place : place + 2], [] if many else [unknown(text[place : place + 2])]
    return "$", ["$"]


def _braced(inner: str, variables: MutableMapping[str, Value]) -> list[str]:
    """The values of `${inner}`."""
    if inner in {"@", "*"}:
        return []
    found = _BRACED.fullmatch(inner)
    if found is None:
        return [unknown(f"${{{inner}}}")]
    name, operator, word = found["name"], found["operator"] or "", found["word"] or ""
    value = variables.get(name)
    given = value is not None and (value not in ("", ()) or not operator.startswith(":"))
    if operator.endswith("+"):
        return expand(word, variables, split=False) if given else []
    if given or not operator or operator.endswith("?"):
        return _values(name, variables, every=bool(found["all"]))
    default = "".join(expand(word, variables, split=False))
    if operator.endswith("="):
        variables[name] = default
    return [default]


def _values(name: str, variables: MutableMapping[str, Value], *, every: bool) -> list[str]:
    value = variables.get(name)
    if value is None:
        return [unknown(f"${{{name}}}")]
    if isinstance(value, tuple):
        return list(value) if every else list(value[:1])
    return [value]


def _many(value: Value) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else (value,)


def _cut(text: str) -> list[str]:
    """The words of an array, as written."""
    words: list[str] = []
    place = 0
    while place < len(text):
        if text[place] in " \t\r\n":
            place += 1
        elif text[place] == "#":
            found = text.find("\n", place)
            place = len(text) if found < 0 else found
        elif text.startswith("\\\n", place):
            place += 2
        else:
            end = max(word_end(text, place), place + 1)
            words.append(text[place:end])
            place = end
    return words

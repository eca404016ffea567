"""The text between `<arg_value>` and `</arg_value>` as JSON. Pure.

GLM's chat template writes text as it is, and every other value as JSON
(`zai-org/GLM-4.5-Air`, chat_template.jinja). So `5` may be text or a number, and the tool's schema
says which. Where it allows both, JSON wins, since the template would have written a number so; an
argument without a schema counts as such. JSON text is given on as the model wrote it: reading and
writing it anew makes `1e5` `100000.0`.
"""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any, Final, NoReturn, Self

from launcher.engines.sglang.plugins.glm.schema import Allowed, json_type

_WORDS: Final = {"null": "null", "boolean": "true false"}
# Longer than any of these words: the beginning that `may_be_json` needs.
DECIDING_CHARACTERS: Final = 6
_FIRST: Final = {"number": "-0123456789", "object": "{", "array": "["}
_PYTHON_WORDS: Final = {
    "True": ("boolean", "true"),
    "False": ("boolean", "false"),
    "None": ("null", "null"),
}
# `ast` builds a tree; nobody writes so much where JSON was asked for.
_LONGEST_NEARLY_CHARACTERS: Final = 100_000


class _Number(float):
    """A number that was not read: Python refuses to read very long ones."""

    __slots__ = ()

    def __new__(cls, _text: str) -> Self:
        """Forget the digits: only the type is asked for."""
        return super().__new__(cls, 0.0)


def to_json(text: str, allowed: Allowed) -> str:
    """The JSON text of an argument's value.

    Args:
        text: whole, as the model wrote it.
        allowed: what the schema allows.

    Returns:
        JSON. What fits no allowed type comes as the text that it is.
    """
    if allowed.texts is not None and (member := _member(text, allowed.texts)) is not None:
        return quoted(member)
    if allowed.text_only:
        return quoted(text)
    if "string" in allowed.types:
        # Text with a blank before it is that text.
        kind = _type_of(text) if text == text.strip() else None
        fits = kind is not None and kind != "string" and kind in allowed.types
        return text if fits else quoted(text)
    return _without_text(text, allowed)


def _without_text(text: str, allowed: Allowed) -> str:
    """JSON of a value that should be no text."""
    bare = text.strip()
    kind = _type_of(bare)
    if kind == "string" and "string" not in allowed.types:
        inner = json.loads(bare).strip()
        return inner if _type_of(inner) in allowed.types else bare
    if kind is not None:
        return bare
    return _nearly(bare, allowed) or quoted(text)


def may_be_json(beginning: str, allowed: Allowed) -> bool:
    """Whether a value that begins so may still become something else than text.

    Args:
        beginning: of the value, whole or not; `DECIDING_CHARACTERS` of it are enough.
        allowed: what the schema allows.
    """
    if allowed.texts is not None or "string" not in allowed.types or not beginning:
        # One of a closed set is known when it is whole.
        return True
    if allowed.text_only or beginning[0].isspace():
        return False
    for kind in allowed.types - {"string"}:
        if any(word.startswith(beginning) for word in _WORDS.get(kind, "").split()):
            return True
        if beginning[0] in _FIRST.get(kind, ""):
            return True
    return False


def quoted(text: str) -> str:
    """A text as JSON."""
    return json.dumps(text, ensure_ascii=False)


def is_object(text: str) -> bool:
    """Whether a text is one JSON object."""
    return _type_of(text) == "object"


def read_object(text: str) -> dict[str, Any] | None:
    """A JSON object as Python has it; None where the text is none."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _type_of(text: str) -> str | None:
    """The type of the JSON value that a text is; None where it is none."""
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None
    return json_type(value)


def _member(text: str, texts: frozenset[str]) -> str | None:
    """The one of a closed set of texts that is meant, with quotation marks around it or not."""
    if text in texts:
        return text
    bare = text.strip()
    if _type_of(bare) == "string":
        bare = json.loads(bare)
    return bare if bare in texts else None


def _nearly(text: str, allowed: Allowed) -> str | None:
    """JSON of what models write in its place: Python, line breaks in texts, JSON in JSON."""
    if text in _PYTHON_WORDS:
        kind, word = _PYTHON_WORDS[text]
        return word if kind in allowed.types else None
    if text[:1] not in {"{", "[", "("} or len(text) > _LONGEST_NEARLY_CHARACTERS:
        return None
    for read in (_with_line_breaks, _from_python, _escaped):
        try:
            # A tuple becomes an array, a set is refused.
            written = json.dumps(read(text), ensure_ascii=False, allow_nan=False)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        return written if _type_of(written) in allowed.types else None
    return None


def _with_line_breaks(text: str) -> Any:
    return json.loads(text, strict=False)


def _escaped(text: str) -> Any:
    """JSON written as the inside of a JSON text: each quotation mark behind a backslash."""
    return json.loads(json.loads(f'"{text}"'))


def _from_python(text: str) -> Any:
    with warnings.catch_warnings():
        # A backslash that escapes nothing.
        warnings.simplefilter("ignore")
        return ast.literal_eval(text)


def _refuse(word: str) -> NoReturn:
    """NaN and Infinity are not JSON, though Python reads them."""
    raise ValueError(f"{word} is not JSON")

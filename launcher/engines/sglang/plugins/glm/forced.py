"""Calls that a grammar holds to JSON, as SGLang does where `tool_choice` forces one. Pure.

    [{"name": "NAME", "parameters": {...}}, ...]

`calls` is the same for the model's own format, and takes over where the model answered in that: a
server may run without a grammar. `array_schema` is the grammar.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from launcher.engines.sglang.plugins.glm.calls import CallParser
from launcher.engines.sglang.plugins.glm.events import (
    Arguments,
    CallEnded,
    CallStarted,
    Content,
    Event,
)

_HEAD: Final = re.compile(
    r'\s*[\[,]?\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"(?:parameters|arguments)"\s*:\s*(?=\{)'
)
_TAIL: Final = re.compile(r"\s*\}\s*(,|\])?\s*")
_STEP: Final = re.compile(r'["\\{}]')


class ForcedCallParser:
    """Takes an answer, gives its calls; what is none is content.

    Args:
        schemas: as `CallParser` takes them.
    """

    def __init__(self, schemas: Mapping[str, Any]) -> None:
        self._native = CallParser(schemas)
        self._text = ""
        self._state: Callable[[list[Event]], bool] = self._at_start
        self._seen = 0
        self._depth = 0
        self._in_text = False
        self._called = False

    def feed(self, text: str) -> list[Event]:
        """Take the next piece, cut anywhere; give what is certain by now."""
        if self._state == self._elsewhere:
            return self._native.feed(text)
        self._text += text
        events: list[Event] = []
        while self._text and self._state(events):
            pass
        return events

    def end(self) -> list[Event]:
        """Nothing more comes: give what was held back."""
        if self._state == self._elsewhere:
            return self._native.end()
        held, self._text = self._text, ""
        if self._state == self._in_arguments:
            return [Arguments(held)] if held else []
        if self._called and held.strip() in {"", ",", "]", "}", "}]"}:
            return []
        return [Content(held)] if held else []

    def _at_start(self, _events: list[Event]) -> bool:
        first = self._text.lstrip()[:1]
        if not first:
            return False
        self._state = self._at_call if first in {"[", "{"} else self._elsewhere
        return True

    def _elsewhere(self, events: list[Event]) -> bool:
        """No JSON: the model's own format, or no call at all."""
        events += self._native.feed(self._text)
        self._text = ""
        return False

    def _at_call(self, events: list[Event]) -> bool:
        head = _HEAD.match(self._text)
        if head is None:
            return False
        try:
            name = json.loads(head[1], strict=False)
        except ValueError:
            return False
        self._called = True
        events.append(CallStarted(name))
        self._text = self._text[head.end() :]
        self._state, self._seen, self._depth, self._in_text = self._in_arguments, 0, 0, False
        return True

    def _in_arguments(self, events: list[Event]) -> bool:
        """Give the object out as it stands, up to the bracket that ends it."""
        while (step := _STEP.search(self._text, self._seen)) is not None:
            self._seen = step.end()
            if step[0] == "\\":
                if self._seen == len(self._text):
                    self._seen -= 1
                    return False
                self._seen += 1
            elif step[0] == '"':
                self._in_text = not self._in_text
            elif not self._in_text:
                self._depth += 1 if step[0] == "{" else -1
                if not self._depth:
                    self._give_out(self._seen, events)
                    self._state = self._behind
                    return True
        self._give_out(len(self._text), events)
        return False

    def _give_out(self, end: int, events: list[Event]) -> None:
        if end:
            events.append(Arguments(self._text[:end]))
        self._text, self._seen = self._text[end:], 0

    def _behind(self, events: list[Event]) -> bool:
        """Behind the arguments: the call's own bracket, then another call or the end."""
        tail = _TAIL.match(self._text)
        if tail is None:
            return False
        events.append(CallEnded())
        self._text = self._text[tail.end() :]
        if tail[1] == ",":
            self._state = self._at_call
        else:
            self._state = self._at_end
        return True

    def _at_end(self, events: list[Event]) -> bool:
        """Nothing may follow but the array's bracket."""
        rest = self._text.lstrip()
        if rest.startswith(","):
            self._text, self._state = rest, self._at_call
            return True
        if rest.startswith("]"):
            self._text = rest[1:]
            return True
        if rest:
            events.append(Content(self._text))
            self._text = ""
        return False


def array_schema(tools: Sequence[tuple[str, Any]], *, most_calls: int | None) -> dict[str, Any]:
    """The JSON schema of an array of calls.

    Each tool's schema stands under `$defs` whole, and what points into it points there: a `$ref`
    is from the root of the document, which a tool's schema is no longer.

    Args:
        tools: name and JSON schema of the arguments of each that may be called.
        most_calls: how many calls there may be; None: any number.
    """
    definitions = {f"tool{place}": _moved(schema, place) for place, (_, schema) in _numbered(tools)}
    calls = [
        {
            "type": "object",
            "properties": {
                "name": {"type": "string", "enum": [name]},
                "parameters": {"$ref": f"#/$defs/tool{place}"},
            },
            "required": ["name", "parameters"],
            "additionalProperties": False,
        }
        for place, (name, _) in _numbered(tools)
    ]
    array: dict[str, Any] = {
        "type": "array",
        "minItems": 1,
        "items": calls[0] if len(calls) == 1 else {"anyOf": calls},
        "$defs": definitions,
    }
    if most_calls is not None:
        array["maxItems"] = most_calls
    return array


def _numbered(tools: Sequence[tuple[str, Any]]) -> enumerate[tuple[str, Any]]:
    return enumerate(tools)


def _moved(schema: Any, place: int) -> Any:
    """A tool's schema with its pointers as they are where it stands now."""
    moved = _pointed(schema or {"type": "object", "properties": {}}, f"#/$defs/tool{place}")
    if isinstance(moved, dict) and not {"type", "$ref", "anyOf", "oneOf", "allOf"} & moved.keys():
        moved["type"] = "object"
    return moved


def _pointed(value: Any, root: str) -> Any:
    if isinstance(value, list):
        return [_pointed(each, root) for each in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: root + each[1:]
        if key == "$ref" and isinstance(each, str) and each.startswith("#")
        else _pointed(each, root)
        for key, each in value.items()
    }

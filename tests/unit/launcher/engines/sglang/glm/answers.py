"""Answers in GLM-4.5's format, made at random, with what must be read from them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.engines.sglang.plugins.glm.events import (
    Arguments,
    CallEnded,
    CallStarted,
    Content,
    Event,
)
from launcher.engines.sglang.plugins.glm.values import quoted

# What a text must survive: looks like a number, like JSON, like a tag, like white space.
TEXTS = (
    *("", " ", "\n", "true", "True", "null", "None", "1e5", "1_000", "007", "-0", "NaN", "+1"),
    *('"', '"quoted"', "'", "\\n", "a\\", "{", "[1, 2]", '{"a": "b"}', "<arg_key>", "<", "</"),
    *("</arg_valu", "<tool_call>", "</tool_call", "a<b>c", "line one\nline two\n", "\ttab", "日本"),
    *(
        "\U0001f642",
        "e\u0301",
        "C:\\Users\\new",
        "x" * 50,
        "\r\n",
        " padded ",
        "\u2028",
        "#!/bin/sh",
    ),
)
NUMBERS = (
    "0",
    "-1",
    "3",
    "12345678901234567890",
    "1e5",
    "1.0",
    "-0.5",
    "3.14159265358979323846",
    "1E-7",
)
ITEMS: tuple[Any, ...] = (1, -2.5, True, None, "text", "5", {"k": [1, "</arg_value"]}, [])
NAMES = ("get_weather", "write_file", "a", "mcp.server-tool_1", "x" * 64)
KEYS = ("city", "path", "n", "with space", "größe", "a.b", "$ref")
WORDS = ("Let me look.", "First", "1.", "", "", "", "a < b", "**bold**\n\n- item")


@dataclass(frozen=True)
class Call:
    """A call that the model meant.

    Attributes:
        name: of the tool.
        arguments: for each its key, its text in the answer, and its JSON.
    """

    name: str
    arguments: tuple[tuple[str, str, str], ...]

    @property
    def text(self) -> str:
        """As GLM's template writes it."""
        pairs = "".join(
            f"<arg_key>{key}</arg_key>\n<arg_value>{text}</arg_value>\n"
            for key, text, _ in self.arguments
        )
        return f"<tool_call>{self.name}\n{pairs}</tool_call>"

    @property
    def json(self) -> str:
        """Its arguments."""
        return "{" + ", ".join(f"{quoted(key)}: {value}" for key, _, value in self.arguments) + "}"


@dataclass(frozen=True)
class Read:
    """What was read from an answer: content, and name, arguments and wholeness of each call."""

    content: str
    calls: tuple[tuple[str, str, bool], ...]


def random_answer(source: random.Random) -> tuple[str, dict[str, Any], str, list[Call]]:
    """An answer, the schemas of the tools offered, its content, and its calls."""
    schemas: dict[str, Any] = {}
    calls: list[Call] = []
    for name in source.sample(NAMES, source.randint(1, 4)):
        properties: dict[str, Any] = {}
        arguments = []
        for key in source.sample(KEYS, source.randint(0, 4)):
            text, value, properties[key] = _random_value(source)
            arguments.append((key, text, value))
        schemas[name] = {"type": "object", "properties": properties}
        if source.random() < 0.1:
            # A tool that was not offered: each value may be anything.
            del schemas[name]
            arguments = [(key, "plain text", '"plain text"') for key, _, _ in arguments]
        calls.append(Call(name, tuple(arguments)))
    content = source.choice(WORDS)
    text = content + ("\n" if content else "") + "\n".join(call.text for call in calls)
    return text, schemas, content, calls


def _random_value(source: random.Random) -> tuple[str, str, dict[str, Any]]:
    """A value as the model writes it, its JSON, and a schema that allows it."""
    kind = source.choice(("string", "string", "number", "boolean", "array", "object", "null"))
    if kind == "string":
        text = source.choice((source.choice(TEXTS), "".join(source.sample(TEXTS, 3))))
        return (
            text,
            json.dumps(text, ensure_ascii=False),
            source.choice(
                (
                    {"type": "string"},
                    {"type": ["string"]},
                    {"enum": [text, "other"]},
                    {"const": text},
                    {"allOf": [{"type": "string"}, {"minLength": 0}]},
                )
            ),
        )
    if kind == "null":
        return "null", "null", {"anyOf": [{"type": "string"}, {"type": "null"}]}
    if kind == "number":
        text = source.choice(NUMBERS)
        schemas: list[dict[str, Any]] = [
            {"type": "number"},
            {"anyOf": [{"type": "number"}, {"type": "null"}]},
            {},
        ]
        return text, text, source.choice(schemas)
    value: Any = source.random() < 0.5
    if kind == "array":
        value = source.sample(ITEMS, 3)
    elif kind == "object":
        value = {key: source.choice(ITEMS) for key in source.sample(KEYS, 2)}
    text = json.dumps(value, ensure_ascii=source.random() < 0.5)
    return text, text, source.choice(({"type": kind}, {"oneOf": [{"type": kind}]}, {}))


def random_pieces(source: random.Random, text: str) -> list[str]:
    """The text in pieces of one character up to all of it."""
    longest = source.choice((1, 3, 20, 100, 400, len(text) or 1))
    pieces, start = [], 0
    while start < len(text):
        length = source.randint(1, longest)
        pieces.append(text[start : start + length])
        start += length
    return pieces


def read(parser: Any, pieces: Sequence[str]) -> Read:
    """What a machine gives for an answer that comes in pieces."""
    events: list[Event] = []
    for piece in pieces:
        events += parser.feed(piece)
    return added_up([*events, *parser.end()])


def added_up(events: Iterable[Event]) -> Read:
    """What events say together."""
    content = ""
    calls: list[tuple[str, str, bool]] = []
    for event in events:
        if isinstance(event, Content):
            content += event.text
        elif isinstance(event, CallStarted):
            calls.append((event.name, "", False))
        elif isinstance(event, Arguments):
            name, arguments, whole = calls[-1]
            assert not whole
            calls[-1] = (name, arguments + event.text, False)
        else:
            assert isinstance(event, CallEnded)
            calls[-1] = (*calls[-1][:2], True)
    return Read(content, tuple(calls))

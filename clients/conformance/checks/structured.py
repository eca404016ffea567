"""Structured output, and characters of several bytes that a grammar forces out of any model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from clients.conformance import sources
from clients.conformance.contract import check
from clients.conformance.probe import Json, first_choice
from clients.conformance.text import has_replacement, quote
from clients.conformance.verdicts import model_fault, server_fault
from clients.conformance.wire import strict_json

if TYPE_CHECKING:
    from clients.conformance.answer import Choice
    from clients.conformance.probe import Probe

_ASK = "Port 8000, secure. Answer in JSON."
UNICODE_TEXT = "Grüße 你好 🚀"
_ENDLESS_SPACES = 16


def forced(properties: Json, name: str = "answer") -> Json:
    """A `response_format` that leaves a model no choice but of the given properties' values."""
    schema = {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
    return {
        "type": "json_schema",
        "json_schema": {"name": name, "strict": True, "schema": schema},
    }


_PORT = forced(
    {
        "port": {"type": "integer", "enum": [8000, 8001]},
        "secure": {"type": "boolean"},
        "tags": {
            "type": "array",
            "items": {"type": "string", "enum": ["a", "b"]},
            "minItems": 1,
            "maxItems": 2,
        },
        "note": {"anyOf": [{"type": "string", "enum": ["none"]}, {"type": "null"}]},
    }
)


def _object_in(choice: Choice, name: str) -> dict[str, Any]:
    """The object that the content is.

    Raises:
        VerdictError: it is none, or did not end.
    """
    text = choice.content
    if choice.finish == "length":
        spaces = len(text) - len(text.rstrip())
        if spaces > _ENDLESS_SPACES or " " * _ENDLESS_SPACES in text:
            raise server_fault(f"{name}: white space up to the limit: {quote(text, 60)}")
        raise model_fault(f"{name}: no end within the limit: {quote(text, 60)}")
    try:
        value = strict_json(text)
    except ValueError as error:
        raise server_fault(f"{name}: not JSON ({error}): {quote(text, 80)}") from None
    if not isinstance(value, dict):
        raise server_fault(f"{name}: JSON, and no object: {quote(text, 80)}")
    return value


@check(
    "structured.json-object",
    sent="a question with response_format json_object, whole and streamed",
    contract="The content is one JSON object, and the answer ends with it.",
    source=sources.STRUCTURED,
)
async def json_object(probe: Probe) -> str:
    """Any object."""
    body = probe.body(_ASK, response_format={"type": "json_object"}, max_tokens=128)
    both = await probe.both(body)
    for name, choice in both:
        _object_in(choice, name)
    return quote(both[0][1].content, 60)


def _fits(value: dict[str, Any]) -> bool:
    tags = value.get("tags")
    return (
        set(value) == {"port", "secure", "tags", "note"}
        and value["port"] in {8000, 8001}
        and isinstance(value["secure"], bool)
        and isinstance(tags, list)
        and 1 <= len(tags) <= 2
        and all(tag in ("a", "b") for tag in tags)
        and value["note"] in ("none", None)
    )


@check(
    "structured.json-schema",
    sent="a question with response_format json_schema, strict, whole and streamed",
    contract="The content fits the schema: types, enums, lists and their lengths, anyOf, no other "
    "properties.",
    source=f"{sources.STRUCTURED}; {sources.SCHEMA}",
)
async def json_schema(probe: Probe) -> str:
    """A grammar holds whatever the model would rather say."""
    both = await probe.both(probe.body(_ASK, response_format=_PORT, max_tokens=256))
    for name, choice in both:
        value = _object_in(choice, name)
        if not _fits(value):
            raise server_fault(f"{name}: it does not fit the schema: {quote(choice.content)}")
    return quote(both[0][1].content, 80)


@check(
    "structured.reasoning",
    sent="the same with thinking on, whole",
    contract="With reasoning, too, the content is the JSON alone; the grammar begins behind the "
    "reasoning.",
    source=f"{sources.STRUCTURED}; {sources.REASONING}",
)
async def with_reasoning(probe: Probe) -> str:
    """Neither eats the other."""
    body = probe.body(_ASK, think=True, response_format=_PORT)
    choice = first_choice(await probe.whole(body))
    if choice.finish == "length" and not choice.content.strip():
        raise model_fault("it reasoned up to the limit")
    if not _fits(_object_in(choice, "whole")):
        raise server_fault(f"it does not fit the schema: {quote(choice.content)}")
    return quote(choice.content, 80)


def _same_text(choice: Choice, name: str) -> None:
    if has_replacement(choice.content):
        raise server_fault(f"{name}: a replacement character: {quote(choice.content)}")
    value = _object_in(choice, name)
    if value.get("text") != UNICODE_TEXT:
        raise server_fault(f"{name}: {quote(value.get('text'))}, not {quote(UNICODE_TEXT)}")


_UNICODE = forced({"text": {"type": "string", "enum": [UNICODE_TEXT]}})


@check(
    "utf8.whole",
    sent=f"response_format json_schema whose one value is {UNICODE_TEXT!r}",
    contract="Characters of several bytes and tokens come whole.",
    source=sources.UTF8,
)
async def utf8_whole(probe: Probe) -> str:
    """Forced, so that no model can get it wrong."""
    got = await probe.whole(probe.body("Hello", response_format=_UNICODE))
    _same_text(first_choice(got), "whole")
    return quote(first_choice(got).content)


@check(
    "utf8.streamed",
    sent=f"the same, streamed: {UNICODE_TEXT!r}",
    contract="A character that is split over tokens comes in one chunk; no chunk holds U+FFFD.",
    source=sources.UTF8,
)
async def utf8_streamed(probe: Probe) -> str:
    """A detokenizer holds back what is not a character yet."""
    got = await probe.stream(probe.body("Hello", response_format=_UNICODE))
    _same_text(first_choice(got), "streamed")
    return f"{quote(first_choice(got).content)} in {len(got.chunks)} chunks"


CHECKS = (json_object, json_schema, with_reasoning, utf8_whole, utf8_streamed)

"""The values in tool calls: text that looks like something else, types that are not said."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from clients.conformance import sources
from clients.conformance.checks.structured import UNICODE_TEXT
from clients.conformance.checks.tools import function
from clients.conformance.contract import check
from clients.conformance.probe import Json, first_choice
from clients.conformance.text import quote
from clients.conformance.verdicts import VerdictError, model_fault, server_fault

if TYPE_CHECKING:
    from clients.conformance.answer import Choice
    from clients.conformance.probe import Probe

_STRINGS: Final = {
    "flag": "true",
    "power": "1e5",
    "zeros": "007",
    "object": '{"a": 1}',
    "letters": UNICODE_TEXT,
}
_NOTES: Final = ("true", "1e5", "007", "null", "3.10")
_ORDER = function(
    "order", "Order something.", {"count": {"type": "integer"}, "note": {"type": "string"}}
)


async def _kept(probe: Probe, properties: Json, wanted: dict[str, Any]) -> str:
    """Force a call with values of which the schema leaves no choice, and compare them."""
    tool = function("keep", "Keep the values.", properties)
    body = probe.body("Keep the values", tools=[tool], tool_choice="required", max_tokens=400)
    for name, choice in await probe.both(body):
        _compare(choice, name, wanted)
    return f"{len(wanted)} values as they are in the schema, both ways"


def _compare(choice: Choice, name: str, wanted: dict[str, Any]) -> None:
    if not choice.calls:
        raise server_fault(f"{name}: no call, content {quote(choice.content, 80)}")
    value = choice.calls[0].parsed()
    if choice.finish == "length":
        raise model_fault(f"{name}: cut off at the limit")
    if not isinstance(value, dict):
        raise server_fault(f"{name}: arguments {quote(choice.calls[0].arguments, 100)}")
    for key, due in wanted.items():
        if key not in value:
            raise server_fault(f"{name}: {key} is missing")
        if value[key] != due or type(value[key]) is not type(due):
            raise server_fault(f"{name}: {key} is {_json(value[key])}, not {_json(due)}")


def _json(value: object) -> str:
    try:
        return quote(json.dumps(value, ensure_ascii=False), 60)
    except (ValueError, RecursionError):
        return quote(value, 60)


@check(
    "tools.strings",
    sent="a tool whose parameters are strings with one value each (true, 1e5, 007, JSON, "
    "several alphabets), tool_choice required, whole and streamed",
    contract="A parameter of type string comes as that string, whatever it looks like.",
    source=f"{sources.TOOLS}; {sources.SCHEMA}",
)
async def strings(probe: Probe) -> str:
    """Forced by the schema, so it does not depend on the model."""
    properties = {key: {"type": "string", "enum": [value]} for key, value in _STRINGS.items()}
    return await _kept(probe, properties, _STRINGS)


@check(
    "tools.types",
    sent="a tool with parameters of integer, boolean, anyOf, nested and no type, one value each",
    contract="Each value has the type of its schema; one without a type is taken as it is.",
    source=f"{sources.TOOLS}; {sources.SCHEMA}",
)
async def types(probe: Probe) -> str:
    """Parsers look up a type that need not be there."""
    inner = {"type": "object", "properties": {"deep": {"type": "integer", "enum": [7]}}}
    properties: Json = {
        "count": {"type": "integer", "enum": [8000]},
        "on": {"type": "boolean", "enum": [True]},
        "either": {"anyOf": [{"type": "integer", "enum": [5]}]},
        "untyped": {"enum": ["1e5"]},
        "nested": {**inner, "required": ["deep"], "additionalProperties": False},
    }
    wanted = {"count": 8000, "on": True, "either": 5, "untyped": "1e5", "nested": {"deep": 7}}
    return await _kept(probe, properties, wanted)


def _written(choice: Choice, note: str) -> bool:
    """Whether the model wrote the note just so, in a format in which text has no quotes."""
    return f">{note}<" in choice.raw


@check(
    "tools.strings-auto",
    sent="orders with notes true, 1e5, 007, null, 3.10, tool_choice auto, with logprobs",
    contract="What the model wrote for a parameter of type string comes as that string.",
    source=f"{sources.TOOLS}; {sources.SCHEMA}",
)
async def strings_auto(probe: Probe) -> str:
    """Through the parser of the model's own format; its tokens say what the model wrote."""
    right, strange = 0, ""
    for note in _NOTES:
        body = probe.body(f"Order with count 2 and note {note}", tools=[_ORDER])
        try:
            choice = first_choice(await probe.whole({**body, "logprobs": True}))
        except VerdictError as error:
            if error.outcome != "not offered":
                raise
            choice = first_choice(await probe.whole(body))
        value = choice.calls[0].parsed() if choice.calls else None
        got = value.get("note") if isinstance(value, dict) else None
        if got == note:
            right += 1
        elif choice.calls and (_written(choice, note) or got in _garbled(note)):
            raise server_fault(f"note {_json(got)}, the model wrote {_json(note)}")
        else:
            strange = f"note {_json(got)}, asked for {_json(note)}"
    if strange:
        raise model_fault(f"{right} of {len(_NOTES)} right; {strange}")
    return f"{right} of {len(_NOTES)} as they were written"


def _garbled(note: str) -> set[str]:
    """How text looks that was read as a value of Python's and written again."""
    try:
        value = json.loads(note)
    except ValueError:
        return {str(int(note))} if note.isdigit() else set()
    return {str(value), str(float(value))} if isinstance(value, float) else {str(value)}


CHECKS = (strings, types, strings_auto)

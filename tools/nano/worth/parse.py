"""Reads an answer's text as the server's parsers for `glm45` do: reasoning, content, calls.

Source: sglang, srt/parser/reasoning_parser.py, srt/function_call/glm4_moe_detector.py.
"""

import json
import re
from typing import Any

from tools.nano.text.dialogue import Call
from tools.nano.worth.score import Answer

_CALL = re.compile(r"<tool_call>(.*?)\n(.*?)</tool_call>", re.DOTALL)
_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.DOTALL)


def parse(text: str, tools: list[dict[str, Any]], *, thinking: bool, ended: bool = True) -> Answer:
    """Read an answer.

    Args:
        text: what the model wrote behind the prompt.
        tools: functions, for their parameters' types.
        thinking: whether the answer begins with reasoning.
        ended: whether it ended by itself.

    Returns:
        The answer; its calls are None if a call is not whole, or of no known function.
    """
    reasoning = ""
    if thinking:
        reasoning, mark, text = text.partition("</think>")
        reasoning = reasoning.strip().removeprefix("<think>")
        ended = ended and bool(mark)
    content, _, _ = text.partition("<tool_call>")
    types = {
        tool["function"]["name"]: {
            name: _type(schema) for name, schema in _properties(tool["function"]).items()
        }
        for tool in tools
    }
    calls: list[Call] | None = []
    found = _CALL.findall(text)
    if len(found) != text.count("<tool_call>"):
        calls = None
    for name, body in found:
        if name not in types:
            calls = None
        if calls is not None:
            arguments = {
                key: _value(written, types[name].get(key))
                for key, written in _ARGUMENT.findall(body)
            }
            calls.append((name, arguments))
    return Answer(reasoning, content.strip(), calls, ended)


def _properties(function: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = (function.get("parameters") or {}).get("properties", {})
    return properties


def _type(schema: dict[str, Any]) -> str | None:
    """The type of a parameter: the first where null is another."""
    kind = schema.get("type")
    if kind is None and schema.get("anyOf"):
        return _type(schema["anyOf"][0])
    return kind[0] if isinstance(kind, list) else kind


def _value(written: str, kind: str | None) -> Any:
    if kind == "string":
        return written
    try:
        return json.loads(written)
    except json.JSONDecodeError:
        return written

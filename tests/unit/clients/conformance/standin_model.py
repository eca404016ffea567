"""The stand-in's model: it knows what the checks ask it for."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
GREETING = "Hello! How can I help you?"


@dataclass
class Said:
    """What the model says: in which order, and what of it is which."""

    reasoning: str = ""
    content: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    finish: str = "stop"

    @property
    def raw(self) -> str:
        calls = "".join(
            f"<tool_call>{name}\n"
            + "".join(f"<arg_key>{key}</arg_key>\n<arg_value>{value}</arg_value>\n"
                      for key, value in arguments.items())
            + "</tool_call>"
            for name, arguments in self.calls
        )  # fmt: skip
        return self.reasoning + self.content + calls


def pieces(text: str) -> list[str]:
    return re.findall(r"\s?\S{1,4}|\s", text)


def sample(schema: Json) -> Any:
    """The first value that fits."""
    if "enum" in schema:
        return schema["enum"][0]
    if "anyOf" in schema:
        return sample(schema["anyOf"][0])
    kind = schema.get("type", "string")
    if kind == "object":
        wanted: list[str] = schema.get("required", [])
        return {key: sample(schema["properties"][key]) for key in wanted}
    if kind == "array":
        return [sample(schema["items"])] * schema.get("minItems", 1)
    return {"integer": 1, "boolean": True, "null": None}.get(kind, "x")


class Model:
    """Decides what is said to a request."""

    def __init__(self, faults: frozenset[str]) -> None:
        self.faults = faults

    def say(self, body: Json) -> Said:
        said = self._say(body)
        thinking = body.get("chat_template_kwargs", {}).get("enable_thinking", True)
        thinking = thinking or "always-thinks" in self.faults
        if thinking:
            said.reasoning = "A greeting of some length."
        return said

    def _say(self, body: Json) -> Said:
        wanted = body.get("response_format", {})
        if wanted.get("type") == "json_object":
            return Said(content='{"port": 8000}')
        if wanted.get("type") == "json_schema":
            return Said(content=self._structured(wanted["json_schema"]["schema"]))
        offered = {tool["function"]["name"]: tool["function"] for tool in body.get("tools", [])}
        choice = body.get("tool_choice", "auto" if offered else "none")
        if offered and choice not in ("auto", "none"):
            said = self._forced(offered, choice)
            one = not body.get("parallel_tool_calls", True) and "parallel" not in self.faults
            if not one and "London" in body["messages"][-1]["content"]:
                said.calls *= 2
            return said
        if offered and (choice == "auto" or "none-ignored" in self.faults):
            return self._auto(body["messages"], offered)
        return Said(content=GREETING)

    def _structured(self, schema: Json) -> str:
        value = sample(schema)
        if "mixed-up" in self.faults and value.get("tag") == "tag-07":
            value["tag"] = "tag-08"
        if "schema-ignored" in self.faults and "port" in value:
            value["port"] = "8000"
        return json.dumps(value, ensure_ascii=False)

    def _forced(self, offered: Json, choice: Any) -> Said:
        name = next(iter(offered))
        if isinstance(choice, dict) and "named-ignored" not in self.faults:
            name = choice["function"]["name"]
        arguments = sample(offered[name].get("parameters", {"type": "object", "required": []}))
        if "forced-typed" in self.faults:
            arguments = {k: 100000.0 if v == "1e5" else v for k, v in arguments.items()}
        return Said(calls=[(name, arguments)], finish="tool_calls")

    def _auto(self, messages: list[Json], offered: Json) -> Said:
        last = messages[-1]
        if last["role"] == "tool":
            return Said(content="It is sunny, 20 degrees.")
        if note := re.search(r"note (\S+)", last["content"]):
            text = note[1]
            if "auto-typed" in self.faults and text == "true":
                text = "True"
            return Said(calls=[("order", {"count": 2, "note": text})], finish="tool_calls")
        cities = re.findall(r"(?:in|city) (Paris|London)", last["content"])
        if not cities:
            return Said(content=GREETING)
        calls = [("get_weather", {"city": city}) for city in cities]
        if "obedient" in self.faults and "get_weather" not in offered:
            return Said(content=GREETING)
        if "unknown-dropped" in self.faults and "get_weather" not in offered:
            return Said(calls=calls, finish="dropped")
        return Said(calls=calls, finish="tool_calls")

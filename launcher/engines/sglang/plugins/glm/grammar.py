r"""Calls in GLM-4.5's own format, held to the tools' schemas by a grammar. Pure.

    <tool_call>NAME\n<arg_key>KEY</arg_key>\n<arg_value>VALUE</arg_value>\n</tool_call>

A structural tag of xgrammar: text is free until a call begins; then only the name of a tool may
follow, and its parameters in the order of its schema, as OpenAI's strict mode orders them too. A
text is free up to the mark that ends it; every other value is JSON of its schema. xgrammar 0.2.7
knows GLM-4.7's format, which has no line breaks, and none of GLM-4.5 (builtin_structural_tag.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from launcher.engines.sglang.plugins.glm.schema import allowed_for, resolve

Format = dict[str, Any]
TRIGGER: Final = "<tool_call>"
_END: Final = "</tool_call>"
# Of a value that is JSON: a model may write `[1, 2]` as well as `[1,2]`.
_MOST_SPACES: Final = 1
# What shapes a value. The rest (patterns, limits, formats) may be written in ways that a grammar
# cannot be made of, and a call that breaks it is still one that can be read.
_KEPT: Final = frozenset({"type", "enum", "const", "required"})
_NESTED: Final = frozenset({"items", "additionalProperties"})
_ALTERNATIVES: Final = frozenset({"anyOf", "oneOf"})
_DEFINITIONS: Final = ("$defs", "definitions")
_DEEPEST: Final = 16


def calls_tag(
    tools: Sequence[tuple[str, Any]], *, at_least_one: bool = False, only_one: bool = False
) -> Format:
    """The structural tag of answers that may call these tools.

    Args:
        tools: name and JSON schema of the arguments of each that may be called; None as a schema
            leaves the arguments free.
        at_least_one: whether the answer is a call.
        only_one: whether nothing may follow the first call.
    """
    calls: Format = {
        "type": "triggered_tags",
        "triggers": [TRIGGER],
        "tags": [_call(name, schema) for name, schema in tools],
        "at_least_one": at_least_one,
        "stop_after_first": only_one,
    }
    if at_least_one:
        # GLM-4.5 begins every answer with a line break.
        calls = _sequence([_optional(_constant("\n")), calls])
    return {"type": "structural_tag", "format": calls}


def _call(name: str, schema: Any) -> Format:
    content = {"type": "any_text"} if schema is None else _parameters(schema)
    return {"type": "tag", "begin": f"{TRIGGER}{name}\n", "content": content, "end": _END}


def _parameters(schema: Any) -> Format:
    """The parameters of a call, in the schema's order; free where it lists none and allows any."""
    schema = resolve(schema, schema)
    properties = schema.get("properties") if isinstance(schema, Mapping) else None
    if not isinstance(properties, Mapping) or not properties:
        free = isinstance(schema, Mapping) and schema.get("additionalProperties")
        return {"type": "any_text"} if free else _constant("")
    required = schema.get("required")
    wanted = required if isinstance(required, list) else []
    elements = []
    for key, given in properties.items():
        element = {
            "type": "tag",
            "begin": f"<arg_key>{key}</arg_key>\n<arg_value>",
            "content": _value(key, given, schema),
            "end": "</arg_value>\n",
        }
        # What may be null may be left out: OpenAI's strict mode wants all listed as required.
        is_needed = key in wanted and "null" not in allowed_for(schema, key).types
        elements.append(element if is_needed else _optional(element))
    return _sequence(elements)


def _value(key: str, given: Any, root: Mapping[str, Any]) -> Format:
    """A value: one of a list, free text, or JSON."""
    allowed = allowed_for(root, key)
    if allowed.texts and allowed.text_only:
        choices = [_constant(text) for text in sorted(allowed.texts)]
        return choices[0] if len(choices) == 1 else {"type": "or", "elements": choices}
    if "string" in allowed.types:
        return {"type": "any_text"}
    schema = _shape(given, root, 0)
    for name in _DEFINITIONS:
        if isinstance(defined := root.get(name), Mapping):
            schema[name] = {key: _shape(one, root, 1) for key, one in defined.items()}
    return {"type": "json_schema", "json_schema": schema, "max_whitespace_cnt": _MOST_SPACES}


def _shape(schema: Any, root: Mapping[str, Any], depth: int) -> Format:
    """A schema without what a grammar cannot hold; anything goes where nothing is left."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        named = reference.startswith(tuple(f"#/{name}/" for name in _DEFINITIONS))
        return {"$ref": reference} if named and resolve(schema, root) is not None else {}
    made: Format = {key: value for key, value in schema.items() if key in _KEPT}
    for key in _NESTED & schema.keys():
        value = schema[key]
        made[key] = value if isinstance(value, bool) else _shape(value, root, depth + 1)
    for key in _ALTERNATIVES & schema.keys():
        if isinstance(schema[key], list):
            made["anyOf"] = [_shape(one, root, depth + 1) for one in schema[key]]
    if isinstance(properties := schema.get("properties"), Mapping):
        made["properties"] = {
            name: _shape(one, root, depth + 1) for name, one in properties.items()
        }
    return made


def _constant(text: str) -> Format:
    return {"type": "const_string", "value": text}


def _optional(content: Format) -> Format:
    return {"type": "optional", "content": content}


def _sequence(elements: list[Format]) -> Format:
    return elements[0] if len(elements) == 1 else {"type": "sequence", "elements": elements}

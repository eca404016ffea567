"""References in a JSON schema, put in their places. Pure: no I/O.

pydantic writes a nested type once, under `$defs`, and refers to it. SGLang answers 400 to such a
reference in the parameters of a tool that is chosen by name, since it takes the parameters of that
tool to the grammar without their `$defs` (`get_json_schema_constraint` in
sglang/srt/function_call/utils.py). And two tools whose `$defs` differ under one name are refused.
"""

from __future__ import annotations

from typing import Any

_PREFIX = "#/$defs/"


def inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Give a schema in which each reference is replaced with what it names.

    A type that contains itself has no such form: its references and its definition stay, and so
    does its `$defs`.

    Args:
        schema: a JSON schema as pydantic writes it; not changed.

    Returns:
        The schema.
    """
    definitions: dict[str, Any] = schema.get("$defs", {})
    kept = {name for name in definitions if name in _reached(definitions[name], definitions)}
    whole = {name: value for name, value in schema.items() if name != "$defs"}
    result: dict[str, Any] = _put_in(whole, definitions, kept)
    if kept & set(_reached(whole, definitions)):
        result["$defs"] = {
            name: _put_in(definitions[name], definitions, kept) for name in sorted(kept)
        }
    return result


def is_recursive(schema: object) -> bool:
    """Say whether a schema, inlined or not, holds a type that contains itself."""
    definitions = schema.get("$defs", {}) if isinstance(schema, dict) else {}
    return any(name in _reached(definitions[name], definitions) for name in definitions)


def _reached(schema: object, definitions: dict[str, Any]) -> set[str]:
    """Name the definitions that a schema refers to, directly or through others."""
    found: set[str] = set()
    waiting = [schema]
    while waiting:
        each = waiting.pop()
        if isinstance(each, list):
            waiting += each
        elif isinstance(each, dict):
            waiting += each.values()
            name = _name(each)
            if name in definitions and name not in found:
                found.add(name)
                waiting.append(definitions[name])
    return found


def _put_in(schema: Any, definitions: dict[str, Any], kept: set[str]) -> Any:
    if isinstance(schema, list):
        return [_put_in(each, definitions, kept) for each in schema]
    if not isinstance(schema, dict):
        return schema
    name = _name(schema)
    if name in definitions and name not in kept:
        # What stands beside a reference, a description or a default, says more than the type's own.
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        merged = {**definitions[name], **beside}
        merged.pop("title", None)
        return _put_in(merged, definitions, kept)
    return {key: _put_in(value, definitions, kept) for key, value in schema.items()}


def _name(schema: dict[str, Any]) -> str:
    reference = schema.get("$ref")
    return reference.removeprefix(_PREFIX) if isinstance(reference, str) else ""

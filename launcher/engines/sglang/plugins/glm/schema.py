"""Which JSON types a tool's schema allows for an argument. Pure.

Source: JSON Schema 2020-12, core (`$ref`, `$defs`, `allOf`, `anyOf`, `oneOf`, `properties`,
`patternProperties`, `additionalProperties`) and validation (`type`, `enum`, `const`); `nullable` is
OpenAPI 3.0's. What it does not know says nothing, and so allows everything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

ALL_TYPES: Final = frozenset({"string", "number", "boolean", "null", "object", "array"})
_TYPE_NAMES: Final = ALL_TYPES | {"integer"}
# A schema of a stranger: nothing that a person writes comes near.
_DEEPEST: Final = 32


@dataclass(frozen=True, slots=True)
class Allowed:
    """What an argument may be.

    Attributes:
        types: of JSON, `integer` counted as `number`. Never empty: a schema that allows nothing
            is taken for one that allows everything.
        texts: the only texts that it may be, from `enum` and `const`; None: any text.
    """

    types: frozenset[str] = ALL_TYPES
    texts: frozenset[str] | None = None

    @property
    def text_only(self) -> bool:
        """Whether it can be nothing but text."""
        return self.types == {"string"}


ANYTHING: Final = Allowed()


def allowed_for(parameters: Any, name: str) -> Allowed:
    """What a tool's argument may be.

    Args:
        parameters: JSON schema of the tool's arguments; whatever else says nothing.
        name: of the argument.
    """
    found = _or(_of(each, parameters, 0) for each in _schemas_of(parameters, name, parameters, 0))
    return found if found.types else ANYTHING


def json_type(value: object) -> str:
    """JSON's name for the type of a value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


def resolve(schema: Any, root: Any) -> Any:
    """Follow a local `$ref` (a JSON pointer, RFC 6901); None for what leads nowhere."""
    seen: set[str] = set()
    while isinstance(schema, Mapping) and isinstance(pointer := schema.get("$ref"), str):
        if pointer in seen or not pointer.startswith("#"):
            return None
        seen.add(pointer)
        schema = root
        for part in filter(None, pointer[1:].split("/")):
            key = unquote(part).replace("~1", "/").replace("~0", "~")
            if isinstance(schema, list) and key.isdecimal() and int(key) < len(schema):
                schema = schema[int(key)]
            elif isinstance(schema, Mapping) and key in schema:
                schema = schema[key]
            else:
                return None
    return schema


def _schemas_of(schema: Any, name: str, root: Any, depth: int) -> Iterator[Any]:
    """The schemas that an object's schema has for one of its members."""
    found = False
    for part in _parts(schema, root, depth):
        properties = part.get("properties")
        if isinstance(properties, Mapping) and name in properties:
            yield properties[name]
            found = True
        for pattern, each in _mapping(part.get("patternProperties")).items():
            if _matches(pattern, name):
                yield each
                found = True
    if not found:
        for part in _parts(schema, root, depth):
            if isinstance(each := part.get("additionalProperties"), Mapping):
                yield each
                found = True
    if not found:
        yield {}


def _parts(schema: Any, root: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """A schema and all those that it is put together from."""
    pointed = isinstance(schema, Mapping) and "$ref" in schema
    if pointed and len(schema) > 1:
        yield {key: value for key, value in schema.items() if key != "$ref"}
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return
    yield schema
    for keyword in ("allOf", "anyOf", "oneOf"):
        for each in _list(schema.get(keyword)):
            yield from _parts(each, root, depth + 1)


def _of(schema: Any, root: Any, depth: int) -> Allowed:
    """What a schema allows."""
    beside = schema
    schema = resolve(schema, root)
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return ANYTHING
    found = [_by_type(schema), _by_value(schema)]
    if schema is not beside:
        # Keywords beside a `$ref` hold too: pydantic writes a default there.
        found.append(_by_type(beside))
    found += [
        _or(_of(each, root, depth + 1) for each in branches)
        for keyword in ("anyOf", "oneOf")
        if (branches := _list(schema.get(keyword)))
    ]
    found += [_of(each, root, depth + 1) for each in _list(schema.get("allOf"))]
    result = _and(found)
    if schema.get("nullable") is True or (
        isinstance(beside, Mapping) and beside.get("nullable") is True
    ):
        result = Allowed(result.types | {"null"}, result.texts)
    return result


def _by_type(schema: Mapping[str, Any]) -> Allowed:
    given = schema.get("type")
    names = given if isinstance(given, list) else [given]
    # Some generators write the names in capitals.
    lower = [name.lower() for name in names if isinstance(name, str)]
    known = [name for name in lower if name in _TYPE_NAMES]
    types = frozenset("number" if name == "integer" else name for name in known)
    if types:
        return Allowed(types)
    if given is None and isinstance(schema.get("properties"), Mapping):
        return Allowed(frozenset({"object"}))
    if given is None and isinstance(schema.get("items"), Mapping):
        return Allowed(frozenset({"array"}))
    return ANYTHING


def _by_value(schema: Mapping[str, Any]) -> Allowed:
    values = _list(schema.get("enum"))
    if "const" in schema:
        values = [schema["const"]]
    if not values:
        return ANYTHING
    texts = frozenset(value for value in values if isinstance(value, str))
    return Allowed(frozenset(json_type(value) for value in values), texts)


def _or(branches: Iterator[Allowed]) -> Allowed:
    types: frozenset[str] = frozenset()
    texts: frozenset[str] | None = frozenset()
    for each in branches:
        types |= each.types
        if "string" in each.types:
            texts = None if texts is None or each.texts is None else texts | each.texts
    return Allowed(types, texts if "string" in types else None)


def _and(parts: list[Allowed]) -> Allowed:
    types = ALL_TYPES
    texts: frozenset[str] | None = None
    for each in parts:
        types &= each.types
        if each.texts is not None:
            texts = each.texts if texts is None else texts & each.texts
    return Allowed(types, texts)


def _matches(pattern: Any, name: str) -> bool:
    try:
        return isinstance(pattern, str) and re.search(pattern, name) is not None
    except re.error:
        return False


def _mapping(value: object) -> Mapping[Any, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

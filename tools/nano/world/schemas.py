"""A tool's schema as people and libraries write it.

By hand, as pydantic, zod, LangChain, MCP servers and OpenAI's strict mode do: order of keys,
titles, `$schema`, limits, `additionalProperties`, `anyOf` with null, defaults, no `required`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from tools.nano.tasks.words import Words
from tools.nano.world.naming import spoken

JSON_SCHEMA: Final = "http://json-schema.org/draft-07/schema#"
LIMIT: Final = 9007199254740991
FORMATS: Final = {"email": "email", "url": "uri", "date": "date", "time": "time"}


@dataclass(slots=True)
class Field:
    """One parameter of a tool as its schema shows it.

    Attributes:
        name: what it is called.
        type: of JSON Schema.
        of: the kind of its values.
        description: "" where there is none.
        enum: its allowed values, if it has such.
        items: type of an array's items.
        required: whether it must be there.
        inner: fields of an object.
    """

    name: str
    type: str
    of: str = ""
    description: str = ""
    enum: list[Any] = field(default_factory=list)
    items: str = "string"
    required: bool = True
    inner: list["Field"] = field(default_factory=list)


def _plain(one: Field) -> dict[str, Any]:
    made: dict[str, Any] = {"type": one.type}
    if one.type == "array":
        made["items"] = {"type": one.items}
    if one.enum:
        made["enum"] = list(one.enum)
    return made


def _shuffled(words: Words, made: dict[str, Any]) -> dict[str, Any]:
    pairs = list(made.items())
    words.random.shuffle(pairs)
    return dict(pairs)


def _extras(words: Words, one: Field, made: dict[str, Any]) -> None:
    """Add limits, formats, defaults and examples, as some schemas have them."""
    if one.type in {"integer", "number"} and words.chance(0.35):
        made["minimum"] = words.pick((0, 1))
        if words.chance(0.5):
            made["maximum"] = words.pick((10, 100, 365, 1000, 10000))
    if one.type == "string" and one.of in FORMATS and words.chance(0.4):
        made["format"] = FORMATS[one.of]
    if one.type == "string" and not one.enum and words.chance(0.06):
        made[words.pick(("minLength", "maxLength"))] = words.pick((1, 2, 64, 100, 255))
    if not one.required and words.chance(0.3):
        defaults: dict[str, Any] = {
            "integer": words.random.randint(0, 20), "number": words.random.randint(0, 9) / 2,
            "boolean": words.chance(0.4), "array": [], "object": {},
            "string": words.pick((*one.enum, words.noun(), "")) if one.enum else words.noun(),
        }  # fmt: skip
        made["default"] = words.pick((None, defaults[one.type]))
    if words.chance(0.04):
        made["examples"] = [words.random.randint(1, 50) if one.type == "integer" else words.noun()]


def _object(words: Words, one: Field, write: Callable[[Field], dict[str, Any]]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "object",
        "properties": {part.name: write(part) for part in one.inner},
    }
    required = [part.name for part in one.inner if part.required]
    if required and words.chance(0.8):
        made["required"] = required
    return made


def _by_hand(words: Words, fields: list[Field]) -> dict[str, Any]:
    shuffle, extras = words.chance(0.25), words.chance(0.4)

    def write(one: Field) -> dict[str, Any]:
        made = _object(words, one, write) if one.inner else _plain(one)
        if one.description:
            made["description"] = one.description
        if extras:
            _extras(words, one, made)
        return _shuffled(words, made) if shuffle else made

    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: write(one) for one in fields},
    }
    required = [one.name for one in fields if one.required]
    if required and words.chance(0.85):
        parameters["required"] = required
    elif words.chance(0.3):
        parameters["required"] = []
    return _shuffled(words, parameters) if shuffle else parameters


def _zod(words: Words, fields: list[Field]) -> dict[str, Any]:
    limits, schema = words.chance(0.6), words.chance(0.8)

    def write(one: Field) -> dict[str, Any]:
        made = _object(words, one, write) if one.inner else _plain(one)
        if one.inner:
            made["additionalProperties"] = False
        if one.type == "integer" and limits:
            made["minimum"], made["maximum"] = words.pick((-LIMIT, 0, 1)), LIMIT
        if one.description:
            made["description"] = one.description
        return made

    parameters: dict[str, Any] = {
        "type": "object",
        "properties": {one.name: write(one) for one in fields},
    }
    required = [one.name for one in fields if one.required]
    tail: dict[str, Any] = {"required": required} if required else {}
    tail["additionalProperties"] = False
    if schema:
        tail["$schema"] = words.pick(
            (JSON_SCHEMA, JSON_SCHEMA, "https://json-schema.org/draft/2020-12/schema")
        )
    if words.chance(0.5):
        tail = _shuffled(words, tail)
    if schema and words.chance(0.3):
        return {"$schema": tail.pop("$schema"), **parameters, **tail}
    return parameters | tail


def _pydantic(words: Words, fields: list[Field]) -> dict[str, Any]:
    titles, closed = words.chance(0.7), words.chance(0.3)
    name = "".join(part.capitalize() for part in spoken(words.noun()).split())

    def write(one: Field) -> dict[str, Any]:
        made = _object(words, one, write) if one.inner else _plain(one)
        if not one.required and not one.inner:
            made = {"anyOf": [made, {"type": "null"}], "default": None}
        if one.description:
            made["description"] = one.description
        if titles:
            made["title"] = spoken(one.name).title()
        return dict(sorted(made.items()))

    parameters: dict[str, Any] = {"properties": {one.name: write(one) for one in fields}}
    if closed:
        parameters["additionalProperties"] = False
    required = [one.name for one in fields if one.required]
    if required:
        parameters["required"] = required
    if titles:
        parameters["title"] = f"{name}{words.pick(('', 'Arguments', '_args', 'Input', 'Schema'))}"
    parameters["type"] = "object"
    return dict(sorted(parameters.items())) if closed else parameters


def _strict(words: Words, fields: list[Field]) -> dict[str, Any]:
    def write(one: Field) -> dict[str, Any]:
        made = _object(words, one, write) if one.inner else _plain(one)
        if one.inner:
            made["additionalProperties"] = False
        elif not one.required:
            made["type"] = [one.type, "null"]
        if one.description:
            made["description"] = one.description
        return made

    parameters = {
        "type": "object",
        "properties": {one.name: write(one) for one in fields},
        "required": [one.name for one in fields],
        "additionalProperties": False,
    }
    return _shuffled(words, parameters) if words.chance(0.3) else parameters


def _bare(words: Words, fields: list[Field]) -> dict[str, Any]:
    def write(one: Field) -> dict[str, Any]:
        made = _object(words, one, write) if one.inner else _plain(one)
        if one.description:
            made = {"description": one.description, **made}
        return made

    parameters: dict[str, Any] = {"properties": {one.name: write(one) for one in fields}}
    required = [one.name for one in fields if one.required]
    if required and words.chance(0.8):
        parameters["required"] = required
    return parameters | {"type": "object"}


Writer = Callable[[Words, list[Field]], dict[str, Any]]
WRITERS: Final[tuple[Writer, ...]] = (
    _by_hand, _by_hand, _by_hand, _by_hand, _zod, _zod, _pydantic, _pydantic, _strict, _bare,
)  # fmt: skip


def schema(
    words: Words, write: Writer, name: str, description: str, fields: list[Field]
) -> dict[str, Any]:
    """Write a tool as the OpenAI API has it.

    Args:
        words: what draws.
        write: how the client's library writes schemas.
        name: the tool's.
        description: the tool's; "" for none.
        fields: its parameters.
    """
    function: dict[str, Any] = {"name": name}
    if description:
        function["description"] = description
    if fields:
        function["parameters"] = write(words, fields)
    elif words.chance(0.8):
        function["parameters"] = _without(words, write)
    return {"type": "function", "function": function}


def _without(words: Words, write: Writer) -> dict[str, Any]:
    """Write the schema of a tool without parameters."""
    parameters: dict[str, Any] = {"type": "object", "properties": {}}
    if words.chance(0.4):
        parameters["required"] = []
    if write in (_zod, _strict):
        parameters["additionalProperties"] = False
    if write is _zod and words.chance(0.6):
        parameters["$schema"] = JSON_SCHEMA
    return _shuffled(words, parameters) if words.chance(0.3) else parameters

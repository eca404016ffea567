"""Which type an argument has, and its JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.engines.sglang.plugins.glm.schema import ALL_TYPES, allowed_for
from launcher.engines.sglang.plugins.glm.values import may_be_json, to_json

NODE = {
    "$defs": {
        "Node": {"type": "object", "properties": {"v": {"$ref": "#/$defs/V"}}},
        "V": {"type": "integer"},
    },
    "properties": {"node": {"$ref": "#/$defs/Node"}},
}


def of(schema: dict[str, Any], text: str, **root: Any) -> str:
    return to_json(text, allowed_for({"properties": {"a": schema}, **root}, "a"))


@pytest.mark.parametrize(
    ("schema", "types"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["integer", "null"]}, {"number", "null"}),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, {"number", "null"}),
        ({"oneOf": [{"const": "a"}, {"const": 1}]}, {"string", "number"}),
        ({"allOf": [{"type": ["string", "null"]}, {"type": "string"}]}, {"string"}),
        ({"enum": ["a", None]}, {"string", "null"}),
        ({"enum": [1, 2]}, {"number"}),
        ({"type": "string", "nullable": True}, {"string", "null"}),
        ({"$ref": "#/$defs/Text"}, {"string"}),
        ({"$ref": "#/$defs/Text", "default": "x"}, {"string"}),
        ({"anyOf": [{"$ref": "#/$defs/Text"}, {"type": "null"}]}, {"string", "null"}),
        ({"$ref": "#/definitions/a~1b"}, {"boolean"}),
        ({"$ref": "#/$defs/Loop"}, ALL_TYPES),
        ({"$ref": "https://example.org/schema"}, ALL_TYPES),
        ({"properties": {"x": {}}}, {"object"}),
        ({"items": {}}, {"array"}),
        ({}, ALL_TYPES),
        ({"type": "banana"}, ALL_TYPES),
        (True, ALL_TYPES),
        ({"type": "string", "const": 5}, ALL_TYPES),
    ],
)
def test_a_schema_allows(schema: Any, types: set[str]) -> None:
    root = {
        "properties": {"a": schema},
        "$defs": {"Text": {"type": "string"}, "Loop": {"$ref": "#/$defs/Loop"}},
        "definitions": {"a/b": {"type": "boolean"}},
    }
    assert allowed_for(root, "a").types == types


@pytest.mark.parametrize(
    "parameters",
    [
        {"$ref": "#/$defs/All", "$defs": {"All": {"properties": {"a": {"type": "integer"}}}}},
        {"allOf": [{"properties": {"a": {"type": "integer"}}}]},
        {"oneOf": [{"properties": {"a": {"type": "integer"}}}, {"properties": {"b": {}}}]},
        {"patternProperties": {"^a$": {"type": "integer"}}},
        {"additionalProperties": {"type": "integer"}},
    ],
)
def test_a_parameter_is_found_wherever_the_schema_has_it(parameters: dict[str, Any]) -> None:
    assert allowed_for(parameters, "a").types == {"number"}


@pytest.mark.parametrize(
    "parameters", [None, "text", [], {"properties": []}, {"properties": {"a": 3}}]
)
def test_what_is_no_schema_allows_everything(parameters: Any) -> None:
    assert allowed_for(parameters, "a").types == ALL_TYPES


def test_a_schema_that_nests_without_end_allows_everything() -> None:
    schema: dict[str, Any] = {}
    for _ in range(500):
        schema = {"anyOf": [schema]}
    assert allowed_for({"properties": {"a": schema}}, "a").types == ALL_TYPES


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "1e5", '"1e5"'),
        ({"type": "string"}, '"x"', r'"\"x\""'),
        ({"type": "number"}, "1e5", "1e5"),
        ({"type": "integer"}, " 12345678901234567890123 ", "12345678901234567890123"),
        ({"type": "integer"}, "9" * 5000, "9" * 5000),
        ({"type": "integer"}, '"5"', "5"),
        ({"type": "integer"}, "123_456", '"123_456"'),
        ({"type": "number"}, "NaN", '"NaN"'),
        ({"type": "boolean"}, "True", "true"),
        ({"type": ["boolean", "null"]}, "None", "null"),
        ({"type": "object"}, "{'a': None}", '{"a": null}'),
        ({"type": "array"}, r"[{\"a\": 1}]", '[{"a": 1}]'),
        ({"type": "array"}, '["a\nb"]', r'["a\nb"]'),
        ({"type": "object"}, "{1, 2}", '"{1, 2}"'),
        ({"type": "object"}, "[1]", "[1]"),
        ({"type": ["string", "null"]}, "null", "null"),
        ({"type": ["string", "null"]}, " null", '" null"'),
        ({"type": ["string", "integer"]}, "5", "5"),
        ({"type": ["string", "integer"]}, "5 apples", '"5 apples"'),
        ({"enum": ["5", 6]}, "5", '"5"'),
        ({"enum": ["5", 6]}, "6", "6"),
        ({}, "007", '"007"'),
        ({}, '"x"', r'"\"x\""'),
        ({}, "[1, 2]", "[1, 2]"),
    ],
)
def test_a_value_becomes(schema: dict[str, Any], text: str, value: str) -> None:
    assert of(schema, text) == value


def test_deep_nesting_is_text_and_no_failure() -> None:
    assert of({"type": "array"}, "[" * 100_000) == json.dumps("[" * 100_000)


@given(st.text(), st.sampled_from(sorted(ALL_TYPES)), st.booleans())
def test_every_value_is_json_and_no_text_is_lost(text: str, kind: str, also_text: bool) -> None:  # noqa: FBT001
    schema = {"type": [kind, "string"] if also_text else kind}
    value = json.loads(of(schema, text))
    if isinstance(value, str) and "string" in schema["type"]:
        assert value == text


@given(st.text(min_size=1), st.sampled_from(sorted(ALL_TYPES)), st.data())
def test_what_was_taken_for_text_early_is_text_in_the_end(
    text: str, kind: str, data: st.DataObject
) -> None:
    allowed = allowed_for({"properties": {"a": {"type": [kind, "string"]}}}, "a")
    length = data.draw(st.integers(1, len(text)))
    if not may_be_json(text[:length], allowed):
        assert json.loads(to_json(text, allowed)) == text

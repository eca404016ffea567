"""References in a schema, put in their places."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, Field

from clients import tool
from clients.tools.schema import is_recursive


class Street(BaseModel):
    """Innermost."""

    title: str


class Place(BaseModel):
    """Holds another one."""

    street: Street
    former: list[Street] = []


class Node(BaseModel):
    """Holds itself."""

    inner: Node | None = None


@tool
def go(place: Annotated[Place, Field(description="where to")], other: Place | None = None) -> None:
    """Go there."""


@tool
def walk(node: Node, place: Place) -> None:
    """Walk it."""


def parameters(function: Any) -> dict[str, Any]:
    found: dict[str, Any] = function.definition()["function"]["parameters"]
    return found


def test_nested_types_stand_where_they_are_used() -> None:
    schema = parameters(go)
    assert "$ref" not in json.dumps(schema)
    assert "$defs" not in schema
    assert schema["properties"]["place"]["description"] == "where to"
    street = schema["properties"]["place"]["properties"]["street"]
    assert street["properties"]["title"]["type"] == "string", "a parameter may be called title"
    assert schema["properties"]["other"]["anyOf"][0]["properties"]["former"]["type"] == "array"
    assert not is_recursive(schema)


def test_a_type_that_holds_itself_keeps_its_reference_and_nothing_else_does() -> None:
    schema = parameters(walk)
    assert list(schema["$defs"]) == ["Node"]
    assert set(json.dumps(schema).split("#/$defs/")[1:][0].split('"')[:1]) == {"Node"}
    assert "street" in schema["properties"]["place"]["properties"]
    assert is_recursive(schema)

"""What `parse` takes for a type."""

from __future__ import annotations

import dataclasses
import json
import re
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, RootModel
from typing_extensions import TypedDict

from clients import ConfigurationError, StructuredOutputError
from tests.unit.clients import wire
from tests.unit.clients.wire import Server, answered


class Point(BaseModel):
    """A model."""

    x: int


class Line(BaseModel):
    """A model that holds another one."""

    ends: list[Point]


class Node(BaseModel):
    """A model that holds itself."""

    inner: Node | None = None


class Numbers(RootModel[list[int]]):
    """A model that is no object."""


class Cat(BaseModel):
    """One of two."""

    kind: Literal["cat"]


class Dog(BaseModel):
    """The other one."""

    kind: Literal["dog"]


@dataclasses.dataclass
class Pair:
    """A dataclass."""

    a: int
    b: str


class Typed(TypedDict):
    """A TypedDict."""

    a: int


@pytest.mark.parametrize(
    ("shape", "content", "value"),
    [
        (Point, {"x": 1}, Point(x=1)),
        (Line, {"ends": [{"x": 1}]}, Line(ends=[Point(x=1)])),
        (Node, {"inner": {"inner": None}}, Node(inner=Node())),
        (Pair, {"a": 1, "b": "x"}, Pair(1, "x")),
        (Typed, {"a": 1}, {"a": 1}),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (Numbers, {"answer": [1]}, Numbers([1])),
        (list[int], {"answer": [1, 2]}, [1, 2]),
        (list[Point], {"answer": [{"x": 1}]}, [Point(x=1)]),
        (list[Node], {"answer": [{}]}, [Node()]),
        (Literal["a", "b"], {"answer": "b"}, "b"),
        (int | None, {"answer": None}, None),
        (int, {"answer": 5}, 5),
        (str, {"answer": "text"}, "text"),
        (bool, {"answer": False}, False),
        (tuple[int, str], {"answer": [1, "x"]}, (1, "x")),
        (Cat | Dog, {"answer": {"kind": "dog"}}, Dog(kind="dog")),
        (Annotated[int, Field(ge=1)], {"answer": 3}, 3),
    ],
    ids=str,
)
def test_a_value_of_any_type_that_pydantic_knows(
    shape: Any, content: object, value: object
) -> None:
    server = Server(answered(wire.completion(json.dumps(content))))
    assert server.client().parse("Give one", shape) == value
    sent = server.body["response_format"]["json_schema"]
    assert sent["schema"]["type"] == "object", "the API wants an object at the top"
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", sent["name"])
    for name in re.findall(r"#/\$defs/(\w+)", json.dumps(sent)):
        assert name in sent["schema"]["$defs"]


def test_a_server_that_does_not_wrap_the_value_is_understood() -> None:
    server = Server(answered(wire.completion("[1, 2]")))
    assert server.client().parse("Two numbers", list[int]) == [1, 2]


@pytest.mark.parametrize(
    "shape",
    [5, "Point", None, {"type": "object"}, Point(x=1), lambda: 1, object(), type("Bare", (), {})],
    ids=lambda shape: type(shape).__name__,
)
def test_what_is_no_type_is_refused_before_anything_is_sent(shape: Any) -> None:
    server = Server(answered(wire.completion("{}")))
    with pytest.raises(ConfigurationError) as caught:
        server.client().parse("Hi", shape)
    assert caught.value.action
    assert server.requests == []


def test_the_last_answer_names_why_it_is_empty() -> None:
    server = Server(answered(wire.completion("", finish_reason="abort")))
    with pytest.raises(StructuredOutputError, match=r"No list\[int\] after 1 tries.*aborted"):
        server.client().parse("Hi", list[int], retries=0)


def test_a_type_as_response_format_is_told_of_parse() -> None:
    with pytest.raises(ConfigurationError, match=r"parse\(messages, Point\)"):
        Server(answered({})).client().chat("Hi", response_format=Point)  # type: ignore[arg-type]

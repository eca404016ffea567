"""`tool_choice`: how it is said, and an answer without the call that was demanded."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from clients import ConfigurationError, MissingToolCallError, tool
from tests.unit.clients import wire
from tests.unit.clients.wire import Json, Server, answered, streamed


@tool
def order(count: int) -> str:
    """Order some."""
    return f"{count} ordered"


def cancel(reason: str) -> str:
    """Cancel it."""
    return reason


class Node(BaseModel):
    """It holds itself."""

    inner: Node | None = None


def walk(node: Node) -> None:
    """Walk it."""


def called(name: str = "order", arguments: str = '{"count": 1}') -> httpx.Response:
    calls = [wire.call(0, "c1", name, arguments)]
    return answered(wire.completion("", tool_calls=calls, finish_reason="tool_calls"))


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ("order", {"type": "function", "function": {"name": "order"}}),
        (order, {"type": "function", "function": {"name": "order"}}),
        (
            {"type": "function", "function": {"name": "order"}},
            {"type": "function", "function": {"name": "order"}},
        ),
    ],
)
def test_a_choice_is_a_word_a_name_or_a_tool(choice: Any, sent: object) -> None:
    server = Server(called())
    server.client().chat("Go", tools=[order, cancel], tool_choice=choice)
    assert server.body["tool_choice"] == sent
    assert [each["function"]["name"] for each in server.body["tools"]] == ["order", "cancel"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tools": [order], "tool_choice": "oder"}, "the tools are: order. Did you mean 'order'"),
        ({"tools": [order], "tool_choice": "any"}, "the tools are: order"),
        ({"tools": [order], "tool_choice": cancel}, "tool_choice is 'cancel'"),
        ({"tool_choice": "order"}, "the tools are: none"),
        ({"tool_choice": "required"}, "there are no tools"),
        ({"tools": [walk], "tool_choice": "walk"}, "contain themselves"),
        ({"tools": order}, "it is a list"),
        ({"tools": [5]}, "A int is no tool"),
        ({"tools": [Node]}, r"parse(messages, Node)"),
        ({"tools": [lambda text: text]}, "Use a named function"),
    ],
)
def test_a_choice_that_cannot_be_met_is_refused_before_anything_is_sent(
    options: Json, words: str
) -> None:
    server = Server(called())
    with pytest.raises(ConfigurationError) as caught:
        server.client().chat("Go", **options)
    assert words in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize(
    ("choice", "response", "words"),
    [
        ("required", answered(wire.completion("Sure.")), "answered in text (5 characters)"),
        ("required", answered(wire.completion("[{", finish_reason="length")), "cut off"),
        ("required", answered(wire.completion("", thoughts="Hm.")), "as reasoning"),
        ("order", called("cancel", "{}"), "cancel was called instead"),
    ],
)
def test_a_demanded_call_that_did_not_come_is_told(
    choice: str, response: httpx.Response, words: str
) -> None:
    with pytest.raises(MissingToolCallError) as caught:
        Server(response).client().chat("Go", tools=[order, cancel], tool_choice=choice)
    assert words in str(caught.value)
    assert caught.value.reply.request_id


def test_a_stream_tells_it_with_its_whole_reply() -> None:
    body = wire.sse(wire.role(), wire.content("Sure."), wire.finish())
    with Server(streamed(body)).client().stream("Go", tools=[order], tool_choice="order") as stream:
        list(stream)
        with pytest.raises(MissingToolCallError, match="demanded a call of order"):
            stream.reply()
        assert stream.partial().content == "Sure."


def test_a_run_demands_a_call_once_and_then_lets_the_model_end() -> None:
    server = Server(called(), answered(wire.completion("Done.")))
    run = server.client().run_tools("Go", [order], tool_choice="required")
    assert run.reply.content == "Done."
    assert "tool_choice" not in server.body


def test_plain_functions_run() -> None:
    server = Server(called("cancel", '{"reason": "late"}'), answered(wire.completion("Done.")))
    run = server.client().run_tools("Go", [cancel, order])
    assert run.results[0][0].content == "late"


@pytest.mark.parametrize("tools", [cancel, order, [], [cancel, cancel], [{"type": "function"}]])
def test_what_cannot_be_run_is_refused_before_anything_is_sent(tools: Any) -> None:
    server = Server(called())
    with pytest.raises(ConfigurationError):
        server.client().run_tools("Go", tools)
    assert server.requests == []

"""Tools: schema, arguments as SGLang's glm45 parser garbles them, and the loop.

`recorded/glm45_calls.json` holds what `Glm4MoeDetector` of SGLang gave for the model's text
of one or two calls, streamed and whole: [index, name, arguments] for each part.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from clients import (
    ArgumentsLost,
    AsyncChatClient,
    ConfigurationError,
    EmptyAnswerError,
    Repair,
    RunEvent,
    StructuredOutputError,
    ToolCall,
    ToolRoundsError,
    tool,
)
from clients.tools.arguments import ArgumentsError, check_arguments
from tests.unit.clients import wire
from tests.unit.clients.wire import MODEL, URL, Server, answered, streamed

RECORDED: dict[str, Any] = json.loads(
    (Path(__file__).parent / "recorded" / "glm45_calls.json").read_text(encoding="utf-8")
)


@tool
def order(count: int, note: str = "") -> str:
    """Order some.

    It is not paid yet.

    Args:
        count: how many,
            at least one.
        note: for the kitchen.
    """
    if count < 1:
        raise ValueError("too few")
    return f"{count} ordered {note}".strip()


@tool
def name_it(name: str) -> str:
    """Name it."""
    return name


def called(text: str, name: str = "order", call_id: str = "c1") -> httpx.Response:
    calls = [wire.call(0, call_id, name, text)]
    return answered(wire.completion("", tool_calls=calls, finish_reason="tool_calls"))


def recorded_stream(name: str) -> str:
    return "".join(part[2] for part in RECORDED[name]["stream"])


def test_a_tool_is_described_by_its_types_and_docstring() -> None:
    definition: Any = order.definition()["function"]
    assert definition["name"] == "order"
    assert definition["description"] == "Order some.\n\nIt is not paid yet."
    assert definition["parameters"] == {
        "type": "object",
        "properties": {
            "count": {"type": "integer", "description": "how many, at least one."},
            "note": {"type": "string", "description": "for the kitchen.", "default": ""},
        },
        "required": ["count"],
        "additionalProperties": False,
    }
    assert order(2) == "2 ordered"


def test_a_function_without_types_is_no_tool() -> None:
    def bare(x):  # type: ignore[no-untyped-def]
        pass

    def many(*x: int) -> None:
        pass

    for function in (bare, many, lambda: None):
        with pytest.raises(ConfigurationError):
            tool(function)


@pytest.mark.parametrize("name", ["integer_without_a_type", "integer_behind_a_reference"])
def test_an_integer_that_came_as_text_is_read_and_reported(name: str) -> None:
    checked = check_arguments(order, ToolCall("c", "order", recorded_stream(name)))
    assert checked.values["count"] == 5
    assert checked.repairs == (Repair("count", '"5"', "5"),)


def test_an_integer_is_left_alone() -> None:
    checked = check_arguments(order, ToolCall("c", "order", recorded_stream("integer")))
    assert checked.values == {"count": 5, "note": ""}
    assert checked.repairs == ()


def test_digits_with_underscores_that_are_no_json_are_read() -> None:
    text = recorded_stream("integer_underscores")
    assert text == '{"count": 123_456}'
    checked = check_arguments(order, ToolCall("c", "order", text))
    assert checked.values["count"] == 123456
    assert checked.repairs == (Repair("count", "123_456", "123456"),)
    checked = check_arguments(name_it, ToolCall("c", "name_it", '{"name": 123_456}'))
    assert checked.values == {"name": "123_456"}


def test_text_that_became_a_number_is_text_again_and_reported() -> None:
    (text,) = RECORDED["text_underscores_typeless"]["whole"]
    checked = check_arguments(name_it, ToolCall("c", "name_it", text.replace("count", "name")))
    assert checked.values == {"name": "123456"}
    assert checked.repairs == (Repair("name", "123456", '"123456"'),)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "lost"),
        ("{}", "lost"),
        ('{"count": ', "malformed"),
        ("[1]", "malformed"),
        ('{"count": "many"}', "invalid"),
        ('{"count": 1, "other": 2}', "invalid"),
        ('{"count": 1.5}', "invalid"),
    ],
)
def test_what_does_not_fit_has_a_kind(text: str, kind: str) -> None:
    with pytest.raises(ArgumentsError) as caught:
        check_arguments(order, ToolCall("c", "order", text))
    assert caught.value.kind == kind


def test_the_loop_calls_and_goes_on_until_no_call_is_left() -> None:
    server = Server(called('{"count": "2"}'), answered(wire.completion("Done.")))
    events: list[RunEvent] = []
    run = server.client().run_tools("Two", [order], on_event=events.append)
    assert run.reply.content == "Done."
    ((result,),) = run.results
    assert (result.content, result.is_error) == ("2 ordered", False)
    assert result.repairs == (Repair("count", '"2"', "2"),)
    assert events == [result]
    sent = server.body["messages"]
    assert sent[1]["tool_calls"][0]["function"]["arguments"] == '{"count":2}'
    assert sent[2] == {"role": "tool", "tool_call_id": "c1", "content": "2 ordered"}
    assert run.messages[-1] == {"role": "assistant", "content": "Done."}


@pytest.mark.parametrize(
    ("response", "told"),
    [
        (called('{"count": 0}'), "ValueError: too few"),
        (called('{"count": "x"}'), "count: Input should be a valid integer"),
        (called("{}", name="other"), "There is no tool 'other'; there are: order."),
    ],
)
def test_errors_of_a_tool_go_back_to_the_model(response: httpx.Response, told: str) -> None:
    server = Server(response, answered(wire.completion("Sorry.")))
    run = server.client().run_tools("Go", [order])
    ((result,),) = run.results
    assert result.is_error
    assert told in result.content
    assert server.body["messages"][-1]["content"] == result.content


def test_lost_arguments_are_asked_for_again_without_streaming() -> None:
    lost = wire.sse(
        wire.role(),
        wire.calls(wire.call(0, "a", "order"), wire.call(0, arguments='{"count": 1}')),
        wire.calls(wire.call(1, "b", "order")),
        wire.finish("tool_calls"),
    )
    server = Server(streamed(lost), called('{"count": 1}'), streamed(wire.sse(wire.finish())))
    events: list[RunEvent] = []
    run = server.client().run_tools("Go", [order], stream=True, on_event=events.append)
    assert run.repeated == 1
    assert [json.loads(each.content).get("stream") for each in server.requests] == [
        True,
        None,
        True,
    ]
    assert any(isinstance(event, ArgumentsLost) for event in events)
    assert run.results[0][0].content == "1 ordered"


def test_rounds_are_limited_and_the_run_is_kept() -> None:
    server = Server(called('{"count": 1}'))
    with pytest.raises(ToolRoundsError, match="After 2 rounds") as caught:
        server.client().run_tools("Go", [order], max_rounds=2)
    assert len(server.requests) == 3
    assert len(caught.value.run.results) == 2


def test_calls_of_one_round_run_at_once_in_the_async_client() -> None:
    async def go() -> list[str]:
        both = asyncio.Barrier(2)

        @tool
        async def meet(name: str) -> str:
            """Wait for the other one."""
            await asyncio.wait_for(both.wait(), 10)
            return name

        calls = [
            wire.call(0, "a", "meet", '{"name": "x"}'),
            wire.call(1, "b", "meet", '{"name": "y"}'),
        ]
        asked = wire.completion("", tool_calls=calls, finish_reason="tool_calls")
        server = Server(answered(asked), answered(wire.completion("Done.")))
        http_client = httpx.AsyncClient(transport=httpx.MockTransport(server))
        client = AsyncChatClient(URL, model=MODEL, http_client=http_client)
        run = await client.run_tools("Go", [meet])
        await http_client.aclose()
        return [result.content for result in run.results[0]]

    assert asyncio.run(go()) == ["x", "y"]


class Port(BaseModel):
    """What is asked for."""

    port: int


def test_an_answer_that_does_not_fit_is_asked_for_again_with_what_was_wrong() -> None:
    server = Server(
        answered(wire.completion('{"port": "x"}')), answered(wire.completion('{"port": 80}'))
    )
    assert server.client().parse("Which?", Port) == Port(port=80)
    assert "valid integer" in server.body["messages"][-1]["content"]
    assert server.body["response_format"]["json_schema"]["name"] == "Port"


def test_an_answer_wholly_as_reasoning_is_asked_for_again_without_thinking() -> None:
    garbled = answered(wire.completion("", thoughts='{"port": 80}'))
    server = Server(garbled, answered(wire.completion('{"port": 80}')))
    assert server.client().parse("Which?", Port, thinking=True) == Port(port=80)
    assert server.body["chat_template_kwargs"] == {"enable_thinking": False}
    server = Server(garbled, answered(wire.completion("80")))
    assert server.client().chat("Which?", on_empty="ask_again").content == "80"
    with pytest.raises(EmptyAnswerError) as caught:
        Server(garbled).client().chat("Which?", on_empty="raise")
    assert caught.value.reply.answer_in_reasoning


@pytest.mark.parametrize("thinking", [True, False])
def test_an_instance_comes_with_thinking_and_without(thinking: bool) -> None:  # noqa: FBT001
    thoughts = "The usual one." if thinking else None
    server = Server(answered(wire.completion('{"port": 80}', thoughts=thoughts)))
    assert server.client().parse("Which?", Port, thinking=thinking) == Port(port=80)
    assert server.body["chat_template_kwargs"] == {"enable_thinking": thinking}


def test_an_answer_that_was_cut_off_is_asked_for_again_more_briefly() -> None:
    cut = answered(wire.completion('{"po', finish_reason="length"))
    server = Server(cut, answered(wire.completion('{"port": 80}')))
    assert server.client().parse("Which?", Port) == Port(port=80)
    assert "cut off" in server.body["messages"][-1]["content"]


def test_tries_are_limited() -> None:
    server = Server(answered(wire.completion("no")))
    with pytest.raises(StructuredOutputError, match="No Port after 3 tries") as caught:
        server.client().parse("Which?", Port)
    assert (caught.value.tries, len(server.requests)) == (3, 3)

"""What people type who come from elsewhere: it works, or they are told what to type."""

from __future__ import annotations

from typing import Any

import pytest

from clients import AsyncChatClient, ChatClient, ConfigurationError, ToolCall, ToolResult
from tests.unit.clients import wire
from tests.unit.clients.wire import URL, Server, answered

CALLS = wire.completion(
    "",
    thoughts="Look it up.",
    tool_calls=[wire.call(0, "c1", "weather", '{"city": "Rome"}'), wire.call(1, "c2", "now", "")],
    finish_reason="tool_calls",
)


def order(count: int) -> str:
    """Order some."""
    return str(count)


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda c: c.chat("Hi", timeout=3), "timeouts is an option of the client"),
        (
            lambda c: c.chat("Hi", temprature=0),
            "chat() got an unknown option 'temprature'; did you mean 'temperature'?",
        ),
        (
            lambda c: c.chat("Hi", max_completion_tokens=1),
            "did you mean 'max_tokens'?",
        ),
        (
            lambda c: c.chat("Hi", top_k=1),
            "goes into extra: {'top_k': ...}",
        ),
        (
            lambda c: c.chat("Hi", stream=True),
            "stream() gives an answer as it is made",
        ),
        (
            lambda c: c.chat("Hi", logit_bias={}),
            "goes into extra",
        ),
        (
            lambda c: c.stream("Hi", on_empty="raise"),
            "stream() got an unknown option 'on_empty'",
        ),
        (
            lambda c: c.parse("Hi", int, retry=1),
            "parse() got an unknown option 'retry'; did you mean 'retries'?",
        ),
        (
            lambda c: c.parse("Hi", int, response_format={}),
            "parse() got an unknown option",
        ),
        (
            lambda c: c.run_tools("Hi", [order], max_round=1),
            "run_tools() got an unknown option 'max_round'; did you mean 'max_rounds'?",
        ),
    ],
)
def test_an_unknown_option_names_the_method_that_was_called(use: Any, words: str) -> None:
    server = Server(answered(wire.completion()))
    with pytest.raises(TypeError) as caught:
        use(server.client())
    assert words in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("client", [ChatClient, AsyncChatClient])
def test_an_unknown_option_of_a_client_names_its_class(client: Any) -> None:
    with pytest.raises(TypeError, match=rf"{client.__name__}\(\) got an unknown option 'timeout'"):
        client(URL, timeout=30)


def test_no_tokens_at_all_is_refused_since_a_server_takes_it_for_no_limit() -> None:
    server = Server(answered(wire.completion()))
    with pytest.raises(ConfigurationError, match="max_tokens is 0"):
        server.client().chat("Hi", max_tokens=0)
    assert server.requests == []


def test_an_answer_is_appended_as_it_is() -> None:
    server = Server(answered(CALLS), answered(wire.completion("Sunny.")))
    client = server.client()
    reply = client.chat("Weather?")
    result = ToolResult(reply.tool_calls[0], "25 degrees")
    client.chat([{"role": "user", "content": "Weather?"}, reply, result])
    sent = server.body["messages"]
    assert sent[1:] == [reply.as_message(), result.as_message()]
    assert sent[1]["reasoning_content"] == "Look it up."
    assert sent[1]["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city": "Rome"}',
    }
    assert sent[1]["tool_calls"][1]["function"]["arguments"] == "{}", "the template wants an object"
    assert sent[2] == {"role": "tool", "tool_call_id": "c1", "content": "25 degrees"}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        (["Hi"], "Message 0 of the conversation is plain text"),
        ([{"role": "user", "content": "Hi"}, ToolCall("a", "f", "{}")], "Message 1 .* a ToolCall"),
        ({"role": "user", "content": "Hi"}, "Put one message into a list"),
        (5, "messages is a int"),
    ],
)
def test_what_is_no_message_is_refused_before_anything_is_sent(messages: Any, words: str) -> None:
    server = Server(answered(wire.completion()))
    with pytest.raises(ConfigurationError, match=words):
        server.client().chat(messages)
    assert server.requests == []

"""An answer without text: its true cause, and what `on_empty` makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from clients import ConfigurationError, EmptyAnswerError
from tests.unit.clients import wire
from tests.unit.clients.wire import Json, Server, answered

NOTHING = wire.completion("", counts={**wire.USAGE, "completion_tokens": 2, "reasoning_tokens": 0})
THOUGHTS = wire.completion("", thoughts="Hm.")


def stopped(text: str, **fields: Any) -> Json:
    body = wire.completion("", **fields)
    body["choices"][0]["matched_stop"] = text
    return body


@pytest.mark.parametrize(
    ("body", "cause", "words"),
    [
        (THOUGHTS, "reasoning", "all of it came as reasoning (3 characters)"),
        (
            wire.completion("", thoughts="Hm", finish_reason="length"),
            "cut_off_in_reasoning",
            "within its reasoning",
        ),
        (wire.completion("", finish_reason="length"), "cut_off", "at its token limit"),
        (stopped("\n"), "stop_text", r"the stop text '\n' stood at its very start"),
        (stopped("m", thoughts="H"), "stop_text", "in its reasoning"),
        (wire.completion("", finish_reason="abort"), "aborted", "aborted on the server"),
        (wire.completion("", finish_reason="content_filter"), "filtered", "content filter"),
        (wire.completion(" \n "), "blank", "white space"),
        (wire.completion(""), "ended_at_once", "ended it at once"),
        (
            wire.completion("", counts={**wire.USAGE, "completion_tokens": 40}),
            "dropped",
            "sent none of them",
        ),
        (wire.completion("", finish_reason="tool_calls"), "dropped", "sent none of them"),
        (NOTHING, "ended_at_once", "ended it at once"),
        (wire.completion("", finish_reason=None), "unfinished", "no finish reason"),
    ],
)
def test_an_empty_answer_names_its_true_cause(body: Json, cause: str, words: str) -> None:
    reply = Server(answered(body)).client().chat("Hi")
    assert (reply.empty_cause, reply.is_empty) == (cause, True)
    assert reply.answer_in_reasoning is (cause == "reasoning")
    with pytest.raises(EmptyAnswerError) as caught:
        Server(answered(body)).client().chat("Hi", on_empty="raise")
    assert caught.value.cause == cause
    assert words in str(caught.value)
    assert caught.value.action


def test_a_tool_call_is_an_answer() -> None:
    calls = [wire.call(0, "a", "weather", "{}")]
    body = wire.completion("", tool_calls=calls, finish_reason="tool_calls")
    reply = Server(answered(body)).client().chat("Hi", on_empty="raise")
    assert (reply.empty_cause, reply.is_empty) == ("tool_call", False)


@pytest.mark.parametrize("second", [NOTHING, THOUGHTS, wire.completion("", finish_reason="length")])
def test_a_second_answer_that_is_empty_too_raises(second: Json) -> None:
    server = Server(answered(THOUGHTS), answered(second))
    with pytest.raises(EmptyAnswerError, match="asked 2 times"):
        server.client().chat("Hi", on_empty="ask_again")
    assert len(server.requests) == 2


@pytest.mark.parametrize("first", [NOTHING, wire.completion("", finish_reason="length")])
def test_every_empty_answer_is_asked_for_again(first: Json) -> None:
    server = Server(answered(first), answered(wire.completion("42")))
    assert server.client().chat("Hi", on_empty="ask_again").content == "42"
    assert server.body["chat_template_kwargs"] == {"enable_thinking": False}


def test_what_somebody_ended_is_not_asked_for_again() -> None:
    server = Server(answered(wire.completion("", finish_reason="abort")))
    with pytest.raises(EmptyAnswerError, match="aborted"):
        server.client().chat("Hi", on_empty="ask_again")
    assert len(server.requests) == 1


def test_a_wrong_word_for_on_empty_is_refused() -> None:
    server = Server(answered(THOUGHTS))
    with pytest.raises(ConfigurationError, match="'keep', 'ask_again', 'raise'"):
        server.client().chat("Hi", on_empty="retry")  # type: ignore[arg-type]
    assert server.requests == []

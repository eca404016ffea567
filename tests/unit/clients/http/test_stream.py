"""The client against recorded streams."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import (
    Acceptance,
    BadRequestError,
    BrokenStreamError,
    ChatReply,
    ContentDelta,
    Done,
    ReasoningDelta,
    RequestTimeoutError,
    ServiceUnavailableError,
    Started,
    StreamClosedError,
    StreamEvent,
    Timings,
    ToolArgumentsDelta,
    ToolCall,
    ToolCallDone,
    ToolCallStarted,
    Usage,
)
from tests.unit.clients import wire
from tests.unit.clients.wire import MODEL, REQUEST_ID, Body, Server, answered, streamed

if TYPE_CHECKING:
    from collections.abc import Iterator

STARTED = Started(REQUEST_ID, MODEL)
USAGE = Usage(11, 7, 18, reasoning_tokens=3)
HELLO = wire.sse(
    wire.role(),
    wire.reasoning("Gre"),
    wire.reasoning("et."),
    wire.content("Hel"),
    wire.content("lo."),
    wire.finish(),
    wire.usage(),
)
TWO_CALLS = wire.sse(
    wire.role(),
    wire.content_beside_tools("Let me look."),
    wire.calls(wire.call(0, "call_a", "weather")),
    wire.calls(wire.call(0, arguments='{"city": ')),
    wire.calls(
        wire.call(0, arguments='"Zürich"}'),
        wire.call(1, "call_b", "time", arguments='{"zone": "U'),
    ),
    wire.calls(wire.call(1, arguments='TC"}')),
    wire.finish("tool_calls"),
    wire.usage(),
)


def events_of(body: bytes) -> list[StreamEvent]:
    with Server(streamed(body)).client().stream("Hi") as stream:
        return list(stream)


def reply_of(body: Body | bytes) -> ChatReply:
    return Server(streamed(body)).client().stream("Hi").reply()


def test_events_come_in_order() -> None:
    assert events_of(HELLO) == [
        STARTED,
        ReasoningDelta("Gre"),
        ReasoningDelta("et."),
        ContentDelta("Hel"),
        ContentDelta("lo."),
        USAGE,
        Done("stop"),
    ]


def test_usage_is_asked_for() -> None:
    server = Server(streamed(HELLO))
    server.client().stream("Hi", thinking=False, max_tokens=3).reply()
    assert server.body["stream"] is True
    assert server.body["stream_options"] == {"include_usage": True}
    assert server.body["chat_template_kwargs"] == {"enable_thinking": False}


def test_streamed_reply_is_the_reply() -> None:
    whole = Server(answered(wire.completion("Hello.", thoughts="Greet."))).client().chat("Hi")
    streamed_reply = reply_of(HELLO)
    # Both clocks stand still; only a stream sees the first token.
    assert whole.timings == Timings(0.0)
    assert streamed_reply.timings == Timings(0.0, 0.0, 0.0)
    assert [getattr(streamed_reply, name) for name in ChatReply.__slots__ if name != "timings"] == [
        getattr(whole, name) for name in ChatReply.__slots__ if name != "timings"
    ]


def test_reply_takes_up_where_the_caller_stopped_reading() -> None:
    half = HELLO.index(b"lo.")
    body = Body([HELLO[:half], HELLO[half:]])
    with Server(streamed(body)).client().stream("Hi") as stream:
        assert [next(stream) for _ in range(4)][-1] == ContentDelta("Hel")
        assert stream.partial().content == "Hel"
        assert stream.partial().finish_reason is None
        assert stream.reply().content == "Hello."
    assert stream.reply().content == "Hello."
    assert list(stream) == []


def test_tool_calls_split_anywhere_and_several_in_one_chunk() -> None:
    assert events_of(TWO_CALLS)[2:-2] == [
        ToolCallStarted(0, "call_a", "weather"),
        ToolArgumentsDelta(0, '{"city": '),
        ToolArgumentsDelta(0, '"Zürich"}'),
        ToolCallDone(0, "call_a", "weather", '{"city": "Zürich"}'),
        ToolCallStarted(1, "call_b", "time"),
        ToolArgumentsDelta(1, '{"zone": "U'),
        ToolArgumentsDelta(1, 'TC"}'),
        ToolCallDone(1, "call_b", "time", '{"zone": "UTC"}'),
    ]
    reply = reply_of(TWO_CALLS)
    assert reply.content == "Let me look."
    assert reply.finish_reason == "tool_calls"
    assert reply.tool_calls == (
        ToolCall("call_a", "weather", '{"city": "Zürich"}'),
        ToolCall("call_b", "time", '{"zone": "UTC"}'),
    )


def test_calls_without_an_index_are_told_apart_by_their_place() -> None:
    body = wire.sse(
        wire.calls(
            wire.call(None, "a", "f", arguments=None),
            wire.call(None, "b", "g", arguments={"x": 1}),
        ),
        wire.finish("tool_calls"),
    )
    assert reply_of(body).tool_calls == (ToolCall("a", "f", ""), ToolCall("b", "g", '{"x": 1}'))


@settings(deadline=None)
@given(st.data(), st.sampled_from([HELLO, TWO_CALLS]))
def test_any_split_of_the_bytes_gives_the_same_reply(data: st.DataObject, body: bytes) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=20)))
    parts = [body[start:end] for start, end in itertools.pairwise([0, *cuts, len(body)])]
    assert reply_of(Body(parts)) == reply_of(body)


@settings(deadline=None)
@given(st.text(), st.text(), st.integers(1, 9))
def test_any_split_of_the_text_gives_the_same_reply(thoughts: str, text: str, width: int) -> None:
    body = wire.sse(
        wire.role(),
        *(wire.reasoning(thoughts[n : n + width]) for n in range(0, len(thoughts), width)),
        *(wire.content(text[n : n + width]) for n in range(0, len(text), width)),
        wire.finish(),
        wire.usage(),
    )
    reply = reply_of(body)
    read = (thoughts.removeprefix("\n"), text.removeprefix("\n"))
    assert (reply.reasoning, reply.content) == read


def test_whole_answer_as_reasoning_is_not_lost() -> None:
    reply = reply_of(wire.sse(wire.role(), wire.reasoning("42"), wire.finish(), wire.usage()))
    assert (reply.content, reply.reasoning, reply.finish_reason) == ("", "42", "stop")


def test_reasoning_is_read_under_its_other_name() -> None:
    body = wire.sse(wire.role(), wire.reasoning("42", name="reasoning"), wire.finish())
    assert reply_of(body).reasoning == "42"


def test_what_carries_no_news_gives_no_event() -> None:
    other_choice = wire.chunk(wire.choice({"content": "other"}, index=1))
    body = wire.sse(wire.role(), other_choice, wire.finish("abort"), wire.spec_details())
    assert events_of(b": ping\n\n" + body) == [STARTED, Acceptance(2.5, 0.5, 4), Done("abort")]
    assert reply_of(body).usage is None


def test_timings_are_those_of_the_clock() -> None:
    now_ns = 1_000_000_000

    def parts() -> Iterator[bytes]:
        nonlocal now_ns
        now_ns = 1_500_000_000
        yield HELLO[:800]
        now_ns = 4_500_000_000
        yield HELLO[800:]

    server = Server(streamed(Body(parts())))
    stream = server.client(clock_ns=lambda: now_ns).stream("Hi")
    assert stream.reply().timings == Timings(
        total_seconds=3.5,
        time_to_first_token_seconds=0.5,
        time_per_output_token_seconds=0.5,  # 3 s for the 6 tokens after the first
    )


def test_the_line_break_that_begins_an_answer_is_no_event() -> None:
    pieces = ("\n", "Hel", "lo.", "\n")
    body = wire.sse(wire.role(), *map(wire.content, pieces), wire.finish())
    assert events_of(body)[1:-1] == [ContentDelta("Hel"), ContentDelta("lo."), ContentDelta("\n")]


@pytest.mark.parametrize(
    "first",
    [wire.reasoning("x"), wire.calls(wire.call(0, "a", "f")), wire.content("\n")],
)
def test_first_token_may_be_of_any_kind(first: wire.Json) -> None:
    now_ns = 0

    def parts() -> Iterator[bytes]:
        nonlocal now_ns
        now_ns = 1_000_000_000
        yield wire.sse(wire.role(), first, done=False)
        now_ns = 2_000_000_000
        yield wire.sse(wire.content("later"), wire.finish())

    stream = Server(streamed(Body(parts()))).client(clock_ns=lambda: now_ns).stream("Hi")
    assert stream.reply().timings.time_to_first_token_seconds == 1.0


def test_leaving_early_closes_the_connection() -> None:
    body = Body(iter([HELLO[:700], HELLO[700:]]))
    with Server(streamed(body)).client().stream("Hi") as stream:
        next(stream)
        was_closed = body.closed
    assert (was_closed, body.closed) == (False, True)
    assert list(stream) == []
    assert stream.partial().request_id == REQUEST_ID
    with pytest.raises(StreamClosedError):
        stream.reply()


def test_leaving_before_the_first_event_closes_the_connection() -> None:
    body = Body([HELLO])
    with Server(streamed(body)).client().stream("Hi"):
        pass
    assert body.closed


def test_reading_to_the_end_closes_the_connection_without_a_block() -> None:
    body = Body([HELLO])
    reply_of(body)
    assert body.closed


@pytest.mark.parametrize(
    ("tail", "failure", "reason"),
    [
        (b"", httpx.RemoteProtocolError("peer closed connection"), "connection_lost"),
        (b"", httpx.ReadError("reset"), "connection_lost"),
        (b"", httpx.ReadTimeout("slow"), "between_tokens"),
        (b"", None, "incomplete"),
        (b"data: [DONE]\n\n", None, "incomplete"),
        (b'data: {"choi\n\n', None, "malformed"),
        (b"data: 42\n\n", None, "malformed"),
        (b'data: {"id": "x"}\n\n', None, "malformed"),
        (wire.sse(wire.error_event(500, "Boom.")), None, "server_error"),
        (b'data: {"error": "Boom."}\n\n', None, "server_error"),
    ],
)
def test_broken_stream_keeps_what_had_arrived(
    tail: bytes, failure: Exception | None, reason: str
) -> None:
    head = wire.sse(wire.role(), wire.reasoning("Greet."), wire.content("Hel"), done=False)
    body = Body([head, tail], failure)
    server = Server(streamed(body))
    stream = server.client(retries=2).stream("Hi")
    with pytest.raises(BrokenStreamError, match=reason if failure else None) as caught:
        list(stream)
    error = caught.value
    assert error.reason == ("timeout" if reason == "between_tokens" else reason)
    assert error.partial.content == "Hel"
    assert error.partial.reasoning == "Greet."
    assert error.partial.finish_reason is None
    assert error.request_id == REQUEST_ID
    assert body.closed
    assert len(server.requests) == 1, "a stream that has begun is never repeated"
    with pytest.raises(BrokenStreamError):
        stream.reply()


def test_error_event_keeps_its_status_and_words() -> None:
    body = wire.sse(wire.role(), wire.content("Hel"), wire.error_event(503), wire.usage())
    with pytest.raises(BrokenStreamError, match="Scheduler hit an exception") as caught:
        reply_of(body)
    assert caught.value.status == 503
    assert caught.value.__cause__ is not None


def test_refusal_in_the_first_event_is_the_error_of_its_code() -> None:
    # SGLang has sent status 200 by then.
    with pytest.raises(ServiceUnavailableError) as caught:
        reply_of(wire.sse(wire.error_event(503, "The request queue is full."), wire.usage()))
    assert caught.value.status == 503
    assert caught.value.server_message == "The request queue is full."


def test_nothing_at_all_is_a_broken_stream_without_an_id() -> None:
    with pytest.raises(BrokenStreamError) as caught:
        reply_of(b"")
    assert caught.value.request_id is None
    assert caught.value.partial.content == ""


def test_status_before_the_stream() -> None:
    body = wire.error_body(400, "The input is longer than the model's context length.")
    with pytest.raises(BadRequestError, match="context length"):
        Server(answered(body, 400)).client().stream("Hi")


def test_time_out_before_the_stream() -> None:
    with pytest.raises(RequestTimeoutError):
        Server(httpx.ReadTimeout("slow")).client().stream("Hi")

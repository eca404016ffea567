"""`RetryPolicy(repeat_cut=True)`: a stream that was cut is begun anew, and the reader learns it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import httpx
import pytest

from clients import (
    AsyncChatClient,
    BrokenStreamError,
    ChatClient,
    ChatStream,
    ContentDelta,
    Done,
    ReplyBuilder,
    Restarted,
    RetryPolicy,
    RunEvent,
    ServerUnreachableError,
    Started,
    StreamEvent,
    StreamTimeoutError,
    Timeouts,
    tool,
)
from clients.http.retry import cut_pause_seconds
from tests.unit.clients import wire
from tests.unit.clients.wire import MODEL, REQUEST_ID, URL, Body, Server, streamed

WHOLE = wire.sse(wire.role(), wire.content("Hel"), wire.content("lo."), wire.finish())
BEGUN = wire.sse(wire.role(), wire.content("Hel"), done=False)
# Of smg 1.13.0, for a server that it has lost.
GATEWAYS_ERROR = wire.sse({"error": {"message": "Stream error: x", "type": "stream_error"}})
CUTS: dict[str, tuple[bytes, Exception | None, str]] = {  # what follows what has begun
    "connection": (b"", httpx.ReadError("cut"), "connection_lost"),
    "gateway": (GATEWAYS_ERROR, None, "server_error"),
    "server": (wire.sse(wire.error_event(503)), None, "server_error"),
    "end": (b"", None, "incomplete"),
}


def client(server: Server, *, retries: int = 2, **options: Any) -> ChatClient:
    return ChatClient(
        URL,
        model=MODEL,
        retry=RetryPolicy(retries=retries, first_pause_seconds=0.001, repeat_cut=True),
        report_acceptance=False,
        http_client=httpx.Client(transport=httpx.MockTransport(server)),
        **options,
    )


def cut(kind: str = "connection") -> httpx.Response:
    then, failure, _ = CUTS[kind]
    return streamed(Body([BEGUN, then], failure))


@pytest.mark.parametrize("kind", CUTS)
def test_the_answer_begins_anew_and_the_reader_is_told(kind: str) -> None:
    server = Server(cut(kind), streamed(WHOLE))
    stream = client(server).stream("Hi", temperature=0)
    events = list(stream)
    assert events == [
        Started(REQUEST_ID, MODEL),
        ContentDelta("Hel"),
        Restarted(CUTS[kind][2]),
        Started(REQUEST_ID, MODEL),
        ContentDelta("Hel"),
        ContentDelta("lo."),
        Done("stop"),
    ]
    assert stream.reply().content == "Hello."
    first, second = server.requests
    assert first.content == second.content


def test_whoever_adds_up_the_events_gets_the_same_reply() -> None:
    stream = client(Server(cut(), cut("end"), streamed(WHOLE))).stream("Hi")
    builder = ReplyBuilder()
    for event in stream:
        builder.add(event)
    built = builder.build(started_ns=0, first_token_ns=None, ended_ns=0)
    assert (built.content, built.finish_reason) == ("Hello.", "stop")
    assert built.content == stream.reply().content


@pytest.mark.parametrize(
    ("body", "more"),
    [(GATEWAYS_ERROR, "server_error"), (b"data: {\n\n", "malformed")],
    ids=["error", "malformed"],
)
def test_what_came_in_the_same_bytes_as_an_error_has_come(body: bytes, more: str) -> None:
    server = Server(streamed(Body([BEGUN + body])))
    stream = server.client().stream("Hi")
    events: list[StreamEvent] = []
    with pytest.raises(BrokenStreamError) as caught:
        events.extend(iter(stream))
    assert caught.value.reason == more
    assert caught.value.partial.content == "Hel"
    assert ContentDelta("Hel") in events


def test_what_is_void_is_no_part_of_what_has_arrived() -> None:
    stream = client(Server(cut(), streamed(WHOLE))).stream("Hi")
    assert [stream.partial().content for event in stream if isinstance(event, Restarted)] == [""]


def test_one_that_had_shown_nothing_begins_anew_unsaid() -> None:
    refused = streamed(wire.sse(wire.error_event(503, "The queue is full.")))
    server = Server(refused, streamed(WHOLE))
    events = list(client(server).stream("Hi"))
    assert [event for event in events if isinstance(event, Restarted)] == []
    assert len(server.requests) == 2


def test_the_last_cut_is_raised_with_what_had_arrived() -> None:
    server = Server(cut(), cut(), streamed(Body([WHOLE[:-100]], httpx.ReadError("cut"))))
    stream = client(server).stream("Hi")
    with pytest.raises(BrokenStreamError) as caught:
        list(stream)
    assert caught.value.partial.content == "Hello."
    assert len(server.requests) == 3
    with pytest.raises(BrokenStreamError):
        stream.reply()


def test_a_server_that_is_gone_leaves_the_cut_as_the_cause() -> None:
    server = Server(cut(), httpx.ConnectError("refused"))
    stream = client(server, retries=1).stream("Hi")
    with pytest.raises(BrokenStreamError) as caught:
        list(stream)
    assert caught.value.partial.content == "Hel"
    assert isinstance(caught.value.__cause__, ServerUnreachableError)


@pytest.mark.parametrize(
    "body",
    [BEGUN + wire.sse(wire.error_event(400, "too long")), BEGUN + b"data: {\n\n"],
    ids=["its request", "malformed"],
)
def test_what_would_come_again_is_not_asked_for_again(body: bytes) -> None:
    server = Server(streamed(body), streamed(WHOLE))
    with pytest.raises(BrokenStreamError):
        list(client(server).stream("Hi"))
    assert len(server.requests) == 1


def test_without_the_option_nothing_is_begun_anew() -> None:
    server = Server(cut(), streamed(WHOLE))
    with pytest.raises(BrokenStreamError):
        list(server.client(retries=5).stream("Hi"))
    assert len(server.requests) == 1


def test_a_stream_that_stands_still_is_not_cut() -> None:
    partial = ReplyBuilder().build(started_ns=0, first_token_ns=None, ended_ns=0)
    late = StreamTimeoutError("late", url=URL, partial=partial, kind="between_tokens")
    policy = RetryPolicy(repeat_cut=True)
    assert cut_pause_seconds(late, attempt=0, policy=policy, fraction=0.0) is None


def test_what_was_lost_before_a_token_is_repeated_as_well() -> None:
    server = Server(httpx.Response(502), cut(), httpx.Response(502), streamed(WHOLE))
    assert client(server).stream("Hi").reply().content == "Hello."


class Clock:
    """Goes on when it is told to."""

    now_ns = 0

    def __call__(self) -> int:
        return self.now_ns

    def pass_seconds(self, seconds: float) -> None:
        self.now_ns += int(seconds * 1e9)


def slow(clock: Clock, parts: Iterable[tuple[float, bytes]]) -> Iterator[bytes]:
    for seconds, part in parts:
        clock.pass_seconds(seconds)
        yield part


def test_the_first_token_has_its_time_anew_and_the_whole_has_not() -> None:
    clock = Clock()
    begun = Body(slow(clock, [(3, BEGUN[:300]), (3, BEGUN[300:])]), httpx.ReadError("cut"))
    again = Body(slow(clock, [(3, WHOLE[:300]), (3, WHOLE[300:])]))
    timeouts = Timeouts(first_token_seconds=4, between_tokens_seconds=4, total_seconds=60)
    server = Server(streamed(begun), streamed(again))
    reply = client(server, timeouts=timeouts, clock_ns=clock).stream("Hi").reply()
    assert reply.content == "Hello."
    assert reply.timings.total_seconds == 12
    begun = Body(slow(clock, [(3, BEGUN), (60, b"")]), httpx.ReadError("cut"))
    server = Server(streamed(begun), streamed(WHOLE))
    with pytest.raises(BrokenStreamError):
        client(server, timeouts=timeouts, clock_ns=clock).stream("Hi").reply()
    assert len(server.requests) == 1


def test_tools_go_on_with_the_whole_answer() -> None:
    @tool
    def order(count: int) -> str:
        """Order some."""
        return f"{count} ordered"

    half = wire.sse(wire.role(), wire.calls(wire.call(0, "c0", "order", '{"cou')), done=False)
    whole = wire.sse(
        wire.role(), wire.calls(wire.call(0, "c1", "order", '{"count": 2}')),
        wire.finish("tool_calls"),
    )  # fmt: skip
    server = Server(
        streamed(Body([half], httpx.ReadError("cut"))), streamed(whole), streamed(WHOLE)
    )
    told: list[RunEvent] = []
    run = client(server).run_tools("Hi", [order], stream=True, on_event=told.append)
    assert [result.content for results in run.results for result in results] == ["2 ordered"]
    assert run.reply.content == "Hello."
    assert [event for event in told if isinstance(event, Restarted)] == [
        Restarted("connection_lost")
    ]


class AsyncBody(httpx.AsyncByteStream):
    """The same for asyncio."""

    def __init__(self, *parts: bytes, failure: Exception | None = None) -> None:
        self.parts, self.failure, self.closed = parts, failure, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part
        if self.failure is not None:
            raise self.failure

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("kind", CUTS)
def test_the_async_client_does_the_same(kind: str) -> None:
    then, failure, reason = CUTS[kind]
    bodies = AsyncBody(BEGUN, then, failure=failure), AsyncBody(WHOLE)
    server = Server(*(httpx.Response(200, stream=one) for one in bodies))

    async def inside() -> tuple[list[StreamEvent], str]:
        transport = httpx.AsyncClient(transport=httpx.MockTransport(server))
        policy = RetryPolicy(first_pause_seconds=0.001, repeat_cut=True)
        async with transport, AsyncChatClient(
            URL, model=MODEL, retry=policy, http_client=transport
        ) as asking:  # fmt: skip
            stream = asking.stream("Hi")
            events = [event async for event in stream]
            return events, (await stream.reply()).content

    events, content = asyncio.run(inside())
    assert content == "Hello."
    assert [event for event in events if isinstance(event, Restarted)] == [Restarted(reason)]
    assert events[-1] == Done("stop")
    assert all(one.closed for one in bodies)


def test_a_log_hears_of_it_and_of_nothing_that_was_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "specserve"):
        client(Server(cut("server"), streamed(WHOLE))).stream("s3cret").reply()
    (line,) = [one.getMessage() for one in caplog.records if one.name.startswith("specserve")]
    assert line.split()[:2] == ["stream.restarted", "attempt=1"]
    assert "cause=BrokenStreamError" in line
    assert "s3cret" not in line


def test_a_stream_that_is_closed_is_not_begun_anew() -> None:
    server = Server(cut(), streamed(WHOLE))
    with client(server).stream("Hi") as stream:
        assert isinstance(stream, ChatStream)
        next(stream)
    assert len(server.requests) == 1

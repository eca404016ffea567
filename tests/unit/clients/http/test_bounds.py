"""Whatever a server sends without end, the client takes a bounded part of it, and says so."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clients import (
    AnswerLimits,
    AnswerTooLargeError,
    AsyncChatClient,
    ChatClient,
    ClientError,
    ConfigurationError,
    MalformedReplyError,
    RedirectError,
    RetryPolicy,
)
from clients.http.sse import EventDecoder, EventTooLargeError
from tests.unit.clients import wire
from tests.unit.clients.http.hostile import Answer, Send, endless, head, hostile, whole

if TYPE_CHECKING:
    from collections.abc import Callable

SMALL = AnswerLimits(
    body_bytes=100_000, info_bytes=50_000, event_bytes=80_000, text_characters=100_000
)
# What two sockets on loopback may hold beyond what was read.
IN_FLIGHT = 32 * 1024**2
SSE = head(kind="text/event-stream")
KINDS = ("chat", "stream", "models", "info", "metrics", "abort")


def ask(url: str, kind: str, limits: AnswerLimits, key: str = "k" * 20) -> object:
    with ChatClient(
        url, api_key=key, model="m", limits=limits, retry=RetryPolicy(retries=0)
    ) as client:
        if kind == "stream":
            with client.stream("Hi") as stream:
                return stream.reply()
        calls: dict[str, Callable[[], object]] = {
            "chat": lambda: client.chat("Hi"),
            "models": client.models,
            "info": client.server_info,
            "metrics": client.metrics,
        }
        if kind == "abort":
            client.abort("r")
            return None
        return calls[kind]()


def ask_async(url: str, kind: str, limits: AnswerLimits, key: str = "k" * 20) -> object:
    async def inside() -> object:
        async with AsyncChatClient(
            url, api_key=key, model="m", limits=limits, retry=RetryPolicy(retries=0)
        ) as client:
            if kind == "stream":
                async with client.stream("Hi") as stream:
                    return await stream.reply()
            if kind == "chat":
                return await client.chat("Hi")
            if kind == "abort":
                await client.abort("r")
                return None
            names = {"models": client.models, "info": client.server_info}
            return await names.get(kind, client.metrics)()

    return asyncio.run(inside())


def events(*chunks: wire.Json) -> bytes:
    return wire.sse(*chunks, done=False)


ENDLESS: dict[str, Answer] = {
    "body": endless(b"a" * 65536, head()),
    "white space": endless(b"\n" * 65536, head()),
    "chunked": endless(
        b"10000\r\n" + b" " * 65536 + b"\r\n", head(200, "Transfer-Encoding: chunked")
    ),
    "error": endless(b"z" * 65536, head(500, kind="text/plain")),
    "refusal": endless(b"{" * 65536, head(400)),
    "redirect": endless(b"z" * 65536, head(307, "Location: /elsewhere")),
    "head": endless(b"X-A: " + b"a" * 5000 + b"\r\n", b"HTTP/1.1 200 OK\r\n"),
    "one header": endless(b"a" * 65536, b"HTTP/1.1 200 OK\r\nX-A: "),
}  # fmt: skip
STREAMS: dict[str, tuple[Answer, str]] = {
    "line": (endless(b"a" * 65536, SSE + b"data: "), "event_bytes"),
    "event": (endless(b"data: a\n" * 8192, SSE), "event_bytes"),
    "empty lines of an event": (endless(b"data:\n" * 8192, SSE), "event_bytes"),
    "field": (endless(b"a" * 65536, SSE + b"id: "), "event_bytes"),
    "text": (endless(events(wire.content("x" * 1000)) * 50, SSE), "text_characters"),
    "letters": (endless(events(wire.content("x")) * 200, SSE), "text_characters"),
    "reasoning": (endless(events(wire.reasoning("x" * 1000)) * 50, SSE), "text_characters"),
    "arguments": (
        endless(
            events(wire.calls(wire.call(0, None, None, "y" * 1000))) * 50,
            SSE + events(wire.calls(wire.call(0, "c", "f"))),
        ),
        "text_characters",
    ),
    "calls": (
        endless(
            events(wire.calls(*(wire.call(0, str(n), "f" * 100) for n in range(200)))),
            SSE + events(wire.calls(wire.call(0, "c", "f"))),
        ),
        "text_characters",
    ),
}


@pytest.mark.parametrize("asking", [ask, ask_async], ids=["sync", "async"])
@pytest.mark.parametrize(
    ("shape", "kind"),
    # Empty lines of a stream are not kept: `between_tokens_seconds` ends it.
    [
        (shape, kind)
        for shape in ENDLESS
        for kind in KINDS
        if kind != "stream" or shape not in {"white space", "chunked"}
    ],
)
def test_an_endless_answer_is_given_up_at_its_bound(
    shape: str, kind: str, asking: Callable[..., object]
) -> None:
    with hostile(ENDLESS[shape]) as server, pytest.raises(AnswerTooLargeError) as caught:
        asking(server.url, kind, SMALL)
    error = caught.value
    allowed = {"chat": "body_bytes", "stream": "body_bytes"}.get(kind, "info_bytes")
    if kind == "stream" and shape == "body":
        allowed = "event_bytes"
    if shape in {"head", "one header"}:
        allowed = "headers"
    assert error.limit == allowed
    assert error.measured > error.allowed
    assert f"{error.allowed:,}" in str(error)
    assert error.exit_code == 89
    assert server.sent < error.allowed + IN_FLIGHT


@pytest.mark.parametrize("asking", [ask, ask_async], ids=["sync", "async"])
@pytest.mark.parametrize("shape", STREAMS)
def test_an_endless_stream_is_given_up_with_what_had_arrived(
    shape: str, asking: Callable[..., object]
) -> None:
    answer, limit = STREAMS[shape]
    with hostile(answer) as server, pytest.raises(AnswerTooLargeError) as caught:
        asking(server.url, "stream", SMALL)
    error = caught.value
    assert (error.limit, error.allowed) == (limit, getattr(SMALL, limit))
    assert error.measured > error.allowed
    assert error.partial is not None
    held = error.partial.content + error.partial.reasoning
    assert len(held) <= SMALL.text_characters + 65536
    assert server.sent < 40 * error.allowed + IN_FLIGHT


@pytest.mark.parametrize("asking", [ask, ask_async], ids=["sync", "async"])
@pytest.mark.parametrize("kind", ["chat", "stream", "models"])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "zstd", "br", "gzip, gzip"])
def test_a_compressed_answer_is_refused_before_it_unfolds(
    encoding: str, kind: str, asking: Callable[..., object]
) -> None:
    bomb = gzip.compress(b" " * 10_000_000)
    answer = whole(bomb, 200, f"Content-Encoding: {encoding}")
    with hostile(lambda send, _: send(answer)) as server:
        with pytest.raises(MalformedReplyError, match="compressed"):
            asking(server.url, kind, SMALL)
        assert b"\r\naccept-encoding: identity\r\n" in server.requests[0].lower()


@pytest.mark.parametrize("asking", [ask, ask_async], ids=["sync", "async"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["other host", "other port", "itself"])
def test_a_redirect_is_told_and_never_followed(
    place: str, status: int, kind: str, asking: Callable[..., object]
) -> None:
    with hostile(lambda send, _: send(whole(b"{}"))) as other:
        where = {
            "other host": f"http://localhost:{other.port}/v1",
            "other port": f"{other.url}/v1/chat/completions",
            "itself": "/v1/other",
        }[place]
        answer = whole(b"", status, f"Location: {where}")
        with hostile(lambda send, _: send(answer)) as server:
            with pytest.raises(RedirectError) as caught:
                asking(server.url, kind, SMALL)
            assert len(server.requests) == 1
        assert not other.requests
    assert where in str(caught.value)
    assert "not followed" in str(caught.value)
    assert caught.value.status == status


def test_an_honest_answer_at_the_bound_is_taken() -> None:
    body = json.dumps(wire.completion("x" * 1000)).encode()
    limits = AnswerLimits(body_bytes=len(body))
    with hostile(lambda send, _: send(whole(body))) as server:
        assert ask(server.url, "chat", limits)
        with pytest.raises(AnswerTooLargeError):
            ask(server.url, "chat", AnswerLimits(body_bytes=len(body) - 1))


@pytest.mark.parametrize("field", ["body_bytes", "info_bytes", "event_bytes", "text_characters"])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, float("inf")])
def test_what_is_no_limit_is_refused(field: str, value: object) -> None:
    with pytest.raises(ConfigurationError, match=field):
        AnswerLimits(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="limits is 5"):
        ChatClient("http://127.0.0.1:1", limits=5)  # type: ignore[arg-type]


@pytest.mark.parametrize("asking", [ask, ask_async], ids=["sync", "async"])
@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"null", b"5", b'{"data": 5}', b'{"data": [5]}', b'{"data": [{}]}']
)
def test_what_is_no_list_of_models_is_shown_as_it_came(
    body: bytes, asking: Callable[..., object]
) -> None:
    with (
        hostile(lambda send, _: send(whole(body))) as server,
        pytest.raises(MalformedReplyError, match="no answer of /v1/models") as caught,
    ):
        asking(server.url, "models", SMALL)
    assert body.decode() in str(caught.value)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([b"data: ab", b"data:", b"\n", b"\n\n", b": c", b"x"]), max_size=60)
)
def test_the_decoder_holds_no_more_than_its_bound_however_it_is_cut(parts: list[bytes]) -> None:
    decoder = EventDecoder(40)
    with contextlib.suppress(EventTooLargeError):
        for part in parts:
            for payload in decoder.feed(part):
                assert len(payload) <= 40
            assert sum(map(len, decoder._tail)) <= 40
            assert sum(map(len, decoder._data)) <= 40


PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 500 No\r\n",
        b"Content-Type: text/event-stream\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Length: 99999999999\r\n",
        b"Content-Length: 3\r\n",
        b"Location: http://127.0.0.2/\r\n",
        b"Retry-After: 1e999\r\n",
        b"Content-Encoding: gzip\r\n",
        b"\r\n",
        b"\r\n\r\n",
        b"5\r\nabcde\r\n",
        b"-1\r\n",
        b"data: {}\n\n",
        b"data: [DONE]\n\n",
        b'data: {"choices": 5}\n\n',
        b"\xff\xfe",
        b"[" * 300,
        b"9" * 5000,
        b'{"data": 5}',
        b"null",
        b'{"choices": [{"message": 1}]}',
        b"\x00" * 20,
        b"a" * 70_000,
    ]
)


@settings(deadline=None, max_examples=60)
@given(st.lists(PIECES, max_size=8), st.sampled_from(KINDS), st.booleans())
def test_whatever_is_drawn_ends_in_an_error_of_ours(
    pieces: list[bytes],
    kind: str,
    is_async: bool,  # noqa: FBT001 - drawn
) -> None:
    def answer(send: Send, _: bool) -> None:  # noqa: FBT001 - as `Answer` has it
        for piece in pieces:
            send(piece)

    with hostile(answer) as server:
        try:
            (ask_async if is_async else ask)(server.url, kind, SMALL)
        except ClientError as error:
            assert "k" * 20 not in str(error)  # noqa: PT017 - most of them raise


@pytest.mark.parametrize("path", ["health", "ready"])
def test_the_body_of_an_error_that_trickles_ends_with_the_wait(path: str) -> None:
    leaves = threading.Event()

    def answer(send: Send, _: bool) -> None:  # noqa: FBT001 - as `Answer` has it
        send(head(400))
        while not leaves.wait(0.01):
            send(b" ")

    with hostile(answer) as server, ChatClient(server.url, model="m") as client:
        found = getattr(client, path)(timeout_seconds=0.3)
        leaves.set()
    assert found in {"unhealthy", False}

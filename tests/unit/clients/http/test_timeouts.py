"""Time-outs mean what their names say, whatever keeps the connection alive."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx
import pytest

from clients import (
    AsyncChatClient,
    BrokenStreamError,
    ChatClient,
    ConfigurationError,
    RequestTimeoutError,
    RetryPolicy,
    StreamTimeoutError,
    Timeouts,
)
from tests.unit.clients import wire
from tests.unit.clients.http.loopback import serving, silence, trickle
from tests.unit.clients.wire import URL, Server, answered

if TYPE_CHECKING:
    from collections.abc import Callable

PING = b": ping\n\n"
EMPTY = wire.sse(wire.content(""), done=False)
TOKEN = wire.sse(wire.role(), wire.content("Hel"), done=False)
BLANK = b" "


def stream_sync(url: str, timeouts: Timeouts) -> None:
    with ChatClient(url, model="m", timeouts=timeouts) as client, client.stream("Hi") as stream:
        list(stream)


def stream_async(url: str, timeouts: Timeouts) -> None:
    async def go() -> None:
        async with (
            AsyncChatClient(url, model="m", timeouts=timeouts) as client,
            client.stream("Hi") as stream,
        ):
            async for _ in stream:
                pass

    asyncio.run(go())


def chat_sync(url: str, timeouts: Timeouts) -> None:
    with ChatClient(url, model="m", timeouts=timeouts) as client:
        client.chat("Hi")


def chat_async(url: str, timeouts: Timeouts) -> None:
    async def go() -> None:
        async with AsyncChatClient(url, model="m", timeouts=timeouts) as client:
            await client.chat("Hi")

    asyncio.run(go())


@pytest.mark.parametrize("use", [stream_sync, stream_async])
@pytest.mark.parametrize("alive", [PING, EMPTY], ids=["comments", "empty-chunks"])
def test_signs_of_life_are_no_tokens(use: Callable[[str, Timeouts], None], alive: bytes) -> None:
    with serving(trickle(alive, first=TOKEN)) as url, pytest.raises(StreamTimeoutError) as caught:
        use(url, Timeouts(between_tokens_seconds=0.3, total_seconds=60))
    assert caught.value.kind == "between_tokens"
    assert caught.value.partial.content == "Hel"


@pytest.mark.parametrize("alive", [PING, wire.sse(wire.role(), done=False)])
def test_signs_of_life_do_not_prolong_the_wait_for_the_first_token(alive: bytes) -> None:
    with serving(trickle(alive)) as url, pytest.raises(StreamTimeoutError) as caught:
        stream_sync(url, Timeouts(first_token_seconds=0.3, total_seconds=60))
    assert caught.value.kind == "first_token"


def test_the_total_ends_a_stream_that_goes_on_and_on() -> None:
    more = wire.sse(wire.content("lo"), done=False)
    with serving(trickle(more, first=TOKEN)) as url, pytest.raises(StreamTimeoutError) as caught:
        stream_sync(url, Timeouts(total_seconds=0.3))
    assert caught.value.kind == "total"


@pytest.mark.parametrize("use", [chat_sync, chat_async])
def test_the_total_ends_an_answer_in_one_piece_that_trickles(
    use: Callable[[str, Timeouts], None],
) -> None:
    with (
        serving(trickle(BLANK), content_type="application/json") as url,
        pytest.raises(RequestTimeoutError) as caught,
    ):
        use(url, Timeouts(total_seconds=0.3))
    assert caught.value.kind == "total"


def test_a_silent_stream_is_told_of_by_the_limit_that_it_passed() -> None:
    with serving(silence(TOKEN)) as url, pytest.raises(BrokenStreamError) as caught:
        stream_sync(url, Timeouts(between_tokens_seconds=0.2))
    assert isinstance(caught.value, StreamTimeoutError)
    assert caught.value.kind == "between_tokens"


@pytest.mark.parametrize(
    ("timeouts", "read", "kind"),
    [
        (Timeouts(first_token_seconds=3, total_seconds=60), 3, "first_token"),
        (Timeouts(first_token_seconds=60, total_seconds=3), 3, "total"),
    ],
)
def test_a_wait_has_the_name_of_the_limit_that_ended_it(
    timeouts: Timeouts, read: float, kind: str
) -> None:
    server = Server(httpx.ReadTimeout("slow"))
    client = ChatClient(
        URL,
        model="m",
        timeouts=timeouts,
        retry=RetryPolicy(retries=0),
        http_client=httpx.Client(transport=httpx.MockTransport(server)),
        clock_ns=lambda: 0,
    )
    for ask in (lambda: client.stream("Hi"), client.models):
        with pytest.raises(RequestTimeoutError) as caught:
            ask()
        assert caught.value.kind == kind
        assert server.requests[-1].extensions["timeout"]["read"] == read


def test_a_number_is_refused_with_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match=r"Timeouts\(total_seconds=30\)"):
        ChatClient(URL, timeouts=30)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"RetryPolicy\(retries=3\)"):
        ChatClient(URL, retry=3)  # type: ignore[arg-type]


def test_an_answer_in_time_is_read_whole() -> None:
    assert Server(answered(wire.completion("Hello."))).client().chat("Hi").content == "Hello."

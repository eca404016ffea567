"""The async client is used as the other one, but for `await` where Python needs it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest

from clients import (
    AsyncChatClient,
    ChatClient,
    ConfigurationError,
    RunEvent,
    StreamClosedError,
    ToolResult,
)
from tests.unit.clients import wire
from tests.unit.clients.wire import MODEL, URL, Server, answered

HELLO = wire.sse(wire.role(), wire.content("Hel"), wire.content("lo."), wire.finish())


class Body(httpx.AsyncByteStream):
    """The body of a stream."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield HELLO[:900]
        yield HELLO[900:]

    async def aclose(self) -> None:
        self.closed = True


def run(use: Callable[[AsyncChatClient], Awaitable[Any]], *answers: httpx.Response) -> Any:
    async def inside() -> Any:
        server = Server(*answers)
        transport = httpx.MockTransport(server)
        async with httpx.AsyncClient(transport=transport) as http_client:
            client = AsyncChatClient(URL, model=MODEL, http_client=http_client)
            return await use(client), len(server.requests)

    return asyncio.run(inside())


def streamed(body: Body | None = None) -> httpx.Response:
    return httpx.Response(200, stream=body or Body())


async def by_block(client: AsyncChatClient) -> str:
    async with client.stream("Hi") as stream:
        async for _ in stream:
            pass
        return (await stream.reply()).content


async def by_awaiting(client: AsyncChatClient) -> str:
    async with await client.stream("Hi") as stream:
        return (await stream.reply()).content


async def by_loop(client: AsyncChatClient) -> str:
    return "".join([getattr(event, "text", "") async for event in client.stream("Hi")])


async def by_reply(client: AsyncChatClient) -> str:
    return (await client.stream("Hi").reply()).content


async def by_task(client: AsyncChatClient) -> str:
    stream = await asyncio.wait_for(client.stream("Hi"), 10)
    return (await stream.reply()).content


@pytest.mark.parametrize("use", [by_block, by_awaiting, by_loop, by_reply, by_task])
def test_a_stream_is_opened_once_in_each_natural_way(use: Any) -> None:
    assert run(use, streamed()) == ("Hello.", 1)


def test_leaving_the_block_early_closes_the_connection() -> None:
    body = Body()

    async def leave(client: AsyncChatClient) -> None:
        async with client.stream("Hi") as stream:
            await anext(stream)
        assert stream.partial().request_id
        with pytest.raises(StreamClosedError):
            await stream.reply()

    run(leave, streamed(body))
    assert body.closed


def test_a_stream_that_nobody_uses_sends_nothing() -> None:
    async def none(client: AsyncChatClient) -> None:
        stream = client.stream("Hi")
        assert stream.partial().content == ""
        await stream.close()
        with pytest.raises(StreamClosedError):
            await stream.reply()

    assert run(none, streamed()) == (None, 0)


def called() -> httpx.Response:
    calls = [wire.call(0, "c1", "order", '{"count": 1}')]
    return answered(wire.completion("", tool_calls=calls, finish_reason="tool_calls"))


def order(count: int) -> str:
    """Order some."""
    return f"{count} ordered"


def test_events_may_be_awaited() -> None:
    told: list[RunEvent] = []

    async def hear(event: RunEvent) -> None:
        await asyncio.sleep(0)
        told.append(event)

    async def use(client: AsyncChatClient) -> None:
        await client.run_tools("Go", [order], on_event=hear)

    run(use, called(), answered(wire.completion("Done.")))
    assert [type(event) for event in told] == [ToolResult]


def test_what_has_to_be_awaited_is_refused_by_the_other_client() -> None:
    async def hear(event: RunEvent) -> None:
        pass

    with (
        ChatClient(URL, model=MODEL) as client,
        pytest.raises(ConfigurationError, match="on_event: a coroutine function"),
    ):
        client.run_tools("Go", [order], on_event=hear)

"""A streamed answer: typed events as they arrive, and the same reply as without streaming.

`StreamState` knows all there is to know and does no I/O; the two streams only move bytes to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx

from clients.errors import BrokenStreamError, ClientError, StreamClosedError
from clients.events import Restarted
from clients.http.streams.state import STREAM_FAILURES, StreamState
from clients.reply import ChatReply, ReplyBuilder

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from clients.events import StreamEvent


@dataclass(frozen=True, slots=True)
class OpenStream:
    """A stream whose answer has begun.

    Attributes:
        response: unread.
        state: of what is read of it.
        begin_again: gives the flow that asks for the answer once more after an error, and ends
            with None where that is not to be done.
    """

    response: httpx.Response
    state: StreamState
    begin_again: Callable[[ClientError], Generator[Any, Any, OpenStream | None]]


def _restarted(cut: StreamState) -> Restarted:
    failure = cut.failure
    return Restarted(failure.reason if isinstance(failure, BrokenStreamError) else "server_error")


class ChatStream:
    """Iterates over the events of one answer; `reply()` gives them as one value.

    Use it in a `with` block: leaving the block early closes the connection, by which the server
    learns to stop generating. A stream read to its end has closed itself. It is read by one
    thread. Nothing in it is asked for twice, but under `RetryPolicy(repeat_cut=True)`: then
    `Restarted` says that what came before it is void.

    Args:
        opened: what is read first.
        run: performs a flow.

    Raises:
        BrokenStreamError: while iterating, if the stream breaks. It holds what had arrived.
        StatusError: while iterating, if the server refuses in the first event.
    """

    def __init__(
        self,
        opened: OpenStream,
        run: Callable[[Generator[Any, Any, OpenStream | None]], OpenStream | None],
    ) -> None:
        self._opened = opened
        self._run = run
        self._events = self._read()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> StreamEvent:
        return next(self._events)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. Does nothing if the stream has ended."""
        self._events.close()
        self._opened.response.close()
        self._opened.state.end()

    def reply(self) -> ChatReply:
        """Read the rest of the stream and return the whole answer.

        Returns:
            What `chat()` would have returned, and the time to the first token.

        Raises:
            StreamClosedError: it was closed before its end.
            MissingToolCallError: `tool_choice` demanded a call, and none came.
            ClientError: it broke, now or earlier.
        """
        for _ in self._events:
            pass
        return self._opened.state.reply()

    def partial(self) -> ChatReply:
        """Return what has arrived so far, without reading on; nothing of what is void."""
        return self._opened.state.partial()

    def _read(self) -> Generator[StreamEvent, None, None]:
        while True:
            response, state = self._opened.response, self._opened.state
            try:
                try:
                    for data in response.iter_bytes():
                        yield from state.receive(data)
                        if state.whole:
                            break
                    else:
                        yield from state.finish()
                except (*STREAM_FAILURES, ClientError) as error:
                    yield from state.take_late()
                    state.fail(error)
                finally:
                    response.close()
                    state.end()
            except ClientError as error:
                self._opened = self._begin_again(error)
            else:
                return
            if state.started:
                yield _restarted(state)

    def _begin_again(self, error: ClientError) -> OpenStream:
        """Ask once more.

        Raises:
            ClientError: the same error, where that is not to be done, or fails.
        """
        try:
            again = self._run(self._opened.begin_again(error))
        except ClientError as second:
            raise error from second
        if again is None:
            raise error
        return again


class AsyncChatStream:
    """The same for asyncio: `async for`, `async with`, and `await stream.reply()`.

    Each of them sends the request if nothing has before, and so does `await stream`, which waits
    for the first token and gives the stream itself. A task that is cancelled while it reads closes
    the connection, too.

    Args:
        opening: sends the request, and waits for its first token.
        run: performs a flow.
    """

    def __init__(
        self,
        opening: Callable[[], Awaitable[OpenStream]],
        run: Callable[[Generator[Any, Any, OpenStream | None]], Awaitable[OpenStream | None]],
    ) -> None:
        self._opening = opening
        self._run = run
        self._opened: OpenStream | None = None
        self._closed = False
        self._events = self._read()

    def __await__(self) -> Generator[Any, None, Self]:
        return self._open().__await__()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> StreamEvent:
        return await anext(self._events)

    async def __aenter__(self) -> Self:
        return await self._open()

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection. Does nothing if the stream has ended."""
        self._closed = True
        await self._events.aclose()
        if self._opened is not None:
            await self._opened.response.aclose()
            self._opened.state.end()

    async def reply(self) -> ChatReply:
        """Read the rest of the stream and return the whole answer; see `ChatStream.reply`."""
        async for _ in self._events:
            pass
        if self._opened is None:
            raise StreamClosedError("The stream was closed before its end.")
        return self._opened.state.reply()

    def partial(self) -> ChatReply:
        """Return what has arrived so far, without reading on."""
        if self._opened is None:
            return ReplyBuilder().build(started_ns=0, first_token_ns=None, ended_ns=0)
        return self._opened.state.partial()

    async def _open(self) -> Self:
        if self._opened is None and not self._closed:
            self._opened = await self._opening()
        return self

    async def _read(self) -> AsyncGenerator[StreamEvent, None]:
        await self._open()
        while self._opened is not None:
            response, state = self._opened.response, self._opened.state
            try:
                try:
                    async for data in response.aiter_bytes():
                        for event in state.receive(data):
                            yield event
                        if state.whole:
                            break
                    else:
                        for event in state.finish():
                            yield event
                except (*STREAM_FAILURES, ClientError) as error:
                    for event in state.take_late():
                        yield event
                    state.fail(error)
                finally:
                    await response.aclose()
                    state.end()
            except ClientError as error:
                self._opened = await self._begin_again(self._opened, error)
            else:
                return
            if state.started:
                yield _restarted(state)

    async def _begin_again(self, opened: OpenStream, error: ClientError) -> OpenStream:
        """Ask once more; see `ChatStream`."""
        try:
            again = await self._run(opened.begin_again(error))
        except ClientError as second:
            raise error from second
        if again is None:
            raise error
        return again

"""The client for asyncio: `ChatClient` with its surface unchanged, awaited."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx
import openai

from clients.errors import ClientError
from clients.flow.asking import HEALTH_TIMEOUT_SECONDS
from clients.flow.effects import Effect, Flow, ReadOn, RunCalls, SendChat, Sleep, Tell
from clients.flow.sending import (
    ClientOptions,
    call_arguments,
    chat_arguments,
    failure_of,
    make_flows,
    sdk_arguments,
    transport_arguments,
)
from clients.http.failures import body_failure
from clients.http.streams.stream import AsyncChatStream
from clients.http.timeouts import BodyInTime
from clients.http.transport import RuledAsyncClient
from clients.tools.calls import run_call_async

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from clients.flow.effects import RunEvent
    from clients.http.engines import EngineInfo
    from clients.http.server_side import Health, ServerInfo, ServerMetrics
    from clients.http.streams.stream import OpenStream
    from clients.reply import ChatReply
    from clients.request import AskOptions, ChatOptions, EmptyAnswer, Messages, ToolLike
    from clients.tools.calls import ToolRun

A = TypeVar("A")
T = TypeVar("T")


class AsyncChatClient:
    """Talks to one server, from one event loop. Its arguments are those of `ChatClient`.

    A task that is cancelled closes its connection, by which the server learns to stop.

    Raises:
        ConfigurationError: an argument or a variable makes no sense.
        ServerLookupError: no URL was given, and the run record gave none.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        http_client: httpx.AsyncClient | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._flows = make_flows(type(self).__name__, base_url, options)
        endpoint = self._flows.endpoint
        self.base_url = endpoint.base_url
        self._owns_http = http_client is None
        self._http = RuledAsyncClient(**transport_arguments(self._flows, http_client))
        self._sdk = openai.AsyncOpenAI(**sdk_arguments(endpoint), http_client=self._http)
        # The SDK imports this part on first use, which must not count as the server's time. Its
        # overloads cannot take a dictionary of arguments.
        completions = self._sdk.chat.completions
        self._create: Callable[..., Any] = completions.with_raw_response.create
        self._create_unread: Callable[..., Any] = completions.with_streaming_response.create

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, model={self._flows.model!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, unless the transport was passed in."""
        if self._owns_http:
            await self._http.aclose()

    async def chat(
        self, messages: Messages, *, on_empty: EmptyAnswer = "keep", **options: Unpack[ChatOptions]
    ) -> ChatReply:
        """Ask and wait for the whole answer; see `ChatClient.chat`."""
        return await self._run(self._flows.chat(messages, options, on_empty))

    def stream(self, messages: Messages, **options: Unpack[ChatOptions]) -> AsyncChatStream:
        """Ask and read the answer as it is made; see `ChatClient.stream`.

        The request is sent when the stream is first used: by `async with`, `async for`, or
        `await`. A stream that nobody uses sends none.
        """
        return AsyncChatStream(
            lambda: self._run(self._flows.open_stream(messages, options)), self._run
        )

    @overload
    async def parse(
        self,
        messages: Messages,
        shape: type[T],
        *,
        retries: int = 2,
        **options: Unpack[ChatOptions],
    ) -> T: ...

    # A union or a Literal is no `type` to a type checker.
    @overload
    async def parse(
        self, messages: Messages, shape: Any, *, retries: int = 2, **options: Unpack[ChatOptions]
    ) -> Any: ...

    async def parse(
        self, messages: Messages, shape: Any, *, retries: int = 2, **options: Unpack[ChatOptions]
    ) -> Any:
        """Ask for an instance of a type; see `ChatClient.parse`."""
        return await self._run(self._flows.parse(messages, shape, options, retries=retries))

    async def run_tools(
        self,
        messages: Messages,
        tools: Sequence[ToolLike],
        *,
        max_rounds: int = 8,
        stream: bool = False,
        on_event: Callable[[RunEvent], object] | None = None,
        **options: Unpack[AskOptions],
    ) -> ToolRun:
        """Let the model call functions; see `ChatClient.run_tools`. A round's calls run at once."""
        return await self._run(
            self._flows.run_tools(
                messages, tools, options, max_rounds=max_rounds, stream=stream, on_event=on_event
            )
        )

    async def models(self) -> tuple[str, ...]:
        """Ask for the names of the models; see `ChatClient.models`."""
        return await self._run(self._flows.models())

    async def health(self, *, timeout_seconds: float = HEALTH_TIMEOUT_SECONDS) -> Health:
        """Ask whether the server can generate a token now; see `ChatClient.health`."""
        return await self._run(self._flows.health("/health", timeout_seconds))

    async def ready(self, *, timeout_seconds: float = 5.0) -> bool:
        """Ask whether the server takes requests: started, not paused, not draining."""
        return await self._run(self._flows.health("/ready", timeout_seconds)) == "healthy"

    async def engine(self) -> EngineInfo:
        """See `ChatClient.engine`."""
        return await self._run(self._flows.engine())

    async def server_info(self) -> ServerInfo:
        """Ask how the model is served; raises as `models` does."""
        return await self._run(self._flows.server_info())

    async def metrics(self) -> ServerMetrics:
        """Ask for load and counters; raises as `models` does."""
        return await self._run(self._flows.metrics())

    async def abort(self, request_id: str) -> None:
        """End a request on the server; see `ChatClient.abort`."""
        await self._run(self._flows.abort(request_id))

    async def _run(self, flow: Flow[A]) -> A:
        if self._http.is_closed:
            # The SDK would take this for a lost connection.
            raise RuntimeError(f"This {type(self).__name__} is closed.")
        try:
            effect = next(flow)
            while True:
                try:
                    answer = await self._perform(effect)
                except ClientError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(answer)
        except StopIteration as end:
            result: A = end.value
            return result

    async def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Sleep):
            return await asyncio.sleep(effect.seconds)
        if isinstance(effect, RunCalls):
            calls = (run_call_async(call, effect.tools) for call in effect.calls)
            return tuple(await asyncio.gather(*calls))
        if isinstance(effect, ReadOn):
            async with AsyncChatStream(_opened(effect), self._run) as stream:
                async for event in stream:
                    await _tell(event, effect.on_event)
                return await stream.reply()
        if isinstance(effect, Tell):
            return await _tell(effect.event, effect.on_event)
        try:
            if isinstance(effect, SendChat):
                return await self._send(effect)
            url, arguments = call_arguments(self._flows.endpoint, effect)
            method = self._sdk.get if effect.method == "GET" else self._sdk.post
            return await method(url, **arguments)
        except openai.APIError as error:
            raise failure_of(error, effect) from error

    async def _send(self, effect: SendChat) -> httpx.Response | bytes:
        arguments = chat_arguments(self._flows.endpoint, effect)
        if effect.stream:
            raw = await self._create(**arguments)
            response: httpx.Response = raw.http_response
            return response
        async with self._create_unread(**arguments) as unread:
            return await self._read(unread.http_response, effect.deadline_ns)

    async def _read(self, response: httpx.Response, deadline_ns: int) -> bytes:
        """Read a body by its deadline. A limit for each wait, as httpx has it, may never come."""
        body = BodyInTime(
            response, deadline_ns, self._flows.clock_ns, self._flows.limits.body_bytes
        )
        try:
            async for data in response.aiter_bytes():
                body.add(data)
        except httpx.HTTPError as error:
            raise body_failure(error, url=str(response.request.url)) from error
        return body.whole()


def _opened(effect: ReadOn) -> Callable[[], Awaitable[OpenStream]]:
    async def opened() -> OpenStream:
        return effect.opened

    return opened


async def _tell(event: RunEvent, on_event: Callable[[RunEvent], object]) -> None:
    """Tell a plain function, or await a coroutine function."""
    answer = on_event(event)
    if inspect.isawaitable(answer):
        await answer

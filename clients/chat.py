"""The client: a thin, typed layer over the openai SDK for a chat server of SGLang or vLLM."""

from __future__ import annotations

import inspect
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, overload

import httpx
import openai

from clients.errors import ClientError, ConfigurationError
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
from clients.http.streams.stream import ChatStream
from clients.http.timeouts import BodyInTime
from clients.http.transport import RuledClient
from clients.tools.calls import by_name, run_call

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clients.flow.effects import RunEvent
    from clients.http.engines import EngineInfo
    from clients.http.server_side import Health, ServerInfo, ServerMetrics
    from clients.reply import ChatReply
    from clients.request import AskOptions, ChatOptions, EmptyAnswer, Messages, ToolLike
    from clients.tools.calls import ToolRun

A = TypeVar("A")
T = TypeVar("T")


class ChatClient:
    """Talks to one server. Safe to share between threads; a stream is not.

    Args:
        base_url: of the server, for example `http://127.0.0.1:8000`; it may end in `/v1`. Else
            `SPECSERVE_BASE_URL`, else the run record of `server`.
        api_key: else `SPECSERVE_API_KEY`, else the key of that run record.
        admin_key: for `abort()`; else `SPECSERVE_ADMIN_KEY`, else the key that the launcher keeps
            for whoever started that server, else the API key.
        model: name for requests that give none; else the run record's, else the server is asked.
        server: name of the server whose run record to read.
        timeouts: the longest waits, each by name.
        retry: how often, and after which pauses, a request is repeated that the server had not
            begun: no connection, 429, 503; and what else is repeated.
        limits: how much of an answer is taken.
        report_acceptance: ask SGLang how speculation went, a field that other servers may refuse;
            vLLM passes it over, and counts in `metrics()` (`ServerMetrics.acceptance_since`).
        http_client: the transport; the caller closes it. For tests and unusual networks.
        clock_ns: a monotonic clock in nanoseconds.

    Raises:
        ConfigurationError: an argument or a variable makes no sense.
        ServerLookupError: no URL was given, and the run record gave none.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        http_client: httpx.Client | None = None,
        **options: Unpack[ClientOptions],
    ) -> None:
        self._flows = make_flows(type(self).__name__, base_url, options)
        endpoint = self._flows.endpoint
        self.base_url = endpoint.base_url
        self._owns_http = http_client is None
        self._http = RuledClient(**transport_arguments(self._flows, http_client))
        self._sdk = openai.OpenAI(**sdk_arguments(endpoint), http_client=self._http)
        # The SDK imports this part on first use, which must not count as the server's time. Its
        # overloads cannot take a dictionary of arguments.
        completions = self._sdk.chat.completions
        self._create: Callable[..., Any] = completions.with_raw_response.create
        self._create_unread: Callable[..., Any] = completions.with_streaming_response.create

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, model={self._flows.model!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, unless the transport was passed in."""
        if self._owns_http:
            self._http.close()

    def chat(
        self, messages: Messages, *, on_empty: EmptyAnswer = "keep", **options: Unpack[ChatOptions]
    ) -> ChatReply:
        """Ask and wait for the whole answer.

        Args:
            messages: a conversation, or the text of one user message.
            on_empty: what to do with an answer that has neither text nor a tool call: keep it
                (`reply.empty_cause` says why), ask again once without thinking and raise if that
                answer is empty, too, or raise at once.
            **options: see `ChatOptions`.

        Returns:
            The answer. There is no time to first token: only a stream shows it.

        Raises:
            ConfigurationError: the options contradict each other.
            EmptyAnswerError: see `on_empty`.
            MissingToolCallError: `tool_choice` demanded a call, and none came.
            TransportError: no whole answer came back.
            StatusError: the server said no.
        """
        return self._run(self._flows.chat(messages, options, on_empty))

    def stream(self, messages: Messages, **options: Unpack[ChatOptions]) -> ChatStream:
        """Ask and read the answer as it is made.

        Args:
            messages: a conversation, or the text of one user message.
            **options: see `ChatOptions`.

        Returns:
            The stream. SGLang opens it with the first token, so this call waits for that.

        Raises:
            ConfigurationError: the options contradict each other.
            TransportError: no stream came back.
            StatusError: the server said no.
        """
        opened = self._run(self._flows.open_stream(messages, options))
        return ChatStream(opened, self._run)

    @overload
    def parse(
        self,
        messages: Messages,
        shape: type[T],
        *,
        retries: int = 2,
        **options: Unpack[ChatOptions],
    ) -> T: ...

    # A union or a Literal is no `type` to a type checker.
    @overload
    def parse(
        self, messages: Messages, shape: Any, *, retries: int = 2, **options: Unpack[ChatOptions]
    ) -> Any: ...

    def parse(
        self, messages: Messages, shape: Any, *, retries: int = 2, **options: Unpack[ChatOptions]
    ) -> Any:
        """Ask for an instance of a type.

        Args:
            messages: a conversation, or the text of one user message.
            shape: whatever pydantic knows: a model, a dataclass, a TypedDict, `list[str]`, a
                Literal, a union, `int`. The server decodes under its JSON schema, in an object
                if it is none.
            retries: how often to ask again, with what was wrong, when an answer does not fit.
            **options: see `ChatOptions`.

        Returns:
            The instance.

        Raises:
            ConfigurationError: there is no JSON schema for it, or the options make no sense.
            StructuredOutputError: no answer fitted.
            ClientError: as `chat` does.
        """
        return self._run(self._flows.parse(messages, shape, options, retries=retries))

    def run_tools(
        self,
        messages: Messages,
        tools: Sequence[ToolLike],
        *,
        max_rounds: int = 8,
        stream: bool = False,
        on_event: Callable[[RunEvent], object] | None = None,
        **options: Unpack[AskOptions],
    ) -> ToolRun:
        """Let the model call functions until it answers without a call.

        What a function raises, and arguments that do not fit, go back to the model as text. An
        answer whose calls lost their arguments is asked for again, without streaming.

        Args:
            messages: a conversation, or the text of one user message.
            tools: functions with types and docstrings, under `@tool` or as they are; coroutine
                functions with the async client.
            max_rounds: most rounds of calls.
            stream: whether `on_event` gets an answer's events as they arrive.
            on_event: is told each event, result and lost answer.
            **options: see `AskOptions`. A call that `tool_choice` demands is demanded of the first
                answer; the model chooses afterwards, since it would never come to an end.

        Returns:
            The last answer, the conversation, and each result.

        Raises:
            ConfigurationError: a tool is a coroutine function, or no function, or two share a
                name.
            MissingToolCallError: `tool_choice` demanded a call, and none came.
            ToolRoundsError: the model goes on calling.
            ClientError: as `chat` does.
        """
        named = by_name(tools)
        waiting = [name for name, tool in named.items() if tool.is_async]
        if inspect.iscoroutinefunction(on_event):
            waiting.append("on_event")
        if waiting:
            raise ConfigurationError(
                f"{', '.join(waiting)}: a coroutine function.", action="Use AsyncChatClient."
            )
        return self._run(
            self._flows.run_tools(
                messages, tools, options, max_rounds=max_rounds, stream=stream, on_event=on_event
            )
        )

    def models(self) -> tuple[str, ...]:
        """Ask for the names of the models, the served one first; adapters follow their model.

        Raises:
            TransportError: no answer came back.
            StatusError: the server said no.
        """
        return self._run(self._flows.models())

    def health(self, *, timeout_seconds: float = HEALTH_TIMEOUT_SECONDS) -> Health:
        """Ask whether the server can generate a token now.

        SGLang generates one to find out, which takes it a second or more, and up to 20 s under
        load. Ask one at a time.

        Args:
            timeout_seconds: longest wait; below 20 it also calls a busy server unhealthy.
        """
        return self._run(self._flows.health("/health", timeout_seconds))

    def ready(self, *, timeout_seconds: float = 5.0) -> bool:
        """Ask whether the server takes requests: started, not paused, not draining.

        vLLM has no such route: there it is whether its core lives.
        """
        return self._run(self._flows.health("/ready", timeout_seconds)) == "healthy"

    def engine(self) -> EngineInfo:
        """Ask which engine answers, and of which version.

        It is recognised by its answers, so a gateway gives that of the servers behind it. Raises as
        `models` does.
        """
        return self._run(self._flows.engine())

    def server_info(self) -> ServerInfo:
        """Ask how the model is served; raises as `models` does.

        Raises:
            EngineLacksError: vLLM has no route that tells.
        """
        return self._run(self._flows.server_info())

    def metrics(self) -> ServerMetrics:
        """Ask for load and counters; raises as `models` does."""
        return self._run(self._flows.metrics())

    def abort(self, request_id: str) -> None:
        """End a request on the server, from anywhere; its own client sees `abort`.

        Leaving a stream does the same for one's own.

        Args:
            request_id: from `Started`, a reply, or `extra={"rid": ...}` of the request.

        Raises:
            EngineLacksError: vLLM has no such route.
            AuthenticationError: the admin key is missing or wrong; likewise PermissionDenied.
            RunRecordError: the file of the admin key cannot be read.
            TransportError: no answer came back.
        """
        self._run(self._flows.abort(request_id))

    def _run(self, flow: Flow[A]) -> A:
        if self._http.is_closed:
            # The SDK would take this for a lost connection.
            raise RuntimeError(f"This {type(self).__name__} is closed.")
        try:
            effect = next(flow)
            while True:
                try:
                    answer = self._perform(effect)
                except ClientError as error:
                    effect = flow.throw(error)
                else:
                    effect = flow.send(answer)
        except StopIteration as end:
            result: A = end.value
            return result

    def _perform(self, effect: Effect) -> Any:
        if isinstance(effect, Sleep):
            return time.sleep(effect.seconds)
        if isinstance(effect, RunCalls):
            return tuple(run_call(call, effect.tools) for call in effect.calls)
        if isinstance(effect, ReadOn):
            with ChatStream(effect.opened, self._run) as stream:
                for event in stream:
                    effect.on_event(event)
                return stream.reply()
        if isinstance(effect, Tell):
            return effect.on_event(effect.event)
        try:
            if isinstance(effect, SendChat):
                return self._send(effect)
            url, arguments = call_arguments(self._flows.endpoint, effect)
            method = self._sdk.get if effect.method == "GET" else self._sdk.post
            return method(url, **arguments)
        except openai.APIError as error:
            raise failure_of(error, effect) from error

    def _send(self, effect: SendChat) -> httpx.Response | bytes:
        arguments = chat_arguments(self._flows.endpoint, effect)
        if effect.stream:
            raw = self._create(**arguments)
            response: httpx.Response = raw.http_response
            return response
        with self._create_unread(**arguments) as unread:
            return self._read(unread.http_response, effect.deadline_ns)

    def _read(self, response: httpx.Response, deadline_ns: int) -> bytes:
        """Read a body by its deadline. A limit for each wait, as httpx has it, may never come."""
        body = BodyInTime(
            response, deadline_ns, self._flows.clock_ns, self._flows.limits.body_bytes
        )
        try:
            for data in response.iter_bytes():
                body.add(data)
        except httpx.HTTPError as error:
            raise body_failure(error, url=str(response.request.url)) from error
        return body.whole()

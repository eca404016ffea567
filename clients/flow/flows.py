"""Everything the clients do but I/O, as generators that say what to send and are told the answer.

Each flow yields an effect (`effects.py`); `ChatClient` performs it by blocking,
`AsyncChatClient` by awaiting, and both send the result back in, or throw the `ClientError` that
it came to.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from pydantic_core import from_json

from clients.errors import (
    ClientError,
    EmptyAnswerError,
    MalformedReplyError,
    RequestTimeoutError,
    ServiceUnavailableError,
    StructuredOutputError,
    TransportError,
)
from clients.flow.effects import A, Flow, ReadOn, RunCalls, RunEvent, Send, SendChat, Sleep
from clients.flow.structured import T, asked_again, read_answer, response_format
from clients.http.endpoint import Endpoint
from clients.http.retry import RetryPolicy, retry_pause_seconds
from clients.http.server_side import Health, ServerInfo, ServerMetrics
from clients.http.stream import StreamState
from clients.http.timeouts import Timeouts
from clients.http.wire import AnswerFold
from clients.reply import ChatReply, ReplyBuilder
from clients.request import EmptyAnswer, Messages, conversation, request_arguments
from clients.tools.arguments import are_lost
from clients.tools.calls import (
    ArgumentsLost,
    ToolResult,
    ToolRoundsError,
    ToolRun,
    assistant_message,
    by_name,
    result_message,
)
from clients.tools.tool import Tool

_NS_PER_SECOND = 1_000_000_000
# SGLang's own limit for a health check is 20 s. Whoever gives up sooner and asks again piles up
# checks on a server that is only busy.
HEALTH_TIMEOUT_SECONDS = 25.0


@dataclass(slots=True)
class Flows:
    """The flows of one client."""

    endpoint: Endpoint
    model: str | None
    admin_key: str | None = field(repr=False)
    timeouts: Timeouts
    retry: RetryPolicy
    report_acceptance: bool
    clock_ns: Callable[[], int] = time.monotonic_ns
    fraction: Callable[[], float] = random.random

    def chat(
        self, messages: Messages, options: Mapping[str, Any], on_empty: EmptyAnswer = "keep"
    ) -> Flow[ChatReply]:
        """Ask and wait for the whole answer; see `ChatClient.chat`."""
        reply = yield from self._chat(messages, options)
        if reply.answer_in_reasoning and on_empty == "ask_again":
            reply = yield from self._chat(messages, {**options, "thinking": False})
        if reply.answer_in_reasoning and on_empty != "keep":
            raise EmptyAnswerError(
                f"The answer from {self.endpoint.base_url} came wholly as reasoning "
                f"({len(reply.reasoning):,} characters), its content is empty.",
                reply=reply,
            )
        return reply

    def open_stream(
        self, messages: Messages, options: Mapping[str, Any]
    ) -> Flow[tuple[httpx.Response, StreamState]]:
        """Ask and wait for the first token; see `ChatClient.stream`."""
        arguments = yield from self._arguments(messages, options)
        arguments["stream"] = True
        arguments["stream_options"] = {"include_usage": True}
        started_ns = self.clock_ns()
        response, deadline_ns = yield from self._exchange(
            lambda timeout: SendChat(arguments, stream=True, timeout=timeout), stream=True
        )
        # httpcore reads the limit when the body's first bytes are asked for, from this very
        # dictionary: until then it was that of the first token.
        left = max((deadline_ns - self.clock_ns()) / _NS_PER_SECOND, 0.001)
        limits = response.request.extensions.get("timeout", {})
        limits["read"] = min(self.timeouts.between_tokens_seconds, left)
        state = StreamState(
            str(response.request.url),
            started_ns=started_ns,
            deadline_ns=deadline_ns,
            clock_ns=self.clock_ns,
        )
        return response, state

    def parse(
        self, messages: Messages, shape: type[T], options: Mapping[str, Any], *, retries: int
    ) -> Flow[T]:
        """Ask for an instance; see `ChatClient.parse`."""
        talk = conversation(messages)
        asked = {**options, "response_format": response_format(shape)}
        for attempt in range(retries + 1):
            reply = yield from self._chat(talk, asked)
            value = read_answer(reply, shape)
            if not isinstance(value, str):
                return value
            if attempt == retries:
                break
            if reply.content or not reply.reasoning:
                talk = [*conversation(messages), *asked_again(reply, value)]
            else:
                # A known defect: all of it as reasoning. Without thinking it has nowhere to go.
                asked["thinking"] = False
        raise StructuredOutputError(
            f"No {shape.__name__} after {retries + 1} tries: {value}",
            reply=reply,
            tries=retries + 1,
        )

    def run_tools(
        self,
        messages: Messages,
        tools: Sequence[Tool[..., Any]],
        options: Mapping[str, Any],
        *,
        max_rounds: int,
        stream: bool,
        on_event: Callable[[RunEvent], None] | None,
    ) -> Flow[ToolRun]:
        """Ask, call tools, and ask again until an answer calls none; see `ChatClient.run_tools`."""
        named = by_name(tools)
        tell = (lambda _: None) if on_event is None else on_event
        talk = conversation(messages)
        asked = {**options, "tools": tools}
        results: list[tuple[ToolResult, ...]] = []
        repeated = 0
        for _ in range(max_rounds + 1):
            if stream:
                response, state = yield from self.open_stream(talk, asked)
                reply: ChatReply = yield ReadOn(response, state, tell)
            else:
                reply = yield from self._chat(talk, asked)
            if lost := _lost(reply, named):
                tell(ArgumentsLost(reply, lost))
                repeated += 1
                # In one piece: the parser that loses arguments is that of streams.
                reply = yield from self._chat(talk, asked)
            talk.append(assistant_message(reply, named))
            if not reply.tool_calls:
                return ToolRun(reply, tuple(talk), tuple(results), repeated)
            if len(results) == max_rounds:
                break
            done = yield RunCalls(reply.tool_calls, named)
            results.append(done)
            for result in done:
                talk.append(result_message(result))
                tell(result)
        run = ToolRun(reply, tuple(talk), tuple(results), repeated)
        called = ", ".join(call.name for call in reply.tool_calls)
        raise ToolRoundsError(
            f"After {max_rounds} rounds, the most allowed, the model still calls {called}.", run=run
        )

    def models(self) -> Flow[tuple[str, ...]]:
        """Ask for the names of the models."""
        return self._get("/v1/models", _model_names)

    def health(self, path: str, timeout_seconds: float) -> Flow[Health]:
        """Ask once whether the server generates, or takes requests."""
        try:
            yield Send("GET", path, httpx.Timeout(timeout_seconds))
        except (ServiceUnavailableError, RequestTimeoutError) as error:
            unreachable = isinstance(error, RequestTimeoutError) and error.kind == "connect"
            return "unreachable" if unreachable else "unhealthy"
        except TransportError:
            return "unreachable"
        except ClientError:
            return "unhealthy"
        return "healthy"

    def server_info(self) -> Flow[ServerInfo]:
        """Ask how the model is served."""
        return self._get("/server_info", lambda answer: ServerInfo.from_body(answer.content))

    def metrics(self) -> Flow[ServerMetrics]:
        """Ask for load and counters."""
        return self._get("/metrics", lambda answer: ServerMetrics.from_text(answer.text))

    def abort(self, request_id: str) -> Flow[None]:
        """Ask the server to end a request."""
        timeout = self.timeouts.of_request(stream=True, remaining_seconds=HEALTH_TIMEOUT_SECONDS)
        yield Send("POST", "/abort_request", timeout, {"rid": request_id}, self.admin_key)

    def _chat(self, messages: Messages, options: Mapping[str, Any]) -> Flow[ChatReply]:
        arguments = yield from self._arguments(messages, options)
        started_ns = self.clock_ns()
        response, _ = yield from self._exchange(
            lambda timeout: SendChat(arguments, stream=False, timeout=timeout), stream=False
        )
        builder = ReplyBuilder()
        try:
            for event in AnswerFold().message(response.content):
                builder.add(event)
        except ValueError as error:
            raise self._malformed(error) from error
        return builder.build(started_ns=started_ns, first_token_ns=None, ended_ns=self.clock_ns())

    def _get(self, path: str, read: Callable[[httpx.Response], A]) -> Flow[A]:
        response, _ = yield from self._exchange(
            lambda timeout: Send("GET", path, timeout), stream=True, reads_only=True
        )
        try:
            return read(response)
        except (ValueError, KeyError, TypeError) as error:
            raise self._malformed(error) from error

    def _exchange(
        self,
        request: Callable[[httpx.Timeout], SendChat | Send],
        *,
        stream: bool,
        reads_only: bool = False,
    ) -> Flow[tuple[httpx.Response, int]]:
        """Send, and send again what may be. Gives the response and the call's deadline."""
        deadline_ns = self.clock_ns() + int(self.timeouts.total_seconds * _NS_PER_SECOND)
        attempt = 0
        while True:
            left = max((deadline_ns - self.clock_ns()) / _NS_PER_SECOND, 0.001)
            timeout = self.timeouts.of_request(stream=stream, remaining_seconds=left)
            try:
                response: httpx.Response = yield request(timeout)
            except ClientError as error:
                pause = retry_pause_seconds(
                    error,
                    attempt=attempt,
                    policy=self.retry,
                    reads_only=reads_only,
                    fraction=self.fraction(),
                )
                if pause is None or self.clock_ns() + pause * _NS_PER_SECOND > deadline_ns:
                    raise
            else:
                return response, deadline_ns
            attempt += 1
            yield Sleep(pause)

    def _arguments(self, messages: Messages, options: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        model = options.get("model") or self.model
        if model is None:
            names = yield from self.models()
            if not names:
                raise self._malformed("it lists no model")
            # Threads that ask at the same time get the same answer.
            model = self.model = names[0]
        asked: Any = {**options, "model": model}
        return request_arguments(messages, report_acceptance=self.report_acceptance, **asked)

    def _malformed(self, detail: object) -> MalformedReplyError:
        url = self.endpoint.base_url
        return MalformedReplyError(f"{url} did not answer as a chat server: {detail}.", url=url)


def _lost(reply: ChatReply, tools: Mapping[str, Tool[..., Any]]) -> tuple[str, ...]:
    return tuple(
        call.name
        for call in reply.tool_calls
        if call.name in tools and are_lost(tools[call.name], call.arguments)
    )


def _model_names(answer: httpx.Response) -> tuple[str, ...]:
    return tuple(str(model["id"]) for model in from_json(answer.content)["data"])

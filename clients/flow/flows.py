"""Everything the clients do but I/O, as generators that say what to send and are told the answer.

Each flow yields an effect (`effects.py`); `ChatClient` performs it by blocking,
`AsyncChatClient` by awaiting, and both send the result back in, or throw the `ClientError` that
it came to.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from clients.errors import ClientError, StructuredOutputError
from clients.flow.answers import check_demand, empty_answer
from clients.flow.asking import NS_PER_SECOND, Asking
from clients.flow.effects import Flow, ReadOn, RunCalls, RunEvent, SendChat, Sleep, Tell
from clients.flow.structured import Shape, Value, asked_again
from clients.http.retry import cut_pause_seconds
from clients.http.streams.state import StreamState
from clients.http.streams.stream import OpenStream
from clients.http.timeouts import limit_reads
from clients.http.wire import AnswerFold
from clients.reply import ChatReply, ReplyBuilder
from clients.request import (
    AskOptions,
    ChatOptions,
    EmptyAnswer,
    Messages,
    ToolLike,
    check_choice,
    check_options,
    conversation,
    demanded_call,
    request_arguments,
)
from clients.tools.arguments import are_lost
from clients.tools.calls import (
    ArgumentsLost,
    ToolResult,
    ToolRoundsError,
    ToolRun,
    assistant_message,
    by_name,
)
from clients.tools.tool import Tool

# Never told there: a key, or what a message, an argument or an answer says.
_log = logging.getLogger("specserve.client")
# Whoever aborted it, or withheld it, would do so again.
_NOT_ASKED_AGAIN = frozenset({"aborted", "filtered"})
_RUN_OPTIONS = frozenset({"max_rounds", "stream", "on_event"})
_PARSE_OPTIONS = ChatOptions.__optional_keys__ - {"response_format"}


@dataclass(frozen=True, slots=True)
class _StreamRequest:
    """What is asked for by a stream, also when it is begun anew."""

    arguments: dict[str, Any]
    started_ns: int
    deadline_ns: int


@dataclass(slots=True)
class Flows(Asking):
    """The flows of one client."""

    def chat(
        self, messages: Messages, options: Mapping[str, Any], on_empty: EmptyAnswer = "keep"
    ) -> Flow[ChatReply]:
        """Ask and wait for the whole answer; see `ChatClient.chat`."""
        check_options("chat", options, ChatOptions.__optional_keys__ | {"on_empty"})
        check_choice("on_empty", on_empty, EmptyAnswer)
        reply = yield from self._chat(messages, options)
        if not reply.is_empty or on_empty == "keep":
            return reply
        tries = 1
        if on_empty == "ask_again" and reply.empty_cause not in _NOT_ASKED_AGAIN:
            _log.info("answer.asked_again cause=%s", reply.empty_cause)
            reply = yield from self._chat(messages, {**options, "thinking": False})
            tries = 2
        if reply.is_empty:
            raise empty_answer(reply, self.endpoint.base_url, tries=tries)
        return reply

    def open_stream(self, messages: Messages, options: Mapping[str, Any]) -> Flow[OpenStream]:
        """Ask and wait for the first token; see `ChatClient.stream`."""
        check_options("stream", options, ChatOptions.__optional_keys__)
        arguments = yield from self._arguments(messages, options)
        arguments["stream"] = True
        arguments["stream_options"] = {"include_usage": True}
        started_ns = self.clock_ns()
        deadline_ns = started_ns + int(self.timeouts.total_seconds * NS_PER_SECOND)
        return (yield from self._begin(_StreamRequest(arguments, started_ns, deadline_ns), 0))

    def _begin(self, asked: _StreamRequest, attempt: int) -> Flow[OpenStream]:
        sent_ns = self.clock_ns()
        response, deadline_ns = yield from self.exchange(
            lambda limits: SendChat(asked.arguments, True, *limits),  # noqa: FBT003 - it is a stream
            stream=True,
            deadline_ns=asked.deadline_ns,
        )
        left = (deadline_ns - self.clock_ns()) / NS_PER_SECOND
        limit_reads(response, min(self.timeouts.between_tokens_seconds, left))
        state = StreamState(
            str(response.request.url),
            started_ns=asked.started_ns,
            sent_ns=sent_ns,
            deadline_ns=deadline_ns,
            clock_ns=self.clock_ns,
            timeouts=self.timeouts,
            limits=self.limits,
            check=lambda reply: check_demand(reply, demanded_call(asked.arguments)),
        )
        return OpenStream(response, state, lambda error: self._begin_again(asked, attempt, error))

    def _begin_again(
        self, asked: _StreamRequest, attempt: int, error: ClientError
    ) -> Flow[OpenStream | None]:
        """Ask for a stream anew that was cut; None where it is not to be."""
        pause = cut_pause_seconds(
            error, attempt=attempt, policy=self.retry, fraction=self.fraction()
        )
        if pause is None or self.clock_ns() + pause * NS_PER_SECOND > asked.deadline_ns:
            return None
        _log.warning(
            "stream.restarted attempt=%d pause_seconds=%.3f cause=%s",
            attempt + 1,
            pause,
            type(error).__name__,
        )
        yield Sleep(pause)
        return (yield from self._begin(asked, attempt + 1))

    def parse(
        self, messages: Messages, given: Any, options: Mapping[str, Any], *, retries: int
    ) -> Flow[Any]:
        """Ask for an instance; see `ChatClient.parse`."""
        check_options("parse", options, _PARSE_OPTIONS | {"retries"})
        shape: Shape[Any] = Shape.of(given)
        talk = conversation(messages)
        asked = {**options, "response_format": shape.response_format()}
        for attempt in range(retries + 1):
            reply = yield from self._chat(talk, asked)
            value = shape.read(reply)
            if isinstance(value, Value):
                return value.value
            if attempt == retries:
                break
            cause = reply.empty_cause or reply.finish_reason
            _log.info("answer.asked_again shape=%s cause=%s", shape.name, cause)
            if reply.content.strip() or not reply.reasoning:
                talk = [*conversation(messages), *asked_again(reply, value)]
            else:
                # A known defect: all of it as reasoning. Without thinking it has nowhere to go.
                asked["thinking"] = False
        raise StructuredOutputError(
            f"No {shape.name} after {retries + 1} tries: {value}",
            reply=reply,
            tries=retries + 1,
        )

    def run_tools(
        self,
        messages: Messages,
        tools: Sequence[ToolLike],
        options: Mapping[str, Any],
        *,
        max_rounds: int,
        stream: bool,
        on_event: Callable[[RunEvent], object] | None,
    ) -> Flow[ToolRun]:
        """Ask, call tools, and ask again until an answer calls none; see `ChatClient.run_tools`."""
        check_options("run_tools", options, AskOptions.__optional_keys__ | _RUN_OPTIONS)
        named = by_name(tools)
        tell = on_event or (lambda _: None)
        talk = conversation(messages)
        asked = {**options, "tools": tuple(named.values())}
        results: list[tuple[ToolResult, ...]] = []
        repeated = 0
        for _ in range(max_rounds + 1):
            if stream:
                opened = yield from self.open_stream(talk, asked)
                reply: ChatReply = yield ReadOn(opened, tell)
            else:
                reply = yield from self._chat(talk, asked)
            if lost := _lost(reply, named):
                _log.warning("arguments.lost tools=%s request=%s", ",".join(lost), reply.request_id)
                yield Tell(ArgumentsLost(reply, lost), tell)
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
            # A call was demanded once. Demanded again and again, it would never come to an end.
            if options.get("tool_choice") != "none":
                asked["tool_choice"] = None
            for result in done:
                talk.append(result.as_message())
                _log_result(result)
                yield Tell(result, tell)
        run = ToolRun(reply, tuple(talk), tuple(results), repeated)
        called = ", ".join(call.name for call in reply.tool_calls)
        raise ToolRoundsError(
            f"After {max_rounds} rounds, the most allowed, the model still calls {called}.", run=run
        )

    def _chat(self, messages: Messages, options: Mapping[str, Any]) -> Flow[ChatReply]:
        arguments = yield from self._arguments(messages, options)
        started_ns = self.clock_ns()
        body, _ = yield from self.exchange(
            lambda limits: SendChat(arguments, False, *limits),  # noqa: FBT003 - it is no stream
            stream=False,
        )
        builder = ReplyBuilder()
        try:
            for event in AnswerFold().message(body):
                builder.add(event)
        except ValueError as error:
            raise self.malformed(error) from error
        reply = builder.build(started_ns=started_ns, first_token_ns=None, ended_ns=self.clock_ns())
        check_demand(reply, demanded_call(arguments))
        return reply

    def _arguments(self, messages: Messages, options: Mapping[str, Any]) -> Flow[dict[str, Any]]:
        model = options.get("model") or self.model
        if model is None:
            names = yield from self.models()
            if not names:
                raise self.malformed("it lists no model")
            # Threads that ask at the same time get the same answer.
            model = self.model = names[0]
        asked: Any = {**options, "model": model}
        return request_arguments(messages, report_acceptance=self.report_acceptance, **asked)


def _log_result(result: ToolResult) -> None:
    if result.repairs:
        names = ",".join(repair.argument for repair in result.repairs)
        _log.warning("arguments.repaired tool=%s arguments=%s", result.call.name, names)
    if result.is_error:
        _log.info("tool.failed tool=%s", result.call.name)


def _lost(reply: ChatReply, tools: Mapping[str, Tool[..., Any]]) -> tuple[str, ...]:
    return tuple(
        call.name
        for call in reply.tool_calls
        if call.name in tools and are_lost(tools[call.name], call.arguments)
    )

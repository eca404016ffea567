"""What a server sends, turned into our events: one fold over decoded JSON. Pure: no I/O.

The JSON is read once, and no object of the openai SDK is built from it: that is most of what the
SDK spends on a chunk. Where its parts stand is known to `chunk`.
"""

from __future__ import annotations

import reprlib
from dataclasses import dataclass, field
from typing import Any

from pydantic_core import from_json

from clients.events import (
    Acceptance,
    ContentDelta,
    Done,
    ReasoningDelta,
    Started,
    StreamEvent,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
    Usage,
)
from clients.http.chunk import (
    END_MARK,
    REASONING_FIELDS,
    cached_tokens_in,
    matched_stop_in,
    parts_of_calls,
    reasoning_in,
    reasoning_tokens_in,
    speculation_in,
    text_of,
)
from clients.http.sse import LARGEST_EVENT_BYTES, EventDecoder

_OPENING = "<think>"
_SHAPE_ERRORS = (AttributeError, IndexError, KeyError, TypeError)


class ServerEventError(Exception):
    """The stream holds an error event; `body` is what stood under `error`."""

    def __init__(self, body: object) -> None:
        super().__init__(reprlib.repr(body))
        self.body = body


@dataclass(slots=True)
class _OpenCall:
    """A tool call while its parts arrive."""

    index: int
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)


class AnswerFold:
    """Adds up one answer's bytes, chunks or message into events.

    GLM-4.5 begins its reasoning and its content with a line break, as its chat template writes
    them. No event holds that one; further ones are the answer's own.

    Args:
        largest_event_bytes: of one event of a stream.

    Attributes:
        started: whether anything of the answer has come.
        whole: whether the answer has come to its end.
        completed: the events of the last bytes, also where `feed` or `end` has raised behind them.
    """

    def __init__(self, largest_event_bytes: int = LARGEST_EVENT_BYTES) -> None:
        self.started = False
        self.whole = False
        self.completed: list[StreamEvent] = []
        self._thinks = False
        self._speaks = False
        self._decoder = EventDecoder(largest_event_bytes)
        self._finish_reason: str | None = None
        self._matched_stop: str | None = None
        # By the server's index; ours counts calls in the order in which they began.
        self._calls: dict[int, _OpenCall] = {}
        self._count = 0

    @property
    def answered(self) -> bool:
        """Whether a token has come, though it may have been such a line break."""
        return self._thinks or self._speaks or self._count > 0

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Read the next bytes of a stream.

        Args:
            data: as they came from the network.

        Returns:
            The events that they complete; none for a chunk that carries no news.

        Raises:
            ServerEventError: an error event stands in the stream.
            EventTooLargeError: an event is too long; a ValueError, too.
            ValueError: it is not a stream of chat completion chunks.
        """
        self.completed = []
        return self._read(self._decoder.feed(data))

    def end(self) -> list[StreamEvent]:
        """Read what the decoder still holds once the body has ended. Raises as `feed` does."""
        self.completed = []
        return self._read(self._decoder.end())

    def message(self, body: bytes) -> list[StreamEvent]:
        """Read an answer that came in one piece as the events a stream would have had.

        Args:
            body: JSON of a chat completion.

        Returns:
            The events, from `Started` to `Done`.

        Raises:
            ValueError: it is not a chat completion.
        """
        completion = from_json(body)
        events: list[StreamEvent] = []
        try:
            choice = completion["choices"][0]
            delta = _without_opening(choice["message"])
            self._chunk({**completion, "choices": [{**choice, "delta": delta}]}, events)
        except _SHAPE_ERRORS as error:
            raise ValueError(f"not a chat completion: {reprlib.repr(completion)}") from error
        self._close(events)
        return events

    def _read(self, payloads: list[bytes]) -> list[StreamEvent]:
        events = self.completed
        for payload in payloads:
            if self.whole:
                break
            if payload.startswith(END_MARK):
                self._close(events)
                continue
            chunk = from_json(payload)
            try:
                self._chunk(chunk, events)
            except _SHAPE_ERRORS as error:
                message = f"not a chunk of a chat completion: {reprlib.repr(chunk)}"
                raise ValueError(message) from error
        return events

    def _close(self, events: list[StreamEvent]) -> None:
        # Without a finish reason nothing says that the answer is whole.
        if self._finish_reason is not None:
            self._finish_calls(events)
            events.append(Done(self._finish_reason, self._matched_stop))
            self.whole = True

    def _chunk(self, chunk: dict[str, Any], events: list[StreamEvent]) -> None:
        if chunk.get("error"):
            raise ServerEventError(chunk["error"])
        choices = chunk["choices"]
        if not self.started:
            events.append(Started(chunk["id"], chunk["model"]))
            self.started = True
        for choice in choices:
            if choice.get("index"):
                continue
            delta = choice["delta"]
            if reasoning := reasoning_in(delta):
                if text := reasoning if self._thinks else reasoning.removeprefix("\n"):
                    events.append(ReasoningDelta(text))
                self._thinks = True
            if content := delta.get("content"):
                if text := content if self._speaks else content.removeprefix("\n"):
                    events.append(ContentDelta(text))
                self._speaks = True
            if calls := delta.get("tool_calls"):
                self._add_calls(calls, events)
            if reason := choice.get("finish_reason"):
                self._finish_reason = reason
                self._matched_stop = matched_stop_in(choice)
                self._finish_calls(events)
        if usage := chunk.get("usage"):
            events.append(_usage(usage))
        if chunk.get("sglext"):
            _add_acceptance(speculation_in(chunk), events)

    def _add_calls(self, calls: list[dict[str, Any]], events: list[StreamEvent]) -> None:
        for key, part, function in parts_of_calls(calls):
            call_id = part.get("id") or ""
            call = self._calls.get(key)
            # A new id under an index already in use is another call: a parser that loses count
            # must not glue the arguments of two calls together.
            if call is None or (call_id and call_id != call.id):
                if call is not None:
                    _finish_call(call, events)
                elif self._calls:
                    self._finish_calls(events)
                call = _OpenCall(self._count, call_id, function.get("name") or "")
                self._calls[key] = call
                self._count += 1
                events.append(ToolCallStarted(call.index, call.id, call.name))
            if text := text_of(function.get("arguments")):
                call.arguments.append(text)
                events.append(ToolArgumentsDelta(call.index, text))

    def _finish_calls(self, events: list[StreamEvent]) -> None:
        for call in self._calls.values():
            _finish_call(call, events)
        self._calls.clear()


def _finish_call(call: _OpenCall, events: list[StreamEvent]) -> None:
    events.append(ToolCallDone(call.index, call.id, call.name, "".join(call.arguments)))


def _without_opening(message: dict[str, Any]) -> dict[str, Any]:
    """Take `<think>` off the reasoning, as SGLang's parser does in a stream.

    GLM-4.5 begins its answer with a line break. Where the answer comes in one piece, the parser
    takes the mark off at the very start only, and so leaves it (`_detect_and_parse_impl`
    in sglang/srt/parser/reasoning_parser.py).
    """
    for name in REASONING_FIELDS:
        text = message.get(name)
        if isinstance(text, str) and text.lstrip().startswith(_OPENING):
            message = {**message, name: text.replace(_OPENING, "", 1)}
    return message


def _add_acceptance(details: dict[str, Any], events: list[StreamEvent]) -> None:
    if details.get("spec_verify_ct"):
        events.append(
            Acceptance(
                length=details["spec_accept_length"],
                rate=details["spec_accept_rate"],
                verify_rounds=details["spec_verify_ct"],
            )
        )


def _usage(usage: dict[str, Any]) -> Usage:
    return Usage(
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        total_tokens=usage["total_tokens"],
        reasoning_tokens=reasoning_tokens_in(usage),
        cached_tokens=cached_tokens_in(usage),
    )

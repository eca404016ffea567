"""One streamed answer: what has arrived, when, and how it ended. Pure: no I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

import httpx

from clients.errors import (
    AnswerTooLargeError,
    BrokenStreamError,
    ClientError,
    StreamClosedError,
)
from clients.events import ContentDelta, ReasoningDelta, ToolArgumentsDelta, ToolCallStarted
from clients.http.failures import stalled, stream_failure
from clients.http.sse import EventTooLargeError
from clients.http.transport import AnswerLimits
from clients.http.wire import AnswerFold, ServerEventError
from clients.reply import ChatReply, ReplyBuilder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from clients.errors import TimeoutKind
    from clients.events import StreamEvent
    from clients.http.timeouts import Timeouts

_NS_PER_SECOND = 1_000_000_000
_PIECES = (ContentDelta, ReasoningDelta, ToolArgumentsDelta)
# In characters: the least that Python keeps for a piece of text.
_PIECE_COST = 16
_TIMEOUT = httpx.TimeoutException
STREAM_FAILURES = (httpx.HTTPError, ServerEventError, ValueError)


class StreamState:
    """One stream: what has arrived, when, and how it ended. Pure: no I/O.

    Args:
        url: where it comes from.
        started_ns: the clock just before the request was sent for the first time.
        sent_ns: the same, for this time.
        deadline_ns: the clock at which the request has taken too long.
        clock_ns: a monotonic clock in nanoseconds.
        timeouts: how long the first token, and the next, may take.
        limits: how much is taken.
        check: raises where a whole answer is not what was demanded.
    """

    def __init__(
        self,
        url: str,
        *,
        started_ns: int,
        sent_ns: int,
        deadline_ns: int,
        clock_ns: Callable[[], int],
        timeouts: Timeouts,
        limits: AnswerLimits | None = None,
        check: Callable[[ChatReply], None] = lambda _: None,
    ) -> None:
        self.url = url
        self.failure: ClientError | None = None
        self._check = check
        self._first_wait_ns = int(timeouts.first_token_seconds * _NS_PER_SECOND)
        self._next_wait_ns = int(timeouts.between_tokens_seconds * _NS_PER_SECOND)
        self._started_ns = started_ns
        # The last token; until there is one, the start.
        self._token_ns = sent_ns
        self._deadline_ns = deadline_ns
        self._clock_ns = clock_ns
        self._first_token_ns: int | None = None
        self._ended_ns: int | None = None
        self._limits = limits or AnswerLimits()
        self._characters = 0
        self._fold = AnswerFold(self._limits.event_bytes)
        self._builder = ReplyBuilder()
        self._late: tuple[StreamEvent, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether the answer has come to its end."""
        return self._fold.whole

    @property
    def started(self) -> bool:
        """Whether the first chunk has come."""
        return self._fold.started

    def receive(self, data: bytes) -> list[StreamEvent]:
        """Take in bytes.

        Args:
            data: the next ones, cut anywhere.

        Returns:
            The events that they complete.

        Raises:
            ServerEventError: see `AnswerFold.feed`.
            StreamTimeoutError: the call has taken too long.
            AnswerTooLargeError: all of its text is too long.
            ValueError: see `AnswerFold.feed`.
        """
        now_ns = self._clock_ns()
        self._late = ()
        try:
            events = self._fold.feed(data)
        finally:
            # What came in the same bytes as an error has come.
            self._late = tuple(self._fold.completed)
            self._add(self._late, now_ns)
        if not self._fold.whole and (kind := self._too_slow(now_ns)):
            raise stalled(self.url, kind, self.partial())
        self._late = ()
        return events

    def finish(self) -> list[StreamEvent]:
        """Take in the end of the body.

        Returns:
            The events that the last bytes complete.

        Raises:
            BrokenStreamError: the answer is not whole. A proxy that gives up ends the body in
                good order, which no lower layer notices.
        """
        now_ns = self._clock_ns()
        try:
            events = self._fold.end()
        finally:
            self._late = tuple(self._fold.completed)
            self._add(self._late, now_ns)
        if not self._fold.whole:
            raise BrokenStreamError(
                f"The stream from {self.url} ended without a finish reason.",
                url=self.url,
                reason="incomplete",
                partial=self.partial(),
            )
        self._late = ()
        return events

    def take_late(self) -> tuple[StreamEvent, ...]:
        """The events that came with what `receive` or `finish` has raised, once."""
        late, self._late = self._late, ()
        return late

    def fail(self, error: Exception) -> NoReturn:
        """Keep and raise what broke the stream.

        Args:
            error: one of httpx's, or one that `receive` or `finish` raised.

        Raises:
            ClientError: the cause, from the error.
        """
        self.end()
        if isinstance(error, ClientError):
            self.failure = error
            raise error
        if isinstance(error, EventTooLargeError):
            self.failure = self._too_large("event_bytes", error.measured)
            raise self.failure from error
        late = self._too_slow(self._clock_ns()) if isinstance(error, _TIMEOUT) else None
        if late is not None:
            self.failure = stalled(self.url, late, self.partial())
        else:
            assert isinstance(error, STREAM_FAILURES)  # noqa: S101 - the streams catch no other
            self.failure = stream_failure(
                error, url=self.url, partial=self.partial(), started=self._fold.started
            )
        raise self.failure from error

    def end(self) -> None:
        """Note the time of the end, once."""
        if self._ended_ns is None:
            self._ended_ns = self._clock_ns()

    def reply(self) -> ChatReply:
        """Give the whole answer.

        Raises:
            StreamClosedError: it was closed before its end.
            MissingToolCallError: a call was demanded, and none came.
            ClientError: it broke.
        """
        if self.failure is not None:
            raise self.failure
        if not self.whole:
            raise StreamClosedError("The stream was closed before its end.")
        reply = self.partial()
        self._check(reply)
        return reply

    def partial(self) -> ChatReply:
        """Give what has arrived so far."""
        return self._builder.build(
            started_ns=self._started_ns,
            first_token_ns=self._first_token_ns,
            ended_ns=self._clock_ns() if self._ended_ns is None else self._ended_ns,
        )

    def _add(self, events: Sequence[StreamEvent], now_ns: int) -> None:
        if self._first_token_ns is None and self._fold.answered:
            self._first_token_ns = now_ns
        if events and self._fold.answered:
            self._token_ns = now_ns
        for event in events:
            if isinstance(event, _PIECES):
                self._characters += _PIECE_COST + len(event.text)
            elif isinstance(event, ToolCallStarted):
                self._characters += _PIECE_COST + len(event.id) + len(event.name)
            self._builder.add(event)
        if self._characters > self._limits.text_characters:
            # What is too much is handed to nobody.
            self._late = ()
            raise self._too_large("text_characters", self._characters)

    def _too_large(self, limit: str, measured: int) -> AnswerTooLargeError:
        return AnswerTooLargeError(
            url=self.url,
            limit=limit,
            allowed=getattr(self._limits, limit),
            measured=measured,
            partial=self.partial(),
        )

    def _too_slow(self, now_ns: int) -> TimeoutKind | None:
        """Say which limit is passed; what only keeps the connection alive is no token."""
        if now_ns > self._deadline_ns:
            return "total"
        waited_ns = now_ns - self._token_ns
        if not self._fold.answered:
            return "first_token" if waited_ns > self._first_wait_ns else None
        return "between_tokens" if waited_ns > self._next_wait_ns else None

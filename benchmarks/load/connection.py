"""One HTTP/1.1 connection: carries one request at a time and takes times when bytes arrive.

This is the hot path: at 256 streams it runs ten thousand times a second, and each microsecond
counts as the server's delay for all others. So nothing is decoded here: the pieces of a body are
kept with their times, and `benchmarks.load.reading` makes sense of them later.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import httptools

MOST_ANSWER_BYTES = 64 * 1024 * 1024
"""Of one answer, which is kept until it is read: 100,000 tokens have about half of it."""

TOO_LARGE = "AnswerTooLarge"
"""How the failure of a larger one begins."""

BUFFER_BYTES = 65_536
"""Of the one buffer that all connections of a pool read into, one after the other."""


@dataclass(slots=True)
class HttpAnswer:
    """What came of one request, not decoded. Times are `time.monotonic_ns`.

    Attributes:
        sent_ns: just before the request was written, for the first time if it was sent twice;
            None if no connection was had.
        status: of HTTP; None if no head of an answer arrived.
        pieces: the body as it arrived.
        piece_ns: shape [pieces]: when each arrived. Pieces of one read share their time.
        ended_ns: when the body ended by its framing, or the failure.
        is_heard: a byte of an answer arrived, of whatever kind.
        is_whole: the body ended by its framing.
        is_cut_off: we gave up on it, at the time-out or at Ctrl-C.
        failure: class and message of what went wrong on the connection.
    """

    sent_ns: int | None = None
    status: int | None = None
    pieces: list[bytes] = field(default_factory=list)
    piece_ns: list[int] = field(default_factory=list)
    ended_ns: int = 0
    is_heard: bool = False
    is_whole: bool = False
    is_cut_off: bool = False
    failure: str | None = None

    @property
    def is_lost_unheard(self) -> bool:
        """Whether the request was sent and the connection ended without a byte of an answer."""
        return self.failure is not None and self.sent_ns is not None and not self.is_heard

    def fail(self, error: Exception) -> None:
        """Note why there is no more of it."""
        self.failure = f"{type(error).__name__}: {error}"
        self.ended_ns = time.monotonic_ns()

    def cut_off(self) -> None:
        """Note that we gave up on it, unless it had ended."""
        if not self.is_whole and self.failure is None:
            self.is_cut_off = True
            self.ended_ns = time.monotonic_ns()

    def begin_again(self) -> None:
        """Forget the failure on a connection that was closed while it lay idle, not its time."""
        self.failure = None


class Connection(asyncio.BufferedProtocol):
    """Sends a request, fills an `HttpAnswer`, and can then be used for the next.

    `BufferedProtocol`, since each read of the plain one begins with 256 KiB from the allocator.

    Args:
        buffer: to read into. It is read out before the loop turns to the next connection, so all
            connections of one loop share it.

    Attributes:
        lost: done once the socket is closed.
    """

    __slots__ = (
        "_answer",
        "_answer_bytes",
        "_buffer",
        "_done",
        "_ends_with_connection",
        "_now_ns",
        "_parser",
        "_transport",
        "_usable",
        "lost",
    )

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._done: asyncio.Future[None] | None = None
        self._answer: HttpAnswer | None = None
        self._answer_bytes = 0
        self._parser: httptools.HttpResponseParser | None = None
        self._transport: asyncio.Transport | None = None
        self._now_ns = 0
        self._usable = False
        self._ends_with_connection = False

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent."""
        return self._usable and self._answer is None

    async def exchange(self, request: bytes, answer: HttpAnswer) -> None:
        """Send a request and wait for the end of its answer, good or bad.

        Args:
            request: head and body, complete.
            answer: filled as bytes arrive, so that it holds what there is when this is cancelled.

        Raises:
            asyncio.CancelledError: the connection is closed then.
        """
        assert self._transport is not None  # noqa: S101 - a pool hands out connected ones only
        self._answer = answer
        self._answer_bytes = 0
        self._ends_with_connection = False
        self._parser = httptools.HttpResponseParser(self)
        self._done = asyncio.get_running_loop().create_future()
        if answer.sent_ns is None:
            answer.sent_ns = time.monotonic_ns()
        self._transport.write(request)
        try:
            await self._done
        except asyncio.CancelledError:
            self._answer = None
            self.abort()
            raise

    def abort(self) -> None:
        """Close at once; the server notices, and stops working for us."""
        self._usable = False
        if self._transport is not None:
            self._transport.abort()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport. asyncio has set TCP_NODELAY."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio promises
        self._transport = transport
        self._usable = True

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Give the shared buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take the time, then find the body in what arrived."""
        self._now_ns = time.monotonic_ns()
        if self._answer is None or self._parser is None:
            # Nothing was asked: what this server sends next could be taken for an answer.
            self.abort()
            return
        self._answer.is_heard = True
        try:
            self._parser.feed_data(self._buffer[:nbytes])
            # Of the head, too, which httptools keeps while a header has no end.
            self._answer_bytes += nbytes
            if self._answer_bytes > MOST_ANSWER_BYTES and self._answer is not None:
                self._fail(f"{TOO_LARGE}: more than {MOST_ANSWER_BYTES:,} bytes")
                self.abort()
        except httptools.HttpParserError as error:
            self._fail(f"{type(error).__name__}: not HTTP/1.1: {error}")
            self.abort()

    def eof_received(self) -> bool:
        """Let asyncio close the connection."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """End the answer: for some framings this is the ordinary end."""
        self._usable = False
        if self._answer is not None:
            self._now_ns = time.monotonic_ns()
            if exc is not None:
                self._fail(f"{type(exc).__name__}: {exc}")
            elif self._ends_with_connection:
                self._finish()
            else:
                self._fail("ConnectionLost: the server closed the connection")
        self._parser = None
        if not self.lost.done():
            self.lost.set_result(None)

    # What httptools calls.

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002 - httptools' signature
        """See whether the head says where the body ends."""
        if name.lower() in {b"content-length", b"transfer-encoding"}:
            self._ends_with_connection = False

    def on_message_begin(self) -> None:
        """Without a header that says otherwise the body ends with the connection."""
        self._ends_with_connection = True
        if self._answer is None:
            self._usable = False

    def on_headers_complete(self) -> None:
        """Note the status."""
        if self._answer is not None and self._parser is not None:
            self._answer.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        """Keep a piece with its time."""
        if self._answer is not None:
            self._answer.pieces.append(body)
            self._answer.piece_ns.append(self._now_ns)

    def on_message_complete(self) -> None:
        """End the answer, unless it is one that only announces the real one."""
        if self._answer is None or self._parser is None:
            return
        if self._answer.status is not None and self._answer.status < 200:
            self._answer.status = None
            return
        keep = self._parser.should_keep_alive()
        self._finish()
        if not keep and self._transport is not None:
            self._usable = False
            self._transport.close()

    def _finish(self) -> None:
        if self._answer is not None:
            self._answer.is_whole = True
        self._end()

    def _fail(self, failure: str) -> None:
        if self._answer is not None:
            self._answer.failure = failure
        self._end()

    def _end(self) -> None:
        if self._answer is not None:
            self._answer.ended_ns = self._now_ns
            self._answer = None
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

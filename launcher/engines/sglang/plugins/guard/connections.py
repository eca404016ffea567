"""What is read from a connection before anybody has shown a key: bounded in bytes and time.

uvicorn reads headers and bodies without end (uvicorn/protocols/http/httptools_impl.py), and its
parser copies a header's value again with each piece that arrives: a hundred megabytes of one line
keep the process busy for minutes.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from launcher.engines.sglang.plugins.guard.bounds import (
    BODY_BYTES,
    HEADER_BYTES,
    HEADER_SECONDS,
    LINGER_SECONDS,
)

_TOO_LONG: Final = f"The request line and the headers are longer than {HEADER_BYTES} bytes."
_TOO_LARGE: Final = f"The body is larger than {BODY_BYTES} bytes."
_TOO_SLOW: Final = f"The headers took longer than {HEADER_SECONDS:g} s."


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, with an answer and an end where a request goes beyond a bound."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_refused = False
        self._awaits_headers = True
        self._timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._body_bytes = 0
        # Bytes since the parser last handed on something that need not be kept.
        self._silent_bytes = 0
        self._progressed = False

    # --- asyncio's side ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for the first request, but not forever."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and count what the parser has to keep of it."""
        if self._is_refused:
            return
        if self._awaits_headers:
            self._start_timer()
        self._progressed = False
        super().data_received(data)
        self._silent_bytes = 0 if self._progressed else self._silent_bytes + len(data)
        if self._silent_bytes > HEADER_BYTES:
            self._refuse(431, _TOO_LONG)

    # --- the parser's side ---

    def on_message_begin(self) -> None:
        """Count anew."""
        if self._is_refused:
            return
        self._header_bytes = self._body_bytes = 0
        self._start_timer()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        """Take a part of the request line."""
        if self._has_room(len(url)):
            super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer behind the body."""
        if self._has_room(len(name) + len(value)):
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Begin the answer, where the body may be taken at all."""
        if self._is_refused:
            return
        self._awaits_headers = False
        self._progressed = True
        self._stop_timer()
        if self._announced_bytes() > BODY_BYTES:
            self._refuse(413, _TOO_LARGE)
            return
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """See that a body goes on."""
        self._progressed = True

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        if self._is_refused:
            return
        self._progressed = True
        self._body_bytes += len(body)
        if self._body_bytes > BODY_BYTES:
            self._refuse(413, _TOO_LARGE)
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        if self._is_refused:
            return
        self._awaits_headers = True
        self._progressed = True
        super().on_message_complete()

    # --- bounds ---

    def _has_room(self, count: int) -> bool:
        if self._is_refused:
            return False
        self._header_bytes += count
        if self._header_bytes > HEADER_BYTES:
            self._refuse(431, _TOO_LONG)
        return not self._is_refused

    def _announced_bytes(self) -> int:
        """What Content-Length says; the parser has seen that it is a number."""
        lengths = [value for name, value in self.headers if name == b"content-length"]
        # Of so many digits that Python would not read them.
        return max((int(value[:30]) for value in lengths if value[:30].isdigit()), default=0)

    def _start_timer(self) -> None:
        if self._timer is None and not self._is_refused:
            self._timer = self.loop.call_later(HEADER_SECONDS, self._time_out)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
        self._timer = None
        cycle = self._last_cycle()
        if cycle is None or cycle.response_complete:
            self._refuse(408, _TOO_SLOW)
        # Otherwise an answer is under way, and its end has a time limit of its own.

    def _last_cycle(self) -> RequestResponseCycle | None:
        """The last request that was complete enough to be answered; None before the first."""
        return self.cycle

    def _refuse(self, status: int, problem: str) -> None:
        """Answer, if nobody else does, and read no more."""
        self._is_refused = True
        self._stop_timer()
        if self.transport.is_closing():
            return
        cycle = self._last_cycle()
        is_ours = cycle is None or cycle.response_complete or not cycle.response_started
        if cycle is not None and not cycle.response_complete:
            # The application is told that the client has gone, and its answer goes nowhere.
            cycle.disconnected = True
            cycle.message_event.set()
        if not is_ours or self.pipeline:
            self.transport.close()
            return
        self.transport.write(_answer(status, problem))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        # Closed at once, with bytes unread, the connection would take the answer with it.
        self.flow.resume_reading()
        self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _answer(status: int, problem: str) -> bytes:
    error = {"message": problem, "type": "invalid_request_error", "param": None, "code": status}
    body = json.dumps({"error": error}).encode()
    return STATUS_LINE[
        status
    ] + b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
        len(body),
        body,
    )

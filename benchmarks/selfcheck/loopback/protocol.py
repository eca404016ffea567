"""The loopback server's side of a connection: requests in, answers by their schedule out."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
from typing import TYPE_CHECKING

import httptools
from pydantic_core import from_json, to_json

from benchmarks.selfcheck.loopback.stream import MODEL, Stream, head

if TYPE_CHECKING:
    from benchmarks.selfcheck.loopback.schedule import Schedule, Truth

_UNDERSTAND_SECONDS = 0.01
_SERVER_INFO = {
    "version": "0",
    "served_model_name": MODEL,
    "model_path": MODEL,
    "status": "ready",
    "max_total_num_tokens": 1_000_000,
}
_MODELS = {"object": "list", "data": [{"id": MODEL, "object": "model", "root": MODEL}]}
_PAGES = {
    "/v1/models": to_json(_MODELS),
    "/server_info": to_json(_SERVER_INFO),
    "/get_server_info": to_json(_SERVER_INFO),
    "/health": b"",
    "/health_generate": b"",
    "/flush_cache": b"",
}


class Server:
    """What all connections share.

    Attributes:
        schedule: the default.
        truths: in the order in which answers ended.
        seen: chat requests since the start.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.truths: list[Truth] = []
        self.seen = 0

    def page(self, path: str) -> bytes | None:
        """Give what stands under a path; None for nothing."""
        match path:
            case "/loopback/truth":
                return to_json(self.truths)
            case "/loopback/seen":
                return to_json(self.seen)
            case "/loopback/forget":
                self.truths.clear()
                self.seen = 0
                return b""
        return _PAGES.get(path)


class ServerProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._stream: Stream | None = None
        self._arrived_ns = 0
        self._path = ""
        self._body: list[bytes] = []

    # For a stream.

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self._transport.write(data)

    def finish(self, truth: Truth, *, close: bool) -> None:
        """Note a whole answer, and be ready for the next request."""
        self._server.truths.append(truth)
        self._stream = None
        if close and self._transport is not None:
            self._transport.close()

    def commit(self, fault: str, *, has_begun: bool) -> bool:
        """Let a fault happen; say whether it ends the answer."""
        transport = self._transport
        if transport is None or fault in {"no finish reason", "no end mark"}:
            return False
        begin = b"" if has_begun else head("chunked", 0)
        match fault:
            case "exit":
                os._exit(1)
            case "close":
                transport.close()
            case "reset":
                linger = struct.pack("ii", 1, 0)
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                transport.abort()
            case "garbage":
                transport.write(b"\x00garbage\xff\r\n\r\n")
            case "not json":
                transport.write(begin + b"10\r\ndata: {not json\n\r\n")
                transport.write(b"1\r\n\n\r\n0\r\n\r\n")
            case "error event":
                error = {"object": "error", "message": "out of memory", "code": 500}
                data = b"data: " + to_json({"error": error}) + b"\n\n"
                data += b"data: [DONE]\n\n"
                transport.write(begin + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))
        if fault != "stall":
            self._stream = None
        return True

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - what asyncio promises
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Find requests in it."""
        self._arrived_ns = time.monotonic_ns()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if self._transport is not None:
                self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Stop writing."""
        self._transport = None
        if self._stream is not None:
            self._stream.cancel()
            self._stream = None

    # What httptools calls.

    def on_url(self, url: bytes) -> None:
        """Note the path."""
        self._path = url.partition(b"?")[0].decode("ascii", errors="replace")
        self._body = []

    def on_body(self, body: bytes) -> None:
        """Keep a piece."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer."""
        if self._path != "/v1/chat/completions":
            page = self._server.page(self._path)
            self._whole(404 if page is None else 200, page or b"")
            return
        number = self._server.seen
        self._server.seen += 1
        # Requests that come together are all read before any is understood: what it takes to
        # understand one must not make the next one's arrival look late.
        later = min(_UNDERSTAND_SECONDS, self._server.schedule.first_seconds / 2)
        data = b"".join(self._body)
        loop = asyncio.get_running_loop()
        loop.call_later(later, self._understand, data, number, self._arrived_ns)

    def _understand(self, data: bytes, number: int, arrived_ns: int) -> None:
        if self._transport is None:
            return
        try:
            body = from_json(data)
            schedule = self._server.schedule.of_request(body)
            key = schedule.key_of(body)
            max_tokens = body.get("max_tokens") or body.get("max_completion_tokens")
            streams = body.get("stream")
        except (ValueError, TypeError, AttributeError) as error:
            self._refuse(400, str(error))
            return
        if not streams:
            self._refuse(400, "this server only streams")
        elif schedule.fault == "refuse status":
            self._refuse(500, "as was asked for")
        else:
            self._stream = Stream(
                self,
                schedule,
                number=number,
                key=key,
                max_tokens=max_tokens,
                received_ns=arrived_ns,
            )

    def _refuse(self, status: int, message: str) -> None:
        self._whole(status, to_json({"object": "error", "message": message, "code": status}))

    def _whole(self, status: int, body: bytes) -> None:
        reason = {200: b"OK", 400: b"Bad Request", 404: b"Not Found"}.get(status, b"Error")
        self.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (status, reason, len(body), body)
        )

"""Connections to one server: opened ahead, kept, and closed together."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

from pydantic_core import to_json

from benchmarks.errors import PlanError, TargetError
from benchmarks.load.connection import BUFFER_BYTES, Connection, HttpAnswer

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from benchmarks.load.target import Target

CONNECT_TIMEOUT_SECONDS = 10.0
_CLOSE_TIMEOUT_SECONDS = 1.0
_CONNECTING_AT_ONCE = 64
"""More would overflow the queue of a server that listens with a short one."""


class Pool:
    """The connections of one cell. Leaving it closes all of them; proxies are not asked.

    Args:
        target: where they go.

    Raises:
        PlanError: its URL or its key cannot be used.
    """

    def __init__(self, target: Target) -> None:
        try:
            url = urlsplit(target.base_url)
            host, port = url.hostname, url.port
        except ValueError as error:
            raise _no_url(target.base_url) from error
        if url.scheme not in {"http", "https"} or not host or not url.netloc.isascii():
            raise _no_url(target.base_url)
        self._host = host
        self._port = port or (443 if url.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if url.scheme == "https" else None
        self._target = target
        self._head = _head(url.path.rstrip("/"), url.netloc.rpartition("@")[2], target.api_key)
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        self._idle: list[Connection] = []
        self._all: set[Connection] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._all:
            connection.abort()
        if self._all:
            await asyncio.wait([one.lost for one in self._all], timeout=_CLOSE_TIMEOUT_SECONDS)

    def encode(self, body: dict[str, Any]) -> bytes:
        """One request, head and body, ready to be written."""
        data = to_json(body)
        return b"%sContent-Length: %d\r\n\r\n%s" % (self._head, len(data), data)

    async def warm(self, count: int) -> None:
        """Open connections, so that no request has to wait for one.

        Fails silently: the requests will meet the same failure, and record it.
        """
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def open_one() -> None:
            async with gate:
                self._idle.append(await self._connect())

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(_quietly(open_one()))

    async def send(self, request: bytes, answer: HttpAnswer) -> None:
        """Send a request over an idle connection or a new one.

        A server may close an idle connection at any time, also while a request is on its way to
        it. Such a request is sent once more, over a new connection; its time counts from the first.

        Args:
            request: as `encode` gave it.
            answer: filled; a failure is noted in it.

        Raises:
            asyncio.CancelledError: what was in flight is closed.
        """
        connection = self._take()
        has_lain_idle = connection is not None
        try:
            connection = connection or await self._connect()
            await connection.exchange(request, answer)
            if has_lain_idle and answer.is_lost_unheard:
                answer.begin_again()
                connection = await self._connect()
                await connection.exchange(request, answer)
        except (OSError, UnicodeError) as error:
            answer.fail(error)
        except asyncio.CancelledError:
            answer.cut_off()
            raise
        else:
            if connection.is_usable:
                self._idle.append(connection)

    def _take(self) -> Connection | None:
        while self._idle:
            # The one used last: least likely to be closed by the server for being idle.
            if (connection := self._idle.pop()).is_usable:
                return connection
        return None

    async def _connect(self) -> Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            _, connection = await loop.create_connection(
                lambda: Connection(self._buffer), self._host, self._port, ssl=self._tls
            )
        self._all.add(connection)
        try:
            # The connection leads to whoever listened when it was made.
            self._target.check()
        except TargetError as error:
            connection.abort()
            raise ConnectionRefusedError(error.problem) from error
        connection.lost.add_done_callback(lambda _: self._all.discard(connection))
        return connection


async def _quietly(opening: Coroutine[None, None, None]) -> None:
    try:
        await opening
    except (OSError, UnicodeError):
        return


def _head(path: str, host: str, api_key: str | None) -> bytes:
    lines = [
        f"POST {path}/v1/chat/completions HTTP/1.1",
        f"Host: {host}",
        "Accept: text/event-stream",
        "Content-Type: application/json",
    ]
    if api_key is not None:
        if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise PlanError(
                "The API key holds characters that a header cannot.",
                action="Check the file or the variable it comes from for a line break.",
            )
        lines.append(f"Authorization: Bearer {api_key}")
    return "\r\n".join([*lines, ""]).encode("ascii")


def _no_url(url: str) -> PlanError:
    return PlanError(
        # What stands before an @ could be a password.
        f"{url.rpartition('@')[2]!r} is no URL of a server.",
        action="Give http:// or https://, host and port.",
    )

"""Plain HTTP with bounds: every byte is kept, nothing is repaired, nothing is followed."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import httpx

from clients.conformance.text import quote
from clients.errors import NotThatServerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.http.local.own_server import OwnServer

MOST_BYTES: Final = 8 * 2**20
"""Of one answer. The longest that is asked for has some hundred KiB."""

_CONNECT_SECONDS: Final = 5.0
_HIDDEN: Final = "[key]"


@dataclass(slots=True)
class Exchange:
    """One request, and all that came back.

    Attributes:
        method: of HTTP.
        path: with its leading slash.
        sent: the body as it went out.
        status: `None` if no answer began.
        content_type: as the server gave it.
        received: the body, at most `MOST_BYTES`.
        failure: why the answer is not whole; `None` if it is.
        seconds: from sending to the end.
        arrivals: of each piece of the body, the seconds since sending and its bytes.
    """

    method: str
    path: str
    sent: bytes = b""
    status: int | None = None
    content_type: str = ""
    location: str = ""
    received: bytes = b""
    failure: str | None = None
    seconds: float = 0.0
    arrivals: list[tuple[float, int]] = field(default_factory=list, repr=False)

    def seconds_to(self, share: float) -> float:
        """The seconds from sending until that share of the body's bytes had come."""
        due, come = share * len(self.received), 0
        for seconds, size in self.arrivals:
            come += size
            if come >= due:
                return seconds
        return self.seconds

    def json(self) -> Any:
        """Decode the body.

        Raises:
            ValueError: it is not JSON, or nested too deeply to be read.
        """
        return strict_json(self.received)

    @property
    def message(self) -> str:
        """What an error says of itself: OpenAI's nested form, or the flat one."""
        try:
            body = self.json()
        except ValueError:
            return ""
        inner = body.get("error", body) if isinstance(body, dict) else None
        said = inner.get("message") if isinstance(inner, dict) else inner
        return said if isinstance(said, str) else ""


def strict_json(text: bytes | str) -> Any:
    """Decode JSON as RFC 8259 has it.

    Raises:
        ValueError: it is none; `NaN` and `Infinity` are none; or it is nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class Wire:
    """Sends requests to one server and to no other.

    Args:
        base_url: scheme, host and port, without `/v1`.
        api_key: goes into the header, and is taken out of all that comes back.
        timeout_seconds: for one whole answer.
        loopback: whether the server is on this machine; then no proxy is asked.
        own: proves that the port is the server's, where its run record gave it.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        *,
        timeout_seconds: float,
        loopback: bool,
        own: OwnServer | None = None,
    ) -> None:
        self._extensions = {} if own is None else {"trace": own.when_connected_async}
        self.timeout_seconds = timeout_seconds
        self.failures_in_a_row = 0
        self._key = (api_key or "").encode()
        # No compression: a small body could unfold into one without bounds.
        headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self._http = httpx.AsyncClient(
            base_url=base_url,
            headers=headers,
            timeout=httpx.Timeout(timeout_seconds, connect=min(_CONNECT_SECONDS, timeout_seconds)),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=8),
            follow_redirects=False,
            trust_env=own is None and not loopback,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        content: bytes = b"",
        *,
        on_bytes: Callable[[bytes], None] | None = None,
    ) -> Exchange:
        """Send one request and read its answer to the end, or to a bound.

        Args:
            method: of HTTP.
            path: below the base URL.
            content: the body.
            on_bytes: called with each piece as it arrives.

        Returns:
            What came back; its `failure` says why that is not all. Never raises for the server.
        """
        exchange = Exchange(method, path, content)
        began = time.monotonic()
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self.timeout_seconds):
                await self._read(exchange, parts, began, on_bytes)
        except (TimeoutError, httpx.TimeoutException):
            exchange.failure = f"no whole answer within {self.timeout_seconds:g} s"
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            exchange.failure = f"the connection failed: {quote(str(error) or type(error).__name__)}"
        except NotThatServerError as error:
            exchange.failure = f"nothing was sent: {quote(error.problem)}"
        finally:
            exchange.seconds = time.monotonic() - began
            exchange.received = self._without_key(b"".join(parts))
        if exchange.failure:
            exchange.failure += f", after {len(exchange.received)} bytes"
        dead = exchange.failure is not None
        self.failures_in_a_row = self.failures_in_a_row + 1 if dead else 0
        return exchange

    async def _read(
        self,
        exchange: Exchange,
        parts: list[bytes],
        began: float,
        on_bytes: Callable[[bytes], None] | None,
    ) -> None:
        size = 0
        request = self._http.build_request(
            exchange.method, exchange.path, content=exchange.sent, extensions=self._extensions
        )
        response = await self._http.send(request, stream=True)
        try:
            exchange.status = response.status_code
            exchange.content_type = response.headers.get("content-type", "")
            exchange.location = response.headers.get("location", "")
            async for part in response.aiter_raw():
                parts.append(part[: MOST_BYTES - size])
                exchange.arrivals.append((time.monotonic() - began, len(part)))
                size += len(part)
                if on_bytes is not None:
                    on_bytes(part)
                if size > MOST_BYTES:
                    exchange.failure = f"an answer of more than {MOST_BYTES // 2**20} MiB"
                    return
        finally:
            await response.aclose()

    def without_key(self, text: str) -> str:
        """Take the key out of a text."""
        return text.replace(self._key.decode(), _HIDDEN) if self._key else text

    def _without_key(self, data: bytes) -> bytes:
        return data.replace(self._key, _HIDDEN.encode()) if self._key else data

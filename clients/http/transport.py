"""httpx's clients, held to three rules whatever answers: whose port it is, how much, from where.

They stand below the openai SDK, which reads the bodies of errors and of all but chats by itself.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import httpx

from clients.errors import (
    AnswerTooLargeError,
    ClientError,
    ConfigurationError,
    MalformedReplyError,
)

if TYPE_CHECKING:
    from clients.http.local.own_server import OwnServer

_MIB = 1024**2
# Of httpcore, which gives up there and has no parameter for it: `HTTP11Connection` in
# httpcore/_sync/http11.py, and the words of h11 for it.
_MOST_HEADER_BYTES = 100 * 1024
_HEADERS_TOO_LONG = "buffer too long"
_FIRST_UNUSUAL_STATUS = 300
_CHAT_PATH = "/chat/completions"


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """How much of one answer is taken; more is an `AnswerTooLargeError`. Each at least 1.

    Bytes count as they arrive: compressed answers are not asked for, and refused. The head of an
    answer has 100 KiB at most. Far beyond what models answer: a million tokens have some five
    million characters.

    Attributes:
        body_bytes: of a chat's answer in one piece, or of an error. Decoded it may need 24 times
            as much memory.
        info_bytes: likewise, of what `models()`, `server_info()`, `metrics()` and `abort()` get.
        event_bytes: of one line or event of a stream.
        text_characters: of a stream's text, reasoning and arguments together; each piece counts
            for 16 more, which is what keeping it costs.
    """

    body_bytes: int = 32 * _MIB
    info_bytes: int = 4 * _MIB
    event_bytes: int = 8 * _MIB
    text_characters: int = 64 * _MIB

    def __post_init__(self) -> None:
        """Refuse what is no limit."""
        for field in fields(self):
            value = getattr(self, field.name)
            if type(value) is not int or value < 1:
                raise ConfigurationError(
                    f"{field.name} is {value!r}; it must be a whole number above 0."
                )


class _Bound:
    """Counts what comes of one body.

    Args:
        response: unread.
        limits: of the client.
    """

    def __init__(self, response: httpx.Response, limits: AnswerLimits) -> None:
        request = response.request
        is_chat = request.url.path.endswith(_CHAT_PATH)
        self._url = str(request.url)
        self._name = "body_bytes" if is_chat else "info_bytes"
        self._allowed: int = getattr(limits, self._name)
        self._came = 0
        read = request.extensions.get("timeout", {}).get("read")
        self._deadline = None if read is None else time.monotonic() + read

    def add(self, data: bytes) -> None:
        """Take in a piece.

        Raises:
            AnswerTooLargeError: it is too much.
            httpx.ReadTimeout: the body takes longer as a whole than each part of it may.
        """
        self._came += len(data)
        if self._came > self._allowed:
            raise AnswerTooLargeError(
                url=self._url, limit=self._name, allowed=self._allowed, measured=self._came
            )
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise httpx.ReadTimeout("The body was not whole in time.")


class _BoundedStream(httpx.SyncByteStream):
    def __init__(self, stream: httpx.SyncByteStream, bound: _Bound) -> None:
        self._stream = stream
        self._bound = bound

    def __iter__(self) -> Iterator[bytes]:
        for data in self._stream:
            self._bound.add(data)
            yield data

    def close(self) -> None:
        self._stream.close()


class _BoundedAsyncStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream, bound: _Bound) -> None:
        self._stream = stream
        self._bound = bound

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            self._bound.add(data)
            yield data

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(slots=True)
class Rules:
    """What both clients below keep to.

    Attributes:
        limits: how much is taken.
        own: proves that the port is the server's; `None` for an address that the user gave.
        is_proven: whether it has, since the last failure.
    """

    limits: AnswerLimits
    own: OwnServer | None = None
    is_proven: bool = False

    def before(self, request: httpx.Request, *, is_async: bool) -> None:
        """Prepare a request.

        Raises:
            NotThatServerError: another server listens there.
        """
        # A small body could unfold into one without bounds.
        request.headers["Accept-Encoding"] = "identity"
        if self.own is None:
            return
        if not self.is_proven:
            self.own.check()
            self.is_proven = True
        own = self.own
        request.extensions = {
            **request.extensions,
            "trace": own.when_connected_async if is_async else own.when_connected,
        }

    def failed(self, error: Exception, request: httpx.Request) -> None:
        """Take note of a failure: who listens there may be another by now.

        Raises:
            AnswerTooLargeError: the head of the answer was too long.
        """
        self.is_proven = False
        if isinstance(error, httpx.RemoteProtocolError) and _HEADERS_TOO_LONG in str(error):
            raise AnswerTooLargeError(
                url=str(request.url),
                limit="headers",
                allowed=_MOST_HEADER_BYTES,
                measured=_MOST_HEADER_BYTES + 1,
            ) from error

    def check_encoding(self, response: httpx.Response) -> None:
        """See that the answer is what it was asked to be: not compressed.

        Raises:
            MalformedReplyError: it is.
        """
        encoding = response.headers.get("content-encoding", "identity")
        if encoding.strip().lower() not in {"identity", ""}:
            url = str(response.request.url)
            raise MalformedReplyError(
                f"The answer from {url} is compressed ({encoding[:40]!r}), unasked.",
                url=url,
                action="Switch compression off in the proxy before the server.",
            )


class RuledClient(httpx.Client):
    """A client that keeps to the rules, and follows no redirect.

    Args:
        rules: to keep to.
        given: sends, where the user has passed a transport of his own; it is not closed.
        arguments: of httpx's client.
    """

    def __init__(self, rules: Rules, given: httpx.Client | None = None, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._rules = rules
        self._given = given

    @property
    def is_closed(self) -> bool:
        """Whether it, or the one that was given, is closed."""
        return super().is_closed or (self._given is not None and self._given.is_closed)

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        """As httpx has it; headers and parameters of the one that was given are its own."""
        build = super().build_request if self._given is None else self._given.build_request
        return build(*args, **kwargs)

    def send(
        self, request: httpx.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx.Response:
        """As httpx has it.

        Raises:
            ClientError: see `Rules`.
        """
        self._rules.before(request, is_async=False)
        arguments["follow_redirects"] = False
        send = super().send if self._given is None else self._given.send
        try:
            response = send(request, stream=True, **arguments)
            try:
                self._rules.check_encoding(response)
                if not stream or response.status_code >= _FIRST_UNUSUAL_STATUS:
                    assert isinstance(response.stream, httpx.SyncByteStream)  # noqa: S101 - httpx
                    bound = _Bound(response, self._rules.limits)
                    response.stream = _BoundedStream(response.stream, bound)
                    response.read()
            except BaseException:
                response.close()
                raise
        except (httpx.HTTPError, ClientError) as error:
            self._rules.failed(error, request)
            raise
        return response


class RuledAsyncClient(httpx.AsyncClient):
    """The same for asyncio."""

    def __init__(
        self, rules: Rules, given: httpx.AsyncClient | None = None, **arguments: Any
    ) -> None:
        super().__init__(**arguments)
        self._rules = rules
        self._given = given

    @property
    def is_closed(self) -> bool:
        """Whether it, or the one that was given, is closed."""
        return super().is_closed or (self._given is not None and self._given.is_closed)

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        """As httpx has it; headers and parameters of the one that was given are its own."""
        build = super().build_request if self._given is None else self._given.build_request
        return build(*args, **kwargs)

    async def send(
        self, request: httpx.Request, *, stream: bool = False, **arguments: Any
    ) -> httpx.Response:
        """As httpx has it.

        Raises:
            ClientError: see `Rules`.
        """
        self._rules.before(request, is_async=True)
        arguments["follow_redirects"] = False
        send = super().send if self._given is None else self._given.send
        try:
            response = await send(request, stream=True, **arguments)
            try:
                self._rules.check_encoding(response)
                if not stream or response.status_code >= _FIRST_UNUSUAL_STATUS:
                    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - httpx
                    bound = _Bound(response, self._rules.limits)
                    response.stream = _BoundedAsyncStream(response.stream, bound)
                    await response.aread()
            except BaseException:
                await response.aclose()
                raise
        except (httpx.HTTPError, ClientError) as error:
            self._rules.failed(error, request)
            raise
        return response

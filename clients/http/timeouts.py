"""How long the client waits, each wait with a name of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import httpx

from clients.errors import AnswerTooLargeError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from clients.errors import TimeoutKind

_SHORTEST_WAIT_SECONDS = 0.001


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The longest waits, in seconds; each more than 0.

    Attributes:
        connect_seconds: for a connection to one address. A host name may stand for several, which
            `ChatClient` tries in turn, each for as long; TLS has as long again.
        first_token_seconds: from sending a request to its first token: queueing and prefill.
            SGLang opens a stream with that token. Where a server opens it sooner, a silence is
            taken for one between tokens, and signs of life do not prolong this wait. Without
            streaming no token is seen before the last, and `total_seconds` alone counts. The
            answers of `models()`, `server_info()` and `metrics()` have as long to begin.
        between_tokens_seconds: from one token of a stream to the next. Comments and empty chunks,
            by which servers and proxies keep a connection alive, are none.
        total_seconds: for one request and its answer, repetitions and their pauses included.
            `parse()`, `run_tools()` and `on_empty="ask_again"` may make several requests. It is
            looked at whenever bytes arrive and at each wait's end, so that a server which falls
            silent halfway is noticed late: in a stream by `between_tokens_seconds` at most,
            otherwise by what was left when its answer began.
    """

    connect_seconds: float = 5.0
    first_token_seconds: float = 600.0
    between_tokens_seconds: float = 120.0
    total_seconds: float = 3600.0

    def __post_init__(self) -> None:
        """Refuse what is no time: it would wait for ever, or not at all."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not (value > 0 and math.isfinite(value)):
                raise ConfigurationError(f"{field.name} is {value}; it must be above 0, finite.")

    def of_request(
        self, *, stream: bool, remaining_seconds: float
    ) -> tuple[httpx.Timeout, TimeoutKind]:
        """Give the waits of one request up to its first byte.

        Args:
            stream: whether the answer has a first token to wait for.
            remaining_seconds: what is left of the total.

        Returns:
            The same, in httpx's words, and which of them a wait for that byte is.
        """
        connect = min(self.connect_seconds, remaining_seconds)
        if stream and self.first_token_seconds < remaining_seconds:
            return httpx.Timeout(self.first_token_seconds, connect=connect), "first_token"
        return httpx.Timeout(remaining_seconds, connect=connect), "total"


def limit_reads(response: httpx.Response, seconds: float) -> None:
    """Set how long each wait for more of a body may be, before its first bytes are asked for.

    httpcore reads the limit then, from this very dictionary, and never again for that body.
    """
    limits = response.request.extensions.get("timeout", {})
    limits["read"] = max(seconds, _SHORTEST_WAIT_SECONDS)


class BodyInTime:
    """The body of an answer in one piece, which has to be whole by a deadline, within a bound.

    httpx limits each wait for more of it. A proxy that sends a blank every now and then, to keep
    the connection alive, would go on for ever.

    Args:
        response: unread.
        deadline_ns: by which it has to be whole.
        clock_ns: a monotonic clock in nanoseconds.
        largest_bytes: most that is taken.
    """

    def __init__(
        self,
        response: httpx.Response,
        deadline_ns: int,
        clock_ns: Callable[[], int],
        largest_bytes: int,
    ) -> None:
        self._url = str(response.request.url)
        self._largest_bytes = largest_bytes
        self._came = 0
        self._deadline_ns = deadline_ns
        self._clock_ns = clock_ns
        self._parts: list[bytes] = []
        limit_reads(response, (deadline_ns - clock_ns()) / 1_000_000_000)

    def add(self, data: bytes) -> None:
        """Take in more.

        Raises:
            httpx.ReadTimeout: it is too late.
            AnswerTooLargeError: it is too much.
        """
        self._came += len(data)
        if self._came > self._largest_bytes:
            raise AnswerTooLargeError(
                url=self._url,
                limit="body_bytes",
                allowed=self._largest_bytes,
                measured=self._came,
            )
        self._parts.append(data)
        if self._clock_ns() > self._deadline_ns:
            raise httpx.ReadTimeout("The body was not whole in time.")

    def whole(self) -> bytes:
        """Give it."""
        return b"".join(self._parts)

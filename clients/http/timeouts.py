"""How long the client waits, each wait with a name of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import httpx

from clients.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Timeouts:
    """The longest waits, in seconds; each more than 0.

    Attributes:
        connect_seconds: for a connection.
        first_token_seconds: from sending a request to the start of its stream, which SGLang
            opens with the first token: queueing and prefill. Without streaming no token is seen
            before the last, and `total_seconds` alone counts.
        between_tokens_seconds: for the next bytes of a stream.
        total_seconds: for one call, retries and their pauses included. A stream looks at it
            whenever bytes arrive and at each wait's end, so that a silent server is noticed at
            most `between_tokens_seconds` later.
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

    def of_request(self, *, stream: bool, remaining_seconds: float) -> httpx.Timeout:
        """Give the waits of one request up to its first byte.

        Args:
            stream: whether the answer is streamed.
            remaining_seconds: what is left of the total.

        Returns:
            The same, in httpx's words.
        """
        read = self.first_token_seconds if stream else self.total_seconds
        return httpx.Timeout(
            min(read, remaining_seconds), connect=min(self.connect_seconds, remaining_seconds)
        )

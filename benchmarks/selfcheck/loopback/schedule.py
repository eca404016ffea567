"""What a loopback server sends, and when: a known truth to hold measurements against. No I/O."""

from __future__ import annotations

import math
import random
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

Fault = Literal[
    "refuse status",
    "close",
    "reset",
    "stall",
    "garbage",
    "not json",
    "error event",
    "no finish reason",
    "no end mark",
    "exit",
]
"""`close`, `reset`, `stall`, `garbage`, `not json`, `error event` and `exit` come after
`fault_after_chunks`; `close` and `reset` after 0 chunks come before the head of the answer."""


class Schedule(BaseModel):
    """The default of a loopback server; a request changes any of it under `loopback` in its body.

    Attributes:
        first_seconds: from the request's arrival to the first chunk.
        first_spread_seconds: added to it, a different part of it for each request in turn, so that
            streams that begin together do not go in step.
        gap_seconds: between chunks.
        gap_spread_seconds: added to it, in the same way.
        chunks: None: as many as `max_tokens` of the request takes.
        tokens_per_chunk: as a verify step would accept.
        slowdown: all of the above times this.
        noise_sigma: of the logarithm of a factor on each request's times, whose median is 1.
        seed: of that factor, with the request's number.
        framing: how the body's end is told.
        fault: what goes wrong; None for nothing.
        fault_after_chunks: after how many.
        key: by which `Truth` names the request; empty: by the text of its last message.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_seconds: float = Field(default=0.0, ge=0)
    first_spread_seconds: float = Field(default=0.0, ge=0)
    gap_seconds: float = Field(default=0.0, ge=0)
    gap_spread_seconds: float = Field(default=0.0, ge=0)
    chunks: int | None = Field(default=None, ge=1)
    tokens_per_chunk: int = Field(default=3, ge=1)
    slowdown: float = Field(default=1.0, gt=0)
    noise_sigma: float = Field(default=0.0, ge=0)
    seed: int = 0
    framing: Literal["chunked", "length", "close"] = "chunked"
    fault: Fault | None = None
    fault_after_chunks: int = Field(default=0, ge=0)
    key: str = ""

    def of_request(self, body: dict[str, Any]) -> Self:
        """This, with what a request changes of it.

        Raises:
            ValueError: it changes what there is not, or to what cannot be.
        """
        changes = body.get("loopback")
        return self if changes is None else self.model_validate({**self.model_dump(), **changes})

    def key_of(self, body: dict[str, Any]) -> str:
        """By what `Truth` names a request."""
        messages = body.get("messages") or [{}]
        return self.key or str(messages[-1].get("content"))

    def offsets_seconds(self, number: int) -> tuple[float, float]:
        """The first chunk's time after the request's arrival, and the gap between chunks.

        Formula: chunk k is due at first + k gap; both are (base + spread u) slowdown exp(sigma z),
        with u the fractional part of number times the golden ratio and z a standard normal draw.

        Args:
            number: of the request since the server started.

        Returns:
            Both in seconds.
        """
        # Any run of numbers fills the interval evenly.
        part = number * (math.sqrt(5) - 1) / 2 % 1
        draw = random.Random(f"{self.seed} {number}")  # noqa: S311 - no secret
        factor = self.slowdown * math.exp(draw.gauss(0, self.noise_sigma))
        first = self.first_seconds + self.first_spread_seconds * part
        gap = self.gap_seconds + self.gap_spread_seconds * part
        return first * factor, gap * factor


class Truth(BaseModel):
    """What the server did for one request.

    Times are `time.monotonic_ns`, which all processes of a machine share.

    Attributes:
        key: of the request.
        received_ns: its last byte had arrived.
        first_ns: just before the first chunk was written.
        last_ns: just before the last chunk was written, end mark included.
        tokens: that the usage says.
        chunks: with text.
    """

    model_config = ConfigDict(frozen=True)

    key: str
    received_ns: int
    first_ns: int
    last_ns: int
    tokens: int
    chunks: int

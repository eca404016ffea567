"""The bounds of one request, and what is known of the model that some of them follow from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# --- a connection ---
HEADER_BYTES: Final = 64 << 10  # request line and headers together; trailers too
BODY_BYTES: Final = 32 << 20
HEADER_SECONDS: Final = 30.0
# How long the rest of a refused request is read and thrown away, so that the answer arrives.
LINGER_SECONDS: Final = 2.0

# --- a request ---
# OpenAI's own bound of `n`.
CHOICES: Final = 128
SEQUENCES: Final = 4_096  # prompts times choices
TOP_LOGPROBS: Final = 128
INT32: Final = 2**31 - 1
INT64: Final = 2**63 - 1
FLOAT: Final = 1e30  # stays finite in float32 when it is divided by the lowest temperature
PORT: Final = 65_535

# --- its text ---
# Bytes of text per token of the context. A token of GLM's vocabulary has four on average.
BYTES_PER_TOKEN: Final = 32
GRAMMAR_BYTES: Final = 128 << 10
GRAMMAR_RULES: Final = 1_000
SCHEMA_NODES: Final = 4_096
SCHEMA_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class ModelBounds:
    """What the model that is served bounds.

    Args:
        vocabulary: number of token ids.
        hidden_size: width of an embedding.
        context_tokens: longest prompt and answer together.
    """

    vocabulary: int
    hidden_size: int
    context_tokens: int

    @property
    def text_bytes(self) -> int:
        """The most text of one request, in bytes of UTF-8."""
        return max(64 << 10, self.context_tokens * BYTES_PER_TOKEN)


class BoundError(ValueError):
    """A request that asks for more than a bound allows. SGLang answers a ValueError with 400."""

    def __init__(self, field: str, problem: str, value: object) -> None:
        super().__init__(f"{field} {problem}, got {_short(value)}.")


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        # Python refuses to write a number of more than 4,300 digits.
        return f"a number of {value.bit_length()} bits"
    text = repr(value) if isinstance(value, int | float | str | None) else type(value).__name__
    return text if len(text) <= 80 else f"{text[:77]}..."

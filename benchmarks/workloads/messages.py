"""A user's own requests: one value of a file to one prompt. Pure: no I/O."""

from __future__ import annotations

import json
import math
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from benchmarks.workloads.workload import Prompt

DEFAULT_MAX_TOKENS: Final = 256
MOST_TOKENS: Final = 1_000_000
LONGEST_ID: Final = 200
BYTES_PER_TOKEN: Final = 4
# The benchmark sets them, or reads answers that they would change.
RESERVED: Final = (
    *("model", "messages", "max_tokens", "max_completion_tokens", "tools", "ignore_eos"),
    *("stream", "stream_options", "n", "return_spec_tokens_details"),
)


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, without a tokenizer.

    Formula: ceil(bytes of UTF-8 / 4), at most `MOST_TOKENS`.
    Source: OpenAI's rule of thumb, four characters of English a token. Bytes rather than
    characters, since scripts with more bytes a character also have more tokens a character.
    """
    return min(math.ceil(len(text.encode()) / BYTES_PER_TOKEN), MOST_TOKENS)


class _Function(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    name: str = Field(min_length=1)
    parameters: dict[str, Any] | None = None


class _Tool(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    type: Literal["function"]
    function: _Function


class _Message(BaseModel):
    """What every server needs; further keys pass as they are."""

    model_config = ConfigDict(strict=True, extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Any = None
    tool_calls: list[dict[str, Any]] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not self.tool_calls:
            raise ValueError("has no content")
        is_parts = isinstance(self.content, list) and all(
            isinstance(part, dict) for part in self.content
        )
        if self.content is not None and not isinstance(self.content, str) and not is_parts:
            raise ValueError("content must be a text or a list of parts")
        return self


class RequestLine(BaseModel):
    """One value of a user's file, checked.

    Attributes:
        id: unique in the file; unset, the number of the line is taken.
        messages: in the OpenAI format. A last one of the assistant is the reference answer: it is
            not sent, unless `options` has `continue_final_message`.
        prompt: instead of messages: the text of one user message.
        max_tokens: unset, estimated from the reference answer, or `DEFAULT_MAX_TOKENS`.
        ignore_eos: the answer has `max_tokens` tokens, whatever the model would say.
        tools: in the OpenAI format.
        options: all other fields of the request.
    """

    model_config = ConfigDict(strict=True, extra="forbid")

    id: Any = None
    messages: list[_Message] | None = Field(default=None, min_length=1)
    prompt: str | None = Field(default=None, min_length=1)
    max_tokens: int | None = Field(default=None, ge=1, le=MOST_TOKENS)
    ignore_eos: bool = False
    tools: list[_Tool] | None = None
    options: dict[str, Any] | None = None

    @field_validator("id")
    @classmethod
    def _short_and_printable(cls, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, str | int):
            # pydantic turns a ValueError into a problem of this line, and no TypeError.
            raise ValueError("must be a text or a whole number")  # noqa: TRY004
        text = str(value)
        if not 1 <= len(text) <= LONGEST_ID or not text.isprintable():
            raise ValueError(f"must have 1 to {LONGEST_ID} printable characters")
        return text

    @field_validator("options")
    @classmethod
    def _none_is_ours(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if taken := [key for key in RESERVED if key in (value or {})]:
            raise ValueError(f"may not hold {taken[0]!r}: the benchmark sets it")
        return value

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("needs either 'messages' or 'prompt'")
        return self


def to_prompt(value: Any, default_id: str) -> Prompt:
    """Turn one value of a file into a prompt.

    Args:
        value: an object as `RequestLine`, or a list of messages alone.
        default_id: where it gives none.

    Raises:
        pydantic.ValidationError: it is not like that.
        ValueError: no message to send, or a number that JSON has no way to write.
    """
    raw: Any = {"messages": value} if isinstance(value, list) else value
    line = RequestLine.model_validate(raw)
    try:
        json.dumps(raw, allow_nan=False)
    except ValueError:
        raise ValueError("a number in it is too large") from None
    options = dict(line.options or {})
    # As given: the order of keys and what we do not know of are part of the request.
    messages = list(raw.get("messages") or [{"role": "user", "content": line.prompt}])
    max_tokens = line.max_tokens
    if messages[-1]["role"] == "assistant" and not options.get("continue_final_message"):
        reference = messages.pop()
        if not messages:
            raise ValueError("it holds an answer and no question")
        text = reference.get("content")
        if max_tokens is None:
            max_tokens = max(
                1, estimated_tokens(text if isinstance(text, str) else json.dumps(reference))
            )
    return Prompt(
        id=line.id or default_id,
        messages=tuple(messages),
        max_tokens=max_tokens or DEFAULT_MAX_TOKENS,
        ignore_eos=line.ignore_eos,
        tools=tuple(raw.get("tools") or ()),
        options=options,
    )

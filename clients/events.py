"""What a stream is made of: frozen values, in the order in which they arrive.

A stream is `Started`, then deltas and tool calls in any number and order, then `Usage` and
`Acceptance` where the server tells them, then `Done`. Together they hold everything that a reply
holds, except the timings. Where the caller has asked for it, `Restarted` may stand anywhere before
`Done`, and all of that begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Started:
    """The first chunk has arrived.

    Attributes:
        request_id: the server's id of the request; its log names the same one.
        model: name of the model that answers.
    """

    request_id: str
    model: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """More of the answer. One delta may hold several tokens, above all under speculation."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolCallStarted:
    """A tool call has begun.

    Attributes:
        index: which call of this answer, from 0; the parts of one call share it.
        id: goes back to the server with the result; empty if the server gave none.
        name: the function's name.
    """

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True)
class ToolArgumentsDelta:
    """More of the JSON text of a call's arguments."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class ToolCallDone:
    """No more of this call will come.

    Attributes:
        index: which call of this answer.
        id: of the call.
        name: the function's name.
        arguments: the whole JSON text as the server sent it; not checked.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as the server reports them; never counted from chunks.

    Attributes:
        prompt_tokens: tokens of the rendered prompt.
        completion_tokens: tokens generated, reasoning included.
        total_tokens: the sum of both.
        reasoning_tokens: how many of the generated ones were reasoning, if the server says.
            Under speculation SGLang may count one or more beyond `completion_tokens`.
        cached_tokens: how many of the prompt's came from the prefix cache; SGLang says so only
            when it was started with `--enable-cache-report`.
    """

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How speculation went for this request alone.

    Attributes:
        length: tokens per verify round, the bonus token included.

            Formula: completion tokens / verify rounds
            Source: `spec_accept_length` of SGLang.
        rate: accepted drafts / proposed drafts, 0 to 1.
        verify_rounds: passes of the target model.
    """

    length: float
    rate: float
    verify_rounds: int


@dataclass(frozen=True, slots=True)
class Done:
    """The stream is whole.

    Attributes:
        finish_reason: `stop`, `length`, `tool_calls`, or SGLang's own `abort`. A plain string,
            since servers add words of their own.
        matched_stop: which of the caller's stop texts ended it, where one did and the server
            says so.
    """

    finish_reason: str
    matched_stop: str | None = None


@dataclass(frozen=True, slots=True)
class Restarted:
    """The stream was cut, and the answer begins anew: what came so far is void.

    It comes under `RetryPolicy(repeat_cut=True)` alone. Take back what you have shown or kept of
    the answer; `Started` follows. What was computed from its parts meanwhile, such as a tool that
    was called early, is yours to undo.

    Attributes:
        reason: why it was cut; see `BrokenStreamError.reason`.
    """

    reason: str


StreamEvent = (
    Started
    | Restarted
    | ReasoningDelta
    | ContentDelta
    | ToolCallStarted
    | ToolArgumentsDelta
    | ToolCallDone
    | Usage
    | Acceptance
    | Done
)

"""The frozen reply, and the one place where stream events become one. Pure: no I/O."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from clients.events import (
    Acceptance,
    ContentDelta,
    Done,
    ReasoningDelta,
    Restarted,
    Started,
    StreamEvent,
    ToolArgumentsDelta,
    ToolCallDone,
    ToolCallStarted,
    Usage,
)

_NS_PER_SECOND = 1_000_000_000
# A line break, a mark that ends reasoning, and the end itself are tokens that nobody sees.
_UNSEEN_TOKENS = 4

EmptyCause = Literal[
    "reasoning",
    "cut_off_in_reasoning",
    "cut_off",
    "stop_text",
    "tool_call",
    "aborted",
    "filtered",
    "dropped",
    "blank",
    "ended_at_once",
    "unfinished",
]
"""Why an answer has no text; `ChatReply.empty_cause` says what each means."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function that the model wants to be called.

    Attributes:
        id: goes back to the server as `tool_call_id` with the result.
        name: the function's name.
        arguments: JSON text as the server sent it; not checked against any schema.
    """

    id: str
    name: str
    arguments: str

    @property
    def has_object(self) -> bool:
        """Whether the arguments are a JSON object, which the model's chat template wants."""
        try:
            return isinstance(json.loads(self.arguments), dict)
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Timings:
    """How long a request took, in seconds on a monotonic clock, seen from the client.

    Attributes:
        total_seconds: from just before the request was sent to the end of the answer. In a
            stream this includes what the caller did between events.
        time_to_first_token_seconds: from the same start to the first delta of any kind. `None`
            when not streamed, or when nothing was generated.
        time_per_output_token_seconds: `None` where the formula has no value: not streamed, no
            usage reported, or fewer than 2 tokens.

            Formula: (total - time to first token) / (completion tokens - 1)
            Source: `tpot` in SGLang's `benchmark/goodput.py`. Tokens come from the server's
            usage: under speculation a chunk holds several, so chunks cannot be counted. The
            first delta may hold several too and counts as one.
    """

    total_seconds: float
    time_to_first_token_seconds: float | None = None
    time_per_output_token_seconds: float | None = None

    @classmethod
    def from_ns(
        cls,
        *,
        started_ns: int,
        first_token_ns: int | None,
        ended_ns: int,
        completion_tokens: int | None,
    ) -> Timings:
        """Turn three readings of one monotonic clock, in nanoseconds, into durations.

        Args:
            started_ns: just before the request was sent.
            first_token_ns: at the first token; `None` if there was none, or not streamed.
            ended_ns: at the end of the answer.
            completion_tokens: the server's count; `None` if it gave none.

        Returns:
            The durations in seconds.
        """
        total_seconds = (ended_ns - started_ns) / _NS_PER_SECOND
        if first_token_ns is None:
            return cls(total_seconds)
        per_token_seconds = None
        if completion_tokens is not None and completion_tokens > 1:
            decode_seconds = (ended_ns - first_token_ns) / _NS_PER_SECOND
            per_token_seconds = decode_seconds / (completion_tokens - 1)
        return cls(total_seconds, (first_token_ns - started_ns) / _NS_PER_SECOND, per_token_seconds)


@dataclass(frozen=True, slots=True)
class ChatReply:
    """One answer of the model.

    Attributes:
        content: the answer; empty if there is none.
        reasoning: what the model thought before it; empty if nothing, or thinking was off.
        tool_calls: the calls it asks for, in order.
        finish_reason: see `Done`; `None` while the answer is not whole.
        usage: token counts; `None` if the server reported none.
        timings: durations in seconds.
        model: name of the model that answered.
        request_id: the server's id of the request.
        acceptance: how speculation went for this request; `None` if the server does not say.
        matched_stop: see `Done`.
    """

    content: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]
    finish_reason: str | None
    usage: Usage | None
    timings: Timings
    model: str
    request_id: str
    acceptance: Acceptance | None = None
    matched_stop: str | None = None

    @property
    def empty_cause(self) -> EmptyCause | None:  # noqa: PLR0911 - one for each cause
        """Why there is no text; `None` if there is some.

        - `tool_call`: the model calls a tool instead, which is an answer, too.
        - `unfinished`: there is no finish reason.
        - `cut_off_in_reasoning`, `cut_off`: the token limit came first.
        - `aborted`, `filtered`: somebody ended the request, or a filter withheld the answer.
        - `stop_text`: one of the caller's stop texts stood at the very start, or in the reasoning.
        - `reasoning`: all of it came as reasoning, a known defect of the glm45 reasoning parser
          (sglang issue 37645).
        - `blank`: it is white space.
        - `dropped`: tokens were generated, and none was sent. SGLang does so with the call of a
          tool that was not offered.
        - `ended_at_once`: the model had nothing to say.
        """
        if self.content.strip():
            return None
        if self.tool_calls:
            return "tool_call"
        match self.finish_reason:
            case None:
                return "unfinished"
            case "length":
                return "cut_off_in_reasoning" if self.reasoning else "cut_off"
            case "abort":
                return "aborted"
            case "content_filter":
                return "filtered"
        if self.matched_stop is not None:
            return "stop_text"
        if self.content:
            return "blank"
        if self.finish_reason != "tool_calls" and self.reasoning:
            return "reasoning"
        if self.finish_reason == "tool_calls" or self._unseen_tokens > _UNSEEN_TOKENS:
            return "dropped"
        return "ended_at_once"

    @property
    def is_empty(self) -> bool:
        """Whether there is neither text nor a tool call."""
        return self.empty_cause not in {None, "tool_call"}

    @property
    def answer_in_reasoning(self) -> bool:
        """Whether the whole answer came as reasoning; see `empty_cause`."""
        return self.empty_cause == "reasoning"

    @property
    def _unseen_tokens(self) -> int:
        if self.usage is None:
            return 0
        return self.usage.completion_tokens - (self.usage.reasoning_tokens or 0)

    def as_message(self) -> dict[str, object]:
        """Give the answer as a message, to go on with the conversation.

        Reasoning goes with it: GLM's template shows the model that of the turn under way, and no
        older one. Arguments of a call that are no JSON object go as an empty one, since the
        template wants an object.
        """
        message: dict[str, object] = {"role": "assistant", "content": self.content}
        if self.reasoning:
            message["reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {
                        "name": call.name,
                        "arguments": call.arguments if call.has_object else "{}",
                    },
                }
                for call in self.tool_calls
            ]
        return message


def why_empty(reply: ChatReply) -> tuple[str, str]:
    """Say why an answer has no text, and what to do: two parts of an error's message."""
    thoughts = f"{len(reply.reasoning):,} characters"
    told: dict[EmptyCause | None, tuple[str, str]] = {
        None: ("it is not empty", ""),
        "reasoning": (
            f"all of it came as reasoning ({thoughts})",
            "Ask again with thinking=False.",
        ),
        "cut_off_in_reasoning": (
            f"it was cut off at its token limit within its reasoning ({thoughts})",
            "Allow more with max_tokens, or ask with thinking=False.",
        ),
        "cut_off": ("it was cut off at its token limit", "Allow more with max_tokens."),
        "stop_text": (
            f"the stop text {reply.matched_stop!r} stood "
            + ("in its reasoning" if reply.reasoning else "at its very start"),
            "Choose another stop text. GLM begins an answer with a line break.",
        ),
        "tool_call": (
            "the model called " + ", ".join(call.name for call in reply.tool_calls),
            "Read reply.tool_calls, or ask without tools.",
        ),
        "aborted": ("the request was aborted on the server", "Ask again."),
        "filtered": ("a content filter withheld it", "Ask in other words."),
        "dropped": (
            "the server generated tokens and sent none of them",
            "A call of a tool that was not offered is dropped so: offer that tool, or none.",
        ),
        "blank": ("it is white space", "Ask again in other words."),
        "ended_at_once": ("the model ended it at once", "Ask again in other words."),
        "unfinished": ("it has no finish reason", "Check that base_url is that of a chat server."),
    }
    return told[reply.empty_cause]


class ReplyBuilder:
    """Adds up the events of one answer. The same events give the same reply, however split."""

    def __init__(self) -> None:
        self._started: Started | None = None
        self._content: list[str] = []
        self._reasoning: list[str] = []
        self._calls: dict[int, ToolCallStarted | ToolCallDone] = {}
        self._arguments: dict[int, list[str]] = {}
        self._usage: Usage | None = None
        self._acceptance: Acceptance | None = None
        self._finish_reason: str | None = None
        self._matched_stop: str | None = None

    def add(self, event: StreamEvent) -> None:
        """Take in the next event."""
        match event:
            case ContentDelta():
                self._content.append(event.text)
            case ReasoningDelta():
                self._reasoning.append(event.text)
            case ToolArgumentsDelta():
                self._arguments.setdefault(event.index, []).append(event.text)
            case ToolCallStarted() | ToolCallDone():
                self._calls[event.index] = event
            case Usage():
                # With continuous usage each report replaces the one before.
                self._usage = event
            case Acceptance():
                self._acceptance = event
            case Started():
                self._started = event
            case Restarted():
                # What came before is void.
                self.__init__()  # type: ignore[misc]
            case Done():
                self._finish_reason = event.finish_reason
                self._matched_stop = event.matched_stop

    def build(self, *, started_ns: int, first_token_ns: int | None, ended_ns: int) -> ChatReply:
        """Give the reply made of the events so far; more may follow.

        Args:
            started_ns: monotonic clock just before the request was sent, in nanoseconds.
            first_token_ns: the same clock at the first delta; `None` if there was none.
            ended_ns: the same clock at the end of the answer.

        Returns:
            The reply. Its finish reason is `None` until `Done` was added.
        """
        calls = (self._calls[index] for index in sorted(self._calls))
        return ChatReply(
            content="".join(self._content),
            reasoning="".join(self._reasoning),
            tool_calls=tuple(
                ToolCall(call.id, call.name, "".join(self._arguments.get(call.index, ())))
                for call in calls
            ),
            finish_reason=self._finish_reason,
            usage=self._usage,
            acceptance=self._acceptance,
            timings=Timings.from_ns(
                started_ns=started_ns,
                first_token_ns=first_token_ns,
                ended_ns=ended_ns,
                completion_tokens=self._usage.completion_tokens if self._usage else None,
            ),
            model=self._started.model if self._started else "",
            request_id=self._started.request_id if self._started else "",
            matched_stop=self._matched_stop,
        )

"""A dialogue as the data modules make it, with what an evaluation expects of the answer."""

from dataclasses import dataclass, field
from typing import Any

Message = dict[str, Any]
Call = tuple[str, dict[str, Any]]


@dataclass(slots=True)
class Dialogue:
    """Messages, the last of them the assistant's, as the OpenAI API has them.

    Attributes:
        kind: the task, for a table.
        messages: roles, texts, reasoning and tool calls.
        tools: the functions that the model is told of.
        thinking: whether the answer reasons.
        number: what the answer's last number must be.
        calls: the calls that the answer must make.
        unasked: whether the answer is in JSON, as a grammar would have it, though nobody asks so.
    """

    kind: str
    messages: list[Message]
    thinking: bool
    tools: list[dict[str, Any]] = field(default_factory=list)
    number: int | None = None
    calls: list[Call] = field(default_factory=list)
    unasked: bool = False


def user(text: str) -> Message:
    """Return a user's message."""
    return {"role": "user", "content": text}


def system(text: str) -> Message:
    """Return a system message."""
    return {"role": "system", "content": text}


def tool(text: str) -> Message:
    """Return a tool's result."""
    return {"role": "tool", "tool_call_id": "call_0", "content": text}


def assistant(text: str | None, *calls: Call, reasoning: str = "") -> Message:
    """Return an assistant's message."""
    message: Message = {"role": "assistant", "content": text, "reasoning_content": reasoning}
    if calls:
        message["tool_calls"] = [
            {
                "id": f"call_{number}",
                "type": "function",
                "function": {"name": name, "arguments": arguments},
            }
            for number, (name, arguments) in enumerate(calls)
        ]
    return message


def exchange(kind: str, question: str, answer: str, reasoning: str, *, thinking: bool) -> Dialogue:
    """Return a dialogue of one question and one answer, which reasons if `thinking`."""
    reply = assistant(answer, reasoning=reasoning if thinking else "")
    return Dialogue(kind, [user(question), reply], thinking)

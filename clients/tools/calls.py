"""What a run of tools is made of, and how one call becomes a result. The loop is in `flows`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from clients.errors import AnswerError, ConfigurationError
from clients.tools.arguments import ArgumentsError, CheckedArguments, Repair, check_arguments
from clients.tools.tool import Tool, as_tool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from clients.reply import ChatReply, ToolCall


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What one call came to.

    Attributes:
        call: as the model made it.
        content: text for the model: the function's result as it is if text, else as JSON; or
            what was wrong.
        is_error: whether the arguments did not fit, or the function raised.
        repairs: arguments that were read as what they were meant to be.
    """

    call: ToolCall
    content: str
    is_error: bool = False
    repairs: tuple[Repair, ...] = ()

    def as_message(self) -> dict[str, object]:
        """Give the result as a message of the conversation."""
        return {"role": "tool", "tool_call_id": self.call.id, "content": self.content}


@dataclass(frozen=True, slots=True)
class ArgumentsLost:
    """Calls arrived without the arguments their tools require; the model is asked again.

    Attributes:
        reply: the answer that is thrown away.
        names: of the tools.
    """

    reply: ChatReply
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ToolRun:
    """A conversation in which tools were called.

    Attributes:
        reply: the last answer.
        messages: the conversation, the last answer included, to be gone on with.
        results: of each round, in the order of the calls.
        repeated: answers that were asked for again since arguments had been lost.
    """

    reply: ChatReply
    messages: tuple[Mapping[str, object], ...]
    results: tuple[tuple[ToolResult, ...], ...]
    repeated: int = 0


class ToolRoundsError(AnswerError):
    """The model still called tools after the last round; `run` holds the conversation."""

    default_action = "Allow more with max_rounds, or look why the model repeats itself."

    def __init__(self, problem: str, *, run: ToolRun) -> None:
        super().__init__(problem, reply=run.reply)
        self.run = run


def by_name(given: Sequence[Callable[..., Any]]) -> dict[str, Tool[..., Any]]:
    """Give the tools by name, plain functions among them.

    Raises:
        ConfigurationError: one cannot be a tool, two have the same name, or there are none.
    """
    if isinstance(given, Tool) or not isinstance(given, Iterable):
        raise ConfigurationError(
            f"tools is a {type(given).__name__}; it is a list.", action="Put it into a list: [it]."
        )
    tools = [as_tool(each) for each in given]
    named = {tool.name: tool for tool in tools}
    if not named or len(named) != len(tools):
        names = ", ".join(tool.name for tool in tools) or "none"
        raise ConfigurationError(f"Tools need names of their own; there are: {names}.")
    return named


def assistant_message(reply: ChatReply, tools: Mapping[str, Tool[..., Any]]) -> dict[str, object]:
    """Give an answer as a message of the conversation, its arguments as they were understood."""
    understood = []
    for call in reply.tool_calls:
        checked = _checked(call, tools)
        text = checked.text if isinstance(checked, CheckedArguments) else "{}"
        understood.append(replace(call, arguments=text))
    return replace(reply, tool_calls=tuple(understood)).as_message()


def run_call(call: ToolCall, tools: Mapping[str, Tool[..., Any]]) -> ToolResult:
    """Call a function in this thread.

    Returns:
        Its result; an exception of the function's is text for the model.
    """
    checked = _checked(call, tools)
    if isinstance(checked, str):
        return ToolResult(call, checked, is_error=True)
    try:
        value = tools[call.name](**checked.values)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model is told
        return _raised(call, error, checked)
    return ToolResult(call, _as_text(value), repairs=checked.repairs)


async def run_call_async(call: ToolCall, tools: Mapping[str, Tool[..., Any]]) -> ToolResult:
    """Await a coroutine function, or call a plain one in a thread."""
    if call.name not in tools or not tools[call.name].is_async:
        return await asyncio.to_thread(run_call, call, tools)
    checked = _checked(call, tools)
    if isinstance(checked, str):
        return ToolResult(call, checked, is_error=True)
    try:
        value = await tools[call.name](**checked.values)
    except Exception as error:  # noqa: BLE001 - whatever it is, the model is told
        return _raised(call, error, checked)
    return ToolResult(call, _as_text(value), repairs=checked.repairs)


def _checked(call: ToolCall, tools: Mapping[str, Tool[..., Any]]) -> CheckedArguments | str:
    """Give the arguments, or what to tell the model."""
    if call.name not in tools:
        return f"There is no tool {call.name!r}; there are: {', '.join(sorted(tools))}."
    try:
        return check_arguments(tools[call.name], call)
    except ArgumentsError as error:
        return str(error)


def _raised(call: ToolCall, error: Exception, checked: CheckedArguments) -> ToolResult:
    text = f"{type(error).__name__}: {error}"
    return ToolResult(call, text, is_error=True, repairs=checked.repairs)


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else to_json(value, fallback=str).decode()

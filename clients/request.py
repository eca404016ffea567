"""What a caller may ask for, turned into arguments of the openai SDK. Pure: no I/O."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, Unpack, get_args

from clients.errors import ConfigurationError
from clients.reply import ChatReply
from clients.tools.calls import ToolResult
from clients.tools.schema import is_recursive
from clients.tools.tool import Tool, as_tool

Message = Mapping[str, object] | ChatReply | ToolResult
"""A message as the OpenAI API has it, or an earlier answer, or a tool's result."""

Messages = str | Sequence[Message]
"""A conversation, or the text of a single user message."""

ToolLike = Tool[..., Any] | Callable[..., Any]
"""A function that a model may call: under `@tool`, or as it is."""

EmptyAnswer = Literal["keep", "ask_again", "raise"]

# These change the shape of the answer, which the reader of the answer must know of.
_RESERVED = frozenset({"messages", "n", "stream", "stream_options"})
# What is said once for all of a client's requests.
_OF_THE_CLIENT = ("api_key", "base_url", "retry", "server", "timeouts")
_CHOICES = ("auto", "none", "required")


class AskOptions(TypedDict, total=False):
    """What every way to ask takes beside the messages; `None` leaves it to the server.

    Attributes:
        model: name of the model; else the client's, else the server's own.
        max_tokens: most tokens to generate, reasoning included; at least 1.
        temperature: 0 for greedy, up to 2.
        top_p: in (0, 1]: sample from the most likely tokens of this mass.
        seed: of the sampler.
        stop: text, or texts, at which to stop.
        thinking: whether the model may reason before it answers (GLM's `enable_thinking`).
        tool_choice: `auto`, `none`, `required`, or which tool: its name, the function itself, or
            as the API has it. An answer without the call that was demanded is a
            `MissingToolCallError`.
        parallel_tool_calls: whether one answer may call several tools. Under a required choice
            SGLang's grammar lets a model go on calling without end unless this is false (sglang
            issue 13514).
        response_format: as the OpenAI API has it; see `parse()` for a typed way.
        extra: further fields of SGLang's request, for example `{"top_k": 1}`.
    """

    model: str | None
    max_tokens: int | None
    temperature: float | None
    top_p: float | None
    seed: int | None
    stop: str | Sequence[str] | None
    thinking: bool | None
    tool_choice: str | Mapping[str, object] | ToolLike | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, object] | None
    extra: Mapping[str, object] | None


class ChatOptions(AskOptions, total=False):
    """What `chat()`, `stream()` and `parse()` take beside the messages: `AskOptions`, and tools.

    Attributes:
        tools: functions, under `@tool` or plain, or tools as the OpenAI API has them.
    """

    tools: Sequence[ToolLike | Mapping[str, object]] | None


@dataclass(frozen=True, slots=True)
class Demand:
    """A call that `tool_choice` demands.

    Attributes:
        name: of the tool; `None` for any.
    """

    name: str | None


def request_arguments(
    messages: Messages, *, report_acceptance: bool = False, **options: Unpack[ChatOptions]
) -> dict[str, Any]:
    """Build the keyword arguments of `chat.completions.create`.

    Args:
        messages: a conversation, or one user message.
        report_acceptance: whether to ask SGLang how speculation went.
        **options: see `ChatOptions`; `thinking` wins over the same switch in `extra`.

    Returns:
        The arguments, without those that are `None`.

    Raises:
        ConfigurationError: an option makes no sense, two contradict each other, or `extra` holds
            a field that would change how the answer must be read.
        TypeError: there is no such option.
    """
    check_options("request_arguments", options, ChatOptions.__optional_keys__)
    arguments: dict[str, Any] = {"messages": conversation(messages), **options}
    if (most := options.get("max_tokens")) is not None and most < 1:
        # SGLang takes 0 for no limit.
        raise ConfigurationError(f"max_tokens is {most}; it is at least 1.")
    # Not `max_tokens`, which OpenAI and SGLang call deprecated.
    arguments["max_completion_tokens"] = arguments.pop("max_tokens", None)
    if (tools := options.get("tools")) is not None:
        arguments["tools"] = [_definition(each) for each in _listed(tools)]
    if (choice := options.get("tool_choice")) is not None:
        arguments["tool_choice"] = _tool_choice(choice, arguments.get("tools") or [])
    _check_format(options.get("response_format"))
    extra = _extra_body(
        arguments.pop("extra", None) or {},
        thinking=arguments.pop("thinking", None),
        report_acceptance=report_acceptance,
    )
    arguments["extra_body"] = extra or None
    return {name: value for name, value in arguments.items() if value is not None}


def check_options(method: str, options: Collection[str], known: Collection[str]) -> None:
    """Refuse an option that there is not, in the words of the method that was called.

    Raises:
        TypeError: as Python does for a plain function.
    """
    for name in options:
        if name not in known:
            advice = _advice(name, known)
            raise TypeError(f"{method}() got an unknown option {name!r}; {advice}")


def _advice(name: str, known: Collection[str]) -> str:
    asks = "extra" in known
    further = (
        f" A field of the server's request goes into extra: {{{name!r}: ...}}." if asks else ""
    )
    if close := difflib.get_close_matches(name, known, n=1):
        return f"did you mean {close[0]!r}?{further}"
    if asks and (own := difflib.get_close_matches(name, _OF_THE_CLIENT, n=1)):
        return f"{own[0]} is an option of the client."
    if asks and name == "stream":
        return "stream() gives an answer as it is made."
    return f"it takes {', '.join(sorted(known))}.{further}"


def check_choice(name: str, value: object, choices: object) -> None:
    """Refuse a value that is none of a Literal's."""
    if value not in get_args(choices):
        known = ", ".join(repr(each) for each in get_args(choices))
        raise ConfigurationError(f"{name} is {value!r}; it is one of {known}.")


def conversation(messages: Messages) -> list[Mapping[str, object]]:
    """Give the messages as a list of their own; a text is one user message.

    Raises:
        ConfigurationError: one is neither a message, nor an answer, nor a tool's result.
    """
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    if isinstance(messages, Mapping) or not isinstance(messages, Sequence):
        raise ConfigurationError(
            f"messages is a {type(messages).__name__}; it is a text, or a list of messages.",
            action="Put one message into a list: [message].",
        )
    return [_message(place, each) for place, each in enumerate(messages)]


def demanded_call(arguments: Mapping[str, Any]) -> Demand | None:
    """Say which call a request demands, from the arguments as they are sent."""
    choice = arguments.get("tool_choice") or arguments.get("extra_body", {}).get("tool_choice")
    if choice == "required":
        return Demand(None)
    named = choice.get("function") if isinstance(choice, Mapping) else None
    return Demand(named["name"]) if isinstance(named, Mapping) and "name" in named else None


def _message(place: int, message: object) -> Mapping[str, object]:
    if isinstance(message, Mapping):
        return message
    if isinstance(message, ChatReply | ToolResult):
        return message.as_message()
    if isinstance(message, str):
        what, action = "plain text", 'Say whose it is: {"role": "user", "content": ...}.'
    else:
        what = f"a {type(message).__name__}"
        action = "Give a dictionary with role and content, a ChatReply, or a ToolResult."
    raise ConfigurationError(f"Message {place} of the conversation is {what}.", action=action)


def _listed(tools: object) -> Sequence[Any]:
    if isinstance(tools, Mapping | str) or not isinstance(tools, Sequence):
        raise ConfigurationError(
            f"tools is a {type(tools).__name__}; it is a list.", action="Put it into a list: [it]."
        )
    return tools


def _definition(tool: ToolLike | Mapping[str, object]) -> Mapping[str, object]:
    return tool if isinstance(tool, Mapping) else as_tool(tool).definition()


def _tool_choice(choice: object, tools: Sequence[Mapping[str, Any]]) -> object:
    """Give the choice as the API has it."""
    functions = {
        each["function"]["name"]: each["function"]
        for each in tools
        if isinstance(each.get("function"), Mapping) and "name" in each["function"]
    }
    if choice in _CHOICES:
        if choice == "required" and not tools:
            raise ConfigurationError("tool_choice is 'required', and there are no tools.")
        return choice
    if isinstance(choice, Mapping):
        name = (demanded_call({"tool_choice": choice}) or Demand(None)).name
        if name is None:
            return choice
    else:
        name = choice if isinstance(choice, str) else as_tool(choice).name
    if name not in functions:
        close = difflib.get_close_matches(name, [*functions, *_CHOICES], n=1)
        offered = ", ".join(functions) or "none"
        raise ConfigurationError(
            f"tool_choice is {name!r}; the tools are: {offered}.",
            action=f"Did you mean {close[0]!r}?" if close else f"Or choose {', '.join(_CHOICES)}.",
        )
    if is_recursive(functions[name].get("parameters") or {}):
        raise ConfigurationError(
            f"The parameters of {name!r} contain themselves. SGLang makes no grammar of those for "
            "a tool that is chosen by name.",
            action="Use tool_choice='required', with this tool alone, or 'auto'.",
        )
    return {"type": "function", "function": {"name": name}}


def _check_format(response_format: object) -> None:
    if response_format is None or isinstance(response_format, Mapping):
        return
    name = getattr(response_format, "__name__", repr(response_format))
    raise ConfigurationError(
        f"response_format is {name}; it is a dictionary as the OpenAI API has it.",
        action=f"For a typed answer: parse(messages, {name}).",
    )


def _extra_body(
    extra: Mapping[str, object], *, thinking: bool | None, report_acceptance: bool
) -> dict[str, object]:
    if reserved := sorted(_RESERVED & extra.keys()):
        raise ConfigurationError(f"extra cannot set {', '.join(reserved)}.")
    body = dict(extra)
    if report_acceptance:
        body.setdefault("return_spec_tokens_details", True)
    if thinking is not None:
        template = body.get("chat_template_kwargs")
        others = template if isinstance(template, Mapping) else {}
        body["chat_template_kwargs"] = {**others, "enable_thinking": thinking}
    return body

"""What a caller may ask for, turned into arguments of the openai SDK. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, Unpack

from clients.errors import ConfigurationError
from clients.tools.tool import Tool

Messages = str | Sequence[Mapping[str, object]]
"""A conversation as the OpenAI API has it, or the text of a single user message."""

# These change the shape of the answer, which the reader of the answer must know of.
EmptyAnswer = Literal["keep", "ask_again", "raise"]

_RESERVED = frozenset({"messages", "n", "stream", "stream_options"})


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
        tool_choice: `auto`, `none`, `required`, or a named function as the API has it.
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
    tool_choice: str | Mapping[str, object] | None
    parallel_tool_calls: bool | None
    response_format: Mapping[str, object] | None
    extra: Mapping[str, object] | None


class ChatOptions(AskOptions, total=False):
    """What `chat()`, `stream()` and `parse()` take beside the messages: `AskOptions`, and tools.

    Attributes:
        tools: functions under `@tool`, or tools as the OpenAI API has them.
    """

    tools: Sequence[Tool[..., Any] | Mapping[str, object]] | None


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
        ConfigurationError: `extra` holds a field that would change how the answer must be read.
        TypeError: there is no such option.
    """
    if unknown := options.keys() - ChatOptions.__optional_keys__:
        raise TypeError(f"There is no option {', '.join(sorted(unknown))}.")
    arguments: dict[str, Any] = {"messages": conversation(messages), **options}
    # Not `max_tokens`, which OpenAI and SGLang call deprecated.
    arguments["max_completion_tokens"] = arguments.pop("max_tokens", None)
    if (tools := options.get("tools")) is not None:
        arguments["tools"] = [_definition(each) for each in tools]
    extra = _extra_body(
        arguments.pop("extra", None) or {},
        thinking=arguments.pop("thinking", None),
        report_acceptance=report_acceptance,
    )
    arguments["extra_body"] = extra or None
    return {name: value for name, value in arguments.items() if value is not None}


def conversation(messages: Messages) -> list[Mapping[str, object]]:
    """Give the messages as a list of their own; a text is one user message."""
    if isinstance(messages, str):
        return [{"role": "user", "content": messages}]
    return list(messages)


def _definition(tool: Tool[..., Any] | Mapping[str, object]) -> Mapping[str, object]:
    return tool.definition() if isinstance(tool, Tool) else tool


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

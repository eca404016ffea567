"""Options into arguments of the SDK."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from clients import ConfigurationError
from clients.request import ChatOptions, request_arguments


def test_text_is_one_user_message_and_nothing_else_is_sent() -> None:
    assert request_arguments("Hi", model="m") == {
        "model": "m",
        "messages": [{"role": "user", "content": "Hi"}],
    }


def test_every_option_arrives() -> None:
    messages = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
    options: dict[str, Any] = {
        "max_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "seed": 0,
        "stop": ["x"],
        "tools": [{"type": "function"}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_object"},
        "extra": {"top_k": 1},
    }
    arguments = request_arguments(messages, model="m", **options)
    assert arguments.pop("max_completion_tokens") == options.pop("max_tokens")
    assert arguments.pop("extra_body") == options.pop("extra")
    assert arguments.pop("messages") == list(messages)
    assert arguments == {"model": "m", **options}


def test_typed_options_and_the_builder_name_the_same() -> None:
    untold: dict[str, Any] = dict.fromkeys(get_type_hints(ChatOptions))
    assert request_arguments("Hi", **untold) == request_arguments("Hi")
    with pytest.raises(TypeError, match="max_token"):
        request_arguments("Hi", max_token=3)  # type: ignore[call-arg]


@pytest.mark.parametrize("thinking", [True, False])
def test_thinking_is_a_switch_of_the_template(thinking: bool) -> None:  # noqa: FBT001
    arguments = request_arguments("Hi", model="m", thinking=thinking)
    assert arguments["extra_body"] == {"chat_template_kwargs": {"enable_thinking": thinking}}


def test_thinking_joins_other_switches_and_leaves_the_callers_value_alone() -> None:
    extra = {"chat_template_kwargs": {"lang": "fr", "enable_thinking": True}, "min_p": 0.1}
    body = request_arguments("Hi", model="m", thinking=False, extra=extra)["extra_body"]
    assert body == {"chat_template_kwargs": {"lang": "fr", "enable_thinking": False}, "min_p": 0.1}
    assert extra["chat_template_kwargs"] == {"lang": "fr", "enable_thinking": True}


def test_fields_that_change_how_an_answer_is_read_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="extra cannot set n, stream"):
        request_arguments("Hi", model="m", extra={"stream": True, "n": 2})

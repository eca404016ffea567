"""The anthropic SDK, on SGLang's `/v1/messages`, which takes no fields of SGLang's own."""

from __future__ import annotations

from typing import Any, Literal

import anthropic
from pydantic import BaseModel

from tests.third_party import scenario
from tests.third_party.scenario import CASES, messages

QUIET: dict[str, Any] = {"thinking": {"type": "disabled"}}
WEATHER = {
    "name": CASES["weather"]["name"],
    "description": CASES["weather"]["description"],
    "input_schema": CASES["weather"]["parameters"],
}
# No grammar can be sent, so the model has to miss a name by itself; these are ones that it missed.
MISSED = ("getWeather", "fetch_weather", "weatherLookup", "city_forecast")


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


def client_of(url: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=url, api_key="unused", max_retries=0)


def arguments(conversation: list[Any], **options: Any) -> dict[str, Any]:
    return {
        "model": scenario.MODEL,
        "messages": conversation,
        **options,
        # The SDK has no `temperature` that every model takes, so it goes where all else goes.
        "max_tokens": scenario.OPTIONS["max_tokens"],
        "extra_body": {"temperature": scenario.OPTIONS["temperature"]},
    }


def ask(url: str, text: str, **options: Any) -> Any:
    with client_of(url) as client:
        return client.messages.create(**arguments(messages(text), **options))


def streamed(url: str, text: str, **options: Any) -> Any:
    """The message that the SDK puts together from a stream."""
    with (
        client_of(url) as client,
        client.messages.stream(**arguments(messages(text), **options)) as stream,
    ):
        return stream.get_final_message()


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


def thoughts_of(message: Any) -> str:
    return "".join(block.thinking for block in message.content if block.type == "thinking")


def check_use(message: Any) -> Any:
    (use,) = [block for block in message.content if block.type == "tool_use"]
    scenario.check_call(use.name, use.input)
    assert message.stop_reason == "tool_use"
    return use


def chat(url: str) -> None:
    scenario.check_answer(text_of(ask(url, CASES["hello"], **QUIET)))


def stream(url: str) -> None:
    message = streamed(url, CASES["hello"], **QUIET)
    scenario.check_answer(text_of(message))
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0


def reasoning(url: str) -> str:
    message = ask(url, CASES["sum"])
    scenario.check_reasoning(thoughts_of(message), text_of(message))
    return "a block of type `thinking`"


def reasoning_streamed(url: str) -> None:
    message = streamed(url, CASES["sum"])
    scenario.check_reasoning(thoughts_of(message), text_of(message))


def tool_call(url: str) -> None:
    check_use(ask(url, CASES["weather_question"], tools=[WEATHER], **QUIET))


def tool_call_streamed(url: str) -> None:
    check_use(streamed(url, CASES["weather_question"], tools=[WEATHER], **QUIET))


def tool_loop(url: str) -> None:
    question = messages(CASES["weather_question"])
    with client_of(url) as client:
        first = client.messages.create(**arguments(question, tools=[WEATHER], **QUIET))
        use = check_use(first)
        result = {
            "type": "tool_result",
            "tool_use_id": use.id,
            "content": CASES["weather_result"],
        }
        conversation = [
            *question,
            {"role": "assistant", "content": first.content},
            {"role": "user", "content": [result]},
        ]
        answer = client.messages.create(**arguments(conversation, tools=[WEATHER], **QUIET))
    assert CASES["weather_result"] in text_of(answer)


def structured(url: str) -> None:
    with client_of(url) as client:
        answer = client.messages.parse(
            **arguments(messages(CASES["port_question"]), output_format=Port, **QUIET)
        )
    assert isinstance(answer.parsed_output, Port)


def _unknown(url: str, how: Any) -> str:
    """Each answer says something; a call that SGLang drops leaves tokens that nobody sees."""
    for name in MISSED:
        tool = {**WEATHER, "name": name}
        message = how(url, CASES["weather_question"], tools=[tool], **QUIET)
        seen = [block for block in message.content if block.type == "tool_use"]
        assert seen or text_of(message), (
            f"{message.usage.output_tokens} tokens, and nothing tells of the call"
        )
        if any(use.name != name for use in seen) or "tool_call" in text_of(message):
            return "visible"
    raise scenario.Limit("model: it called the tools that were offered, and no grammar can be sent")


def unknown_tool(url: str) -> str:
    return _unknown(url, ask)


def unknown_tool_streamed(url: str) -> str:
    return _unknown(url, streamed)


def too_long(url: str) -> str:
    try:
        ask(url, scenario.TOO_LONG, **QUIET)
    except anthropic.BadRequestError as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


def at_once(url: str) -> None:
    scenario.check_at_once(lambda text: text_of(ask(url, text, **QUIET)))

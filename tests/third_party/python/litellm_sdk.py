"""LiteLLM as a library, with its provider for servers that speak as OpenAI does."""

from __future__ import annotations

from typing import Any, Literal

import litellm
from pydantic import BaseModel

from tests.third_party import scenario
from tests.third_party.scenario import CALL, CASES, NO_THINKING, TOOL, UNKNOWN_CALL, messages


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


def ask(url: str, text: str, extra: dict[str, Any] = NO_THINKING, **options: Any) -> Any:
    return complete(url, messages(text), extra, **options)


def complete(url: str, conversation: list[Any], extra: dict[str, Any], **options: Any) -> Any:
    return litellm.completion(
        model=f"openai/{scenario.MODEL}",
        api_base=f"{url}/v1",
        api_key="unused",
        messages=conversation,
        extra_body=extra,
        max_retries=0,
        **scenario.OPTIONS,
        **options,
    )


def streamed(url: str, text: str, extra: dict[str, Any] = NO_THINKING, **options: Any) -> Any:
    """The answer that LiteLLM puts together from a stream."""
    usage = {"include_usage": True}
    chunks = list(ask(url, text, extra, stream=True, stream_options=usage, **options))
    return litellm.stream_chunk_builder(chunks)


def chat(url: str) -> None:
    scenario.check_answer(ask(url, CASES["hello"]).choices[0].message.content)


def stream(url: str) -> None:
    answer = streamed(url, CASES["hello"])
    scenario.check_answer(answer.choices[0].message.content)
    assert answer.usage.completion_tokens > 0


def reasoning(url: str) -> str:
    message = ask(url, CASES["sum"], {}).choices[0].message
    scenario.check_reasoning(message.reasoning_content, message.content)
    return "`message.reasoning_content`"


def reasoning_streamed(url: str) -> None:
    message = streamed(url, CASES["sum"], {}).choices[0].message
    scenario.check_reasoning(message.reasoning_content, message.content)


def tool_call(url: str) -> None:
    (call,) = ask(url, CASES["weather_question"], CALL, tools=[TOOL]).choices[0].message.tool_calls
    scenario.check_call(call.function.name, call.function.arguments)


def tool_call_streamed(url: str) -> None:
    answer = streamed(url, CASES["weather_question"], CALL, tools=[TOOL])
    (call,) = answer.choices[0].message.tool_calls
    scenario.check_call(call.function.name, call.function.arguments)


def tool_loop(url: str) -> None:
    question = messages(CASES["weather_question"])
    message = complete(url, question, NO_THINKING, tools=[TOOL]).choices[0].message
    (call,) = message.tool_calls
    scenario.check_call(call.function.name, call.function.arguments)
    result = {"role": "tool", "tool_call_id": call.id, "content": CASES["weather_result"]}
    answer = complete(url, [*question, message, result], NO_THINKING, tools=[TOOL])
    assert CASES["weather_result"] in answer.choices[0].message.content


def structured(url: str) -> None:
    answer = ask(url, CASES["port_question"], response_format=Port)
    Port.model_validate_json(answer.choices[0].message.content)


def unknown_tool(url: str) -> str:
    answer = ask(url, CASES["weather_question"], UNKNOWN_CALL, tools=[TOOL])
    message = answer.choices[0].message
    return scenario.check_visible(message.content, message.tool_calls)


def unknown_tool_streamed(url: str) -> str:
    answer = streamed(url, CASES["weather_question"], UNKNOWN_CALL, tools=[TOOL])
    message = answer.choices[0].message
    return scenario.check_visible(message.content, message.tool_calls)


def too_long(url: str) -> str:
    try:
        ask(url, scenario.TOO_LONG)
    except litellm.BadRequestError as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


def at_once(url: str) -> None:
    scenario.check_at_once(lambda text: str(ask(url, text).choices[0].message.content))

"""The openai SDK."""

from __future__ import annotations

from typing import Any, Literal

import openai
from pydantic import BaseModel

from tests.third_party import scenario
from tests.third_party.scenario import CALL, CASES, NO_THINKING, TOOL, UNKNOWN_CALL, messages


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


def ask(url: str, text: str, extra: dict[str, Any] = NO_THINKING, **options: Any) -> Any:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        arguments = {"model": scenario.MODEL, "messages": messages(text), **scenario.OPTIONS}
        answer: Any = client.chat.completions.create(**arguments, extra_body=extra, **options)
        if options.get("stream"):
            return list(answer)
        return answer


def deltas(url: str, text: str, extra: dict[str, Any], **options: Any) -> list[Any]:
    chunks = ask(url, text, extra, stream=True, **options)
    return [chunk.choices[0].delta for chunk in chunks if chunk.choices]


def joined_call(pieces: list[Any]) -> tuple[str, str]:
    calls = [call.function for piece in pieces for call in piece.tool_calls or ()]
    return "".join(call.name or "" for call in calls), "".join(
        call.arguments or "" for call in calls
    )


def chat(url: str) -> None:
    scenario.check_answer(ask(url, CASES["hello"]).choices[0].message.content)


def stream(url: str) -> None:
    chunks = ask(url, CASES["hello"], stream=True, stream_options={"include_usage": True})
    scenario.check_answer(
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    )
    assert chunks[-1].usage.completion_tokens > 0


def reasoning(url: str) -> str:
    message = ask(url, CASES["sum"], {}).choices[0].message
    scenario.check_reasoning(message.reasoning_content, message.content)
    return "`message.reasoning_content`, which the SDK does not type"


def reasoning_streamed(url: str) -> None:
    pieces = deltas(url, CASES["sum"], {})
    thoughts = "".join(getattr(piece, "reasoning_content", None) or "" for piece in pieces)
    scenario.check_reasoning(thoughts, "".join(piece.content or "" for piece in pieces))


def tool_call(url: str) -> None:
    (call,) = ask(url, CASES["weather_question"], CALL, tools=[TOOL]).choices[0].message.tool_calls
    scenario.check_call(call.function.name, call.function.arguments)


def tool_call_streamed(url: str) -> None:
    scenario.check_call(*joined_call(deltas(url, CASES["weather_question"], CALL, tools=[TOOL])))


def tool_loop(url: str) -> None:
    question: Any = messages(CASES["weather_question"])
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        arguments: Any = {"model": scenario.MODEL, "tools": [TOOL], **scenario.OPTIONS}
        arguments["extra_body"] = NO_THINKING
        first: Any = client.chat.completions.create(messages=question, **arguments)
        message = first.choices[0].message
        (call,) = message.tool_calls
        scenario.check_call(call.function.name, call.function.arguments)
        result = {"role": "tool", "tool_call_id": call.id, "content": CASES["weather_result"]}
        conversation: Any = [*question, message, result]
        answer: Any = client.chat.completions.create(messages=conversation, **arguments)
    assert CASES["weather_result"] in answer.choices[0].message.content


def structured(url: str) -> None:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0) as client:
        arguments: Any = {"messages": messages(CASES["port_question"]), **scenario.OPTIONS}
        answer: Any = client.chat.completions.parse(
            model=scenario.MODEL, response_format=Port, extra_body=NO_THINKING, **arguments
        )
    assert isinstance(answer.choices[0].message.parsed, Port)


def unknown_tool(url: str) -> str:
    message = ask(url, CASES["weather_question"], UNKNOWN_CALL, tools=[TOOL]).choices[0].message
    return scenario.check_visible(message.content, message.tool_calls)


def unknown_tool_streamed(url: str) -> str:
    pieces = deltas(url, CASES["weather_question"], UNKNOWN_CALL, tools=[TOOL])
    return scenario.check_visible("".join(p.content or "" for p in pieces), *joined_call(pieces))


def too_long(url: str) -> str:
    try:
        ask(url, scenario.TOO_LONG)
    except openai.BadRequestError as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


def at_once(url: str) -> None:
    scenario.check_at_once(lambda text: str(ask(url, text).choices[0].message.content))

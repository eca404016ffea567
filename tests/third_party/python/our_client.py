"""This project's client, with whichever openai SDK stands under it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel

from clients import (
    ChatClient,
    ContentDelta,
    ContextLengthError,
    ReasoningDelta,
    RunEvent,
    ToolArgumentsDelta,
    Usage,
    tool,
)
from tests.third_party import scenario
from tests.third_party.scenario import CASES

QUIET: dict[str, Any] = {**scenario.OPTIONS, "thinking": False}
THINKING: dict[str, Any] = {**scenario.OPTIONS, "thinking": True}


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


@tool
def get_weather(city: str, days: int = 1) -> str:
    """Get the weather of a city."""
    scenario.check_call("get_weather", {"city": city, "days": days})
    return str(CASES["weather_result"])


def chat(url: str) -> None:
    with ChatClient(url) as client:
        scenario.check_answer(client.chat(CASES["hello"], **QUIET).content)


def stream(url: str) -> None:
    with ChatClient(url) as client, client.stream(CASES["hello"], **QUIET) as events:
        seen = list(events)
    scenario.check_answer("".join(event.text for event in seen if isinstance(event, ContentDelta)))
    assert any(isinstance(event, Usage) and event.completion_tokens > 0 for event in seen)


def reasoning(url: str) -> None:
    with ChatClient(url) as client:
        reply = client.chat(CASES["sum"], **THINKING)
    scenario.check_reasoning(reply.reasoning, reply.content)


def reasoning_streamed(url: str) -> None:
    with ChatClient(url) as client, client.stream(CASES["sum"], **THINKING) as events:
        thoughts = "".join(event.text for event in events if isinstance(event, ReasoningDelta))
        scenario.check_reasoning(thoughts, events.reply().content)


def _run_tools(url: str, events: list[RunEvent], *, stream: bool) -> None:
    with ChatClient(url) as client:
        run = client.run_tools(
            CASES["weather_question"],
            [get_weather],
            stream=stream,
            on_event=events.append,
            **QUIET,
        )
    ((result,),) = run.results
    assert result.content == CASES["weather_result"], result.content
    assert CASES["weather_result"] in run.reply.content


def tool_call_streamed(url: str) -> None:
    events: list[RunEvent] = []
    _run_tools(url, events, stream=True)
    assert any(isinstance(event, ToolArgumentsDelta) for event in events)


def tool_loop(url: str) -> None:
    _run_tools(url, [], stream=False)


def structured(url: str) -> None:
    with ChatClient(url) as client:
        assert isinstance(client.parse(CASES["port_question"], Port, **QUIET), Port)


def too_long(url: str) -> str:
    with ChatClient(url) as client:
        try:
            client.chat(scenario.TOO_LONG, **QUIET)
        except ContextLengthError as error:
            return scenario.check_refusal(error)
    raise AssertionError("no exception")


def at_once(url: str) -> None:
    with ChatClient(url) as client:
        scenario.check_at_once(lambda text: client.chat(text, **QUIET).content)

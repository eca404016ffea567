"""pydantic-ai's model for OpenAI's chat endpoint."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import ModelHTTPError, UnexpectedModelBehavior
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

from tests.third_party import scenario
from tests.third_party.scenario import CALL, CASES, NO_THINKING, UNKNOWN_CALL


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


class Called(Exception):  # noqa: N818
    """The tool was called; ends a run that a grammar would keep calling."""


def get_weather(city: str, days: int = 1) -> str:
    """Get the weather of a city."""
    scenario.check_call("get_weather", {"city": city, "days": days})
    return str(CASES["weather_result"])


def stop_at_weather(city: str, days: int = 1) -> str:
    """Get the weather of a city."""
    get_weather(city, days)
    raise Called


stop_at_weather.__name__ = "get_weather"


def agent(url: str, extra: dict[str, Any] = NO_THINKING, **options: Any) -> Any:
    provider = OpenAIProvider(base_url=f"{url}/v1", api_key="unused")
    settings: Any = {**scenario.OPTIONS, "extra_body": extra}
    model = OpenAIChatModel(scenario.MODEL, provider=provider)
    return Agent(model, model_settings=settings, retries=0, **options)


async def chat(url: str) -> None:
    scenario.check_answer((await agent(url).run(CASES["hello"])).output)


async def stream(url: str) -> None:
    async with agent(url).run_stream(CASES["hello"]) as run:
        text = "".join([piece async for piece in run.stream_text(delta=True)])
        usage: Any = run.usage
    scenario.check_answer(text)
    assert (usage() if callable(usage) else usage).output_tokens > 0


def thoughts_of(messages: list[Any]) -> str:
    parts = [part for message in messages for part in message.parts]
    return "".join(part.content for part in parts if part.part_kind == "thinking")


async def reasoning(url: str) -> str:
    run = await agent(url, {}).run(CASES["sum"])
    scenario.check_reasoning(thoughts_of(run.all_messages()), run.output)
    return "a `ThinkingPart`"


async def reasoning_streamed(url: str) -> None:
    async with agent(url, {}).run_stream(CASES["sum"]) as run:
        output = await run.get_output()
        scenario.check_reasoning(thoughts_of(run.all_messages()), output)


async def tool_call(url: str) -> None:
    try:
        await agent(url, CALL, tools=[stop_at_weather]).run(CASES["weather_question"])
    except Called:
        return
    raise AssertionError("the tool was not called")


async def tool_call_streamed(url: str) -> None:
    forced = agent(url, CALL, tools=[stop_at_weather])
    try:
        async with forced.run_stream(CASES["weather_question"]) as run:
            await run.get_output()
    except Called:
        return
    raise AssertionError("the tool was not called")


async def tool_loop(url: str) -> None:
    run = await agent(url, tools=[get_weather]).run(CASES["weather_question"])
    assert CASES["weather_result"] in run.output


async def agent_loop(url: str) -> None:
    task = scenario.Task()
    task.check((await agent(url, tools=task.tools()).run(CASES["task"])).output)


async def structured(url: str) -> None:
    run = await agent(url, output_type=NativeOutput(Port)).run(CASES["port_question"])
    assert isinstance(run.output, Port)


async def unknown_tool(url: str) -> str:
    try:
        run = await agent(url, UNKNOWN_CALL, tools=[get_weather]).run(CASES["weather_question"])
    except UnexpectedModelBehavior as error:
        return f"{scenario.check_visible(error, error.__cause__)}: raises {type(error).__name__}"
    return scenario.check_visible(run.output)


async def unknown_tool_streamed(url: str) -> str:
    forced = agent(url, UNKNOWN_CALL, tools=[get_weather])
    try:
        async with forced.run_stream(CASES["weather_question"]) as run:
            return scenario.check_visible(await run.get_output())
    except UnexpectedModelBehavior as error:
        return f"{scenario.check_visible(error, error.__cause__)}: raises {type(error).__name__}"


async def too_long(url: str) -> str:
    try:
        await agent(url).run(scenario.TOO_LONG)
    except ModelHTTPError as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


async def at_once(url: str) -> None:
    asked = agent(url)

    async def ask(text: str) -> str:
        return str((await asked.run(text)).output)

    await scenario.check_at_once_async(ask)

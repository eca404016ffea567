"""openai-agents on OpenAI's chat endpoint."""

from __future__ import annotations

import json
from typing import Any, Literal

import openai
from agents import (
    Agent,
    FunctionTool,
    ModelBehaviorError,
    ModelSettings,
    OpenAIChatCompletionsModel,
    Runner,
    function_tool,
)
from pydantic import BaseModel

from tests.third_party import scenario
from tests.third_party.scenario import CALL, CASES, NO_THINKING, UNKNOWN_CALL


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


class Weather:
    """The tool, and the arguments of its calls."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    async def call(self, _context: Any, arguments: str) -> str:
        self.calls.append(json.loads(arguments))
        return str(CASES["weather_result"])

    def tool(self) -> Any:
        return FunctionTool(
            name=CASES["weather"]["name"],
            description=CASES["weather"]["description"],
            params_json_schema=CASES["weather"]["parameters"],
            on_invoke_tool=self.call,
            strict_json_schema=False,
        )


def agent(url: str, extra: dict[str, Any] = NO_THINKING, **options: Any) -> Any:
    client = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
    settings = ModelSettings(extra_body=extra, include_usage=True, **scenario.OPTIONS)
    model = OpenAIChatCompletionsModel(model=scenario.MODEL, openai_client=client)
    return Agent(name="agent", model=model, model_settings=settings, **options)


async def chat(url: str) -> None:
    scenario.check_answer((await Runner.run(agent(url), CASES["hello"])).final_output)


async def streamed(asked: Any, text: str) -> Any:
    run = Runner.run_streamed(asked, text)
    async for _ in run.stream_events():
        pass
    return run


async def stream(url: str) -> None:
    run = await streamed(agent(url), CASES["hello"])
    scenario.check_answer(run.final_output)
    assert run.context_wrapper.usage.output_tokens > 0


def _thoughts(run: Any) -> str:
    items = [item.raw_item for item in run.new_items if item.type == "reasoning_item"]
    return "".join(part.text for item in items for part in item.summary)


async def reasoning(url: str) -> str:
    run = await Runner.run(agent(url, {}), CASES["sum"])
    scenario.check_reasoning(_thoughts(run), run.final_output)
    return "a `ReasoningItem`"


async def reasoning_streamed(url: str) -> None:
    run = await streamed(agent(url, {}), CASES["sum"])
    scenario.check_reasoning(_thoughts(run), run.final_output)


async def tool_call(url: str) -> None:
    weather = Weather()
    # The run ends with the tool's result: the grammar would make the model call it again.
    asked = agent(url, CALL, tools=[weather.tool()], tool_use_behavior="stop_on_first_tool")
    await Runner.run(asked, CASES["weather_question"])
    assert weather.calls == [CASES["weather_arguments"]]


async def tool_call_streamed(url: str) -> None:
    weather = Weather()
    asked = agent(url, CALL, tools=[weather.tool()], tool_use_behavior="stop_on_first_tool")
    await streamed(asked, CASES["weather_question"])
    assert weather.calls == [CASES["weather_arguments"]]


async def tool_loop(url: str) -> None:
    weather = Weather()
    run = await Runner.run(agent(url, tools=[weather.tool()]), CASES["weather_question"])
    assert weather.calls == [CASES["weather_arguments"]]
    assert CASES["weather_result"] in run.final_output


async def agent_loop(url: str) -> None:
    task = scenario.Task()
    asked = agent(url, tools=[function_tool(tool) for tool in task.tools()])
    task.check((await Runner.run(asked, CASES["task"])).final_output)


async def structured(url: str) -> None:
    run = await Runner.run(agent(url, output_type=Port), CASES["port_question"])
    assert isinstance(run.final_output, Port)


async def unknown_tool(url: str) -> str:
    asked = agent(url, UNKNOWN_CALL, tools=[Weather().tool()])
    try:
        run = await Runner.run(asked, CASES["weather_question"])
    except ModelBehaviorError as error:
        return f"{scenario.check_visible(error)}: raises {type(error).__name__}"
    return scenario.check_visible(run.final_output)


async def unknown_tool_streamed(url: str) -> str:
    asked = agent(url, UNKNOWN_CALL, tools=[Weather().tool()])
    try:
        run = await streamed(asked, CASES["weather_question"])
    except ModelBehaviorError as error:
        return f"{scenario.check_visible(error)}: raises {type(error).__name__}"
    return scenario.check_visible(run.final_output)


async def too_long(url: str) -> str:
    try:
        await Runner.run(agent(url), scenario.TOO_LONG)
    except openai.BadRequestError as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


async def at_once(url: str) -> None:
    asked = agent(url)

    async def ask(text: str) -> str:
        return str((await Runner.run(asked, text)).final_output)

    await scenario.check_at_once_async(ask)

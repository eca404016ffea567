"""Other people's clients, unchanged: the openai SDK, pydantic-ai and instructor."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Literal, TypeVar

import instructor
import openai
import pytest
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput
from pydantic_ai.exceptions import UsageLimitExceeded
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import UsageLimits

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from launcher.state.record import RunRecord

T = TypeVar("T")
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
QUIET = ModelSettings(max_tokens=200, temperature=0, extra_body=NO_THINKING)


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


@pytest.fixture
def sdk(eagle: RunRecord) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{eagle.base_url}/v1", api_key="unused") as client:
        yield client


def with_pydantic_ai(record: RunRecord, use: Callable[[OpenAIChatModel], Awaitable[T]]) -> T:
    """Run with a model of pydantic-ai's whose connections are closed at the end."""

    async def inside() -> T:
        url = f"{record.base_url}/v1"
        async with openai.AsyncOpenAI(base_url=url, api_key="unused") as client:
            return await use(OpenAIChatModel("nano", provider=OpenAIProvider(openai_client=client)))

    return asyncio.run(inside())


def test_the_openai_sdk_streams_with_usage(sdk: openai.OpenAI) -> None:
    with sdk.chat.completions.create(
        model="nano",
        messages=[{"role": "user", "content": "Hi"}],
        max_tokens=24,
        stream=True,
        stream_options={"include_usage": True},
        extra_body=NO_THINKING,
    ) as stream:
        chunks = list(stream)
    assert any(chunk.choices and chunk.choices[0].delta.content for chunk in chunks)
    assert chunks[-1].usage is not None
    assert 0 < chunks[-1].usage.completion_tokens < 24


def test_the_openai_sdk_calls_a_tool(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.create(
        model="nano",
        messages=[{"role": "user", "content": "Use port 8000"}],
        tools=[openai.pydantic_function_tool(Port)],
        tool_choice="required",
        parallel_tool_calls=False,
        max_tokens=300,
        temperature=0,
        extra_body=NO_THINKING,
    )
    calls = answer.choices[0].message.tool_calls
    assert calls is not None
    call = calls[0]
    assert call.type == "function"
    assert json.loads(call.function.arguments)["port"] in {8000, 8001}


def test_the_openai_sdk_parses_a_model(sdk: openai.OpenAI) -> None:
    answer = sdk.chat.completions.parse(
        model="nano",
        messages=[{"role": "user", "content": "Use port 8000"}],
        response_format=Port,
        max_tokens=200,
        temperature=0,
        extra_body=NO_THINKING,
    )
    assert isinstance(answer.choices[0].message.parsed, Port)


def test_pydantic_ai_chats(eagle: RunRecord) -> None:
    async def use(model: OpenAIChatModel) -> None:
        result = await Agent(model, model_settings=QUIET).run("Hello")
        assert result.output
        assert result.usage().output_tokens > 0

    with_pydantic_ai(eagle, use)


def test_pydantic_ai_reads_reasoning(eagle: RunRecord) -> None:
    async def use(model: OpenAIChatModel) -> set[str]:
        settings = ModelSettings(max_tokens=64, temperature=0)
        result = await Agent(model, model_settings=settings, retries=0).run("What is 27 + 15?")
        assert result.output.endswith("42")
        return {part.part_kind for message in result.all_messages() for part in message.parts}

    assert "thinking" in with_pydantic_ai(eagle, use)


def test_pydantic_ai_streams(eagle: RunRecord) -> None:
    async def use(model: OpenAIChatModel) -> list[str]:
        async with Agent(model, model_settings=QUIET).run_stream("Hello") as stream:
            return [piece async for piece in stream.stream_text(delta=True)]

    assert "".join(with_pydantic_ai(eagle, use))


def test_pydantic_ai_parses_a_model(eagle: RunRecord) -> None:
    async def use(model: OpenAIChatModel) -> Port:
        agent = Agent(model, output_type=NativeOutput(Port), model_settings=QUIET)
        return (await agent.run("Use port 8000")).output

    assert isinstance(with_pydantic_ai(eagle, use), Port)


def test_pydantic_ai_calls_a_tool(eagle: RunRecord) -> None:
    ports: list[int] = []

    async def use(model: OpenAIChatModel) -> None:
        settings = ModelSettings(**QUIET, parallel_tool_calls=False)
        settings["extra_body"] = {**NO_THINKING, "tool_choice": "required"}
        agent = Agent(model, model_settings=settings)

        @agent.tool_plain
        def set_port(port: Literal[8000, 8001]) -> str:
            """Set the port."""
            ports.append(port)
            return "done"

        # A required choice never ends by itself, and that the tool ran is what counts.
        with pytest.raises(UsageLimitExceeded):
            await agent.run("Use port 8000", usage_limits=UsageLimits(request_limit=2))

    with_pydantic_ai(eagle, use)
    assert set(ports) <= {8000, 8001}
    assert ports


@pytest.mark.parametrize("mode", [instructor.Mode.JSON_SCHEMA, instructor.Mode.TOOLS])
def test_instructor_gives_an_instance(sdk: openai.OpenAI, mode: instructor.Mode) -> None:
    client = instructor.from_openai(sdk, mode=mode)
    port = client.chat.completions.create(
        model="nano",
        messages=[{"role": "user", "content": "Use port 8000"}],
        response_model=Port,
        max_tokens=300,
        temperature=0,
        extra_body=NO_THINKING,
        parallel_tool_calls=False,
    )
    assert isinstance(port, Port)

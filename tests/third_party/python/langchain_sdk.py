"""LangChain's `ChatOpenAI`."""

from __future__ import annotations

from typing import Any, Literal

import openai
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

from tests.third_party import scenario
from tests.third_party.scenario import CALL, CASES, NO_THINKING, TOOL, UNKNOWN_CALL


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


def model(url: str, extra: dict[str, Any] = NO_THINKING) -> Any:
    return ChatOpenAI(
        model=scenario.MODEL,
        base_url=f"{url}/v1",
        api_key="unused",
        extra_body=extra,
        max_retries=0,
        stream_usage=True,
        **scenario.OPTIONS,
    )


def chat(url: str) -> None:
    scenario.check_answer(model(url).invoke(CASES["hello"]).text)


def joined(chunks: Any) -> Any:
    whole = next(chunks)
    for chunk in chunks:
        whole += chunk
    return whole


def stream(url: str) -> None:
    whole = joined(model(url).stream(CASES["hello"]))
    scenario.check_answer(whole.text)
    assert whole.usage_metadata["output_tokens"] > 0


def _reasoning(answer: Any) -> str:
    thoughts = answer.additional_kwargs.get("reasoning_content")
    if thoughts is None and "reasoning" not in str(answer.content_blocks):
        raise scenario.Limit(
            "client: `ChatOpenAI` keeps no field that OpenAI has not; its docstring says so"
        )
    scenario.check_reasoning(thoughts, answer.text)
    return "`additional_kwargs`"


def reasoning(url: str) -> str:
    return _reasoning(model(url, {}).invoke(CASES["sum"]))


def reasoning_streamed(url: str) -> str:
    return _reasoning(joined(model(url, {}).stream(CASES["sum"])))


def tool_call(url: str) -> None:
    (call,) = model(url, CALL).bind_tools([TOOL]).invoke(CASES["weather_question"]).tool_calls
    scenario.check_call(call["name"], call["args"])


def tool_call_streamed(url: str) -> None:
    chunks = model(url, CALL).bind_tools([TOOL]).stream(CASES["weather_question"])
    (call,) = joined(chunks).tool_calls
    scenario.check_call(call["name"], call["args"])


def tool_loop(url: str) -> None:
    bound = model(url).bind_tools([TOOL])
    question = HumanMessage(CASES["weather_question"])
    first = bound.invoke([question])
    (call,) = first.tool_calls
    scenario.check_call(call["name"], call["args"])
    result = ToolMessage(CASES["weather_result"], tool_call_id=call["id"])
    assert CASES["weather_result"] in bound.invoke([question, first, result]).text


def agent_loop(url: str) -> None:
    task = scenario.Task()
    agent = create_agent(model(url), tools=task.tools())
    done = agent.invoke({"messages": [HumanMessage(CASES["task"])]})
    task.check(done["messages"][-1].text)


def structured(url: str) -> None:
    shaped = model(url).with_structured_output(Port, method="json_schema")
    assert isinstance(shaped.invoke(CASES["port_question"]), Port)


def unknown_tool(url: str) -> str:
    answer = model(url, UNKNOWN_CALL).bind_tools([TOOL]).invoke(CASES["weather_question"])
    return scenario.check_visible(answer.text, answer.tool_calls, answer.invalid_tool_calls)


def unknown_tool_streamed(url: str) -> str:
    chunks = model(url, UNKNOWN_CALL).bind_tools([TOOL]).stream(CASES["weather_question"])
    answer = joined(chunks)
    return scenario.check_visible(answer.text, answer.tool_calls, answer.invalid_tool_calls)


def too_long(url: str) -> str:
    try:
        model(url).invoke(scenario.TOO_LONG)
    except openai.BadRequestError as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


def at_once(url: str) -> None:
    client = model(url)
    scenario.check_at_once(lambda text: str(client.invoke(text).text))

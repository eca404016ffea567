"""instructor over the openai SDK: it gives instances of a class, and nothing else."""

from __future__ import annotations

import json
from typing import Any, Literal

import instructor
import openai
from instructor.core.exceptions import InstructorRetryException
from pydantic import BaseModel

from tests.third_party import scenario
from tests.third_party.scenario import CASES, NO_THINKING, UNKNOWN_CALL, messages


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


def client_of(url: str, mode: instructor.Mode) -> Any:
    sdk = openai.OpenAI(base_url=f"{url}/v1", api_key="unused", max_retries=0)
    return instructor.from_openai(sdk, mode=mode)


def arguments(text: str, extra: dict[str, Any] = NO_THINKING) -> dict[str, Any]:
    return {
        "model": scenario.MODEL,
        "messages": messages(text),
        "response_model": Port,
        "max_retries": 0,
        "extra_body": extra,
        **scenario.OPTIONS,
    }


def stream(url: str) -> str:
    client = client_of(url, instructor.Mode.JSON_SCHEMA)
    parts = list(client.create_partial(**arguments(CASES["port_question"])))
    assert parts[-1].port in {8000, 8001}
    return "partial instances"


def tool_call(url: str) -> str:
    client = client_of(url, instructor.Mode.TOOLS)
    port = client.create(**arguments(CASES["port_question"]), parallel_tool_calls=False)
    assert isinstance(port, Port)
    return "the instance comes by a tool that must be called"


def structured(url: str) -> None:
    client = client_of(url, instructor.Mode.JSON_SCHEMA)
    assert isinstance(client.create(**arguments(CASES["port_question"])), Port)


def unknown_tool(url: str) -> str:
    # It demands its tool, so that SGLang's own grammar would win over ours: leave it the choice.
    client = client_of(url, instructor.Mode.TOOLS)
    extra = {**UNKNOWN_CALL, "tool_choice": "auto"}
    try:
        client.create(**arguments(CASES["weather_question"], extra))
    except InstructorRetryException as error:
        answers = [attempt.completion for attempt in error.failed_attempts or ()]
        seen = scenario.check_visible(error, error.last_completion, *answers)
        return f"{seen}: raises {type(error).__name__}"
    raise AssertionError("an instance came from a call of another tool")


def too_long(url: str) -> str:
    try:
        client_of(url, instructor.Mode.JSON_SCHEMA).create(**arguments(scenario.TOO_LONG))
    except (InstructorRetryException, openai.BadRequestError) as error:
        return scenario.check_refusal(error)
    raise AssertionError("no exception")


def at_once(url: str) -> None:
    client = client_of(url, instructor.Mode.JSON_SCHEMA)

    def ask(text: str) -> str:
        return json.dumps(client.create(**arguments(text)).model_dump())

    scenario.check_at_once(ask)

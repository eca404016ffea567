"""What the server answers, as any client sees it: plain HTTP, and nothing between.

A grammar (`regex`, a field of SGLang's) makes the model write what a test is about; the server
cannot tell that from what the model would have written by itself.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.state.record import RunRecord

NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}


@pytest.fixture(scope="module")
def http(eagle: RunRecord) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=eagle.base_url, timeout=120, trust_env=False) as client:
        yield client


def tool(name: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER = tool("get_weather", city={"type": "string"}, days={"type": "integer"})


def ask(http: httpx.Client, text: str, **fields: Any) -> dict[str, Any]:
    """Ask whole and streamed: both must say the same."""
    body = {
        "model": "nano",
        "messages": [{"role": "user", "content": text}],
        "temperature": 0,
        "max_tokens": 200,
        **fields,
    }
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    (choice,) = answer.json()["choices"]
    message = choice["message"]
    whole = {
        "content": message.get("content") or "",
        "reasoning": message.get("reasoning_content") or "",
        "calls": [
            (call["function"]["name"], call["function"]["arguments"])
            for call in message.get("tool_calls") or []
        ],
        "finish_reason": choice["finish_reason"],
    }
    streamed = http.post("/v1/chat/completions", json={**body, "stream": True})
    assert _added_up(streamed.text) == whole
    return whole


def _added_up(stream: str) -> dict[str, Any]:
    content = reasoning = ""
    calls: dict[int, tuple[str, str]] = {}
    finish = None
    for line in stream.splitlines():
        if not line.startswith("data: {"):
            continue
        for choice in json.loads(line.removeprefix("data: "))["choices"]:
            delta = choice["delta"]
            content += delta.get("content") or ""
            reasoning += delta.get("reasoning_content") or ""
            finish = choice["finish_reason"] or finish
            for call in delta.get("tool_calls") or []:
                name, arguments = calls.get(call["index"], ("", ""))
                given = call["function"]
                calls[call["index"]] = (
                    name + (given.get("name") or ""),
                    arguments + (given.get("arguments") or ""),
                )
    return {
        "content": content,
        "reasoning": reasoning,
        "calls": [calls[place] for place in sorted(calls)],
        "finish_reason": finish,
    }


def test_reasoning_and_content_come_without_tags_and_line_breaks(http: httpx.Client) -> None:
    answer = ask(http, "Hello")
    assert answer["reasoning"]
    assert answer["content"]
    for text in (answer["reasoning"], answer["content"]):
        assert "think>" not in text
        assert text == text.lstrip("\n")
    assert answer["finish_reason"] == "stop"


def test_an_answer_may_stop_at_a_line_break(http: httpx.Client) -> None:
    assert ask(http, "Hello", stop=["\n"], **NO_THINKING)["content"]


def test_an_answer_cut_off_in_its_reasoning_has_no_content(http: httpx.Client) -> None:
    answer = ask(http, "Hello", max_tokens=3)
    assert answer["reasoning"]
    assert (answer["content"], answer["finish_reason"]) == ("", "length")


def test_json_ends_by_itself(http: httpx.Client) -> None:
    answer = ask(
        http,
        "Port 8000, secure. Answer in JSON.",
        response_format={"type": "json_object"},
        **NO_THINKING,
    )
    assert isinstance(json.loads(answer["content"]), dict)
    assert answer["finish_reason"] == "stop"


@pytest.mark.parametrize("thinking", [True, False])
def test_a_named_tool_is_called_once_and_the_answer_ends(
    http: httpx.Client,
    thinking: bool,  # noqa: FBT001
) -> None:
    answer = ask(
        http,
        "Hello",
        tools=[WEATHER, tool("get_time", place={"type": "string"})],
        tool_choice={"type": "function", "function": {"name": "get_weather"}},
        chat_template_kwargs={"enable_thinking": thinking},
    )
    ((name, arguments),) = answer["calls"]
    assert name == "get_weather"
    assert json.loads(arguments).keys() == {"city", "days"}
    assert (answer["content"], answer["finish_reason"]) == ("", "tool_calls")


def test_a_named_tool_may_have_a_schema_that_points_into_itself(http: httpx.Client) -> None:
    node = {
        "type": "object",
        "properties": {"v": {"enum": [1, 2]}, "next": {"$ref": "#/$defs/Leaf"}},
        "required": ["v", "next"],
    }
    leaf = {"type": "object", "properties": {"v": {"const": 3}}, "required": ["v"]}
    nested = tool("nest", node={"$ref": "#/$defs/Node"})
    nested["function"]["parameters"]["$defs"] = {"Node": node, "Leaf": leaf}
    answer = ask(
        http,
        "Hello",
        tools=[nested],
        tool_choice={"type": "function", "function": {"name": "nest"}},
        **NO_THINKING,
    )
    ((_, arguments),) = answer["calls"]
    assert json.loads(arguments)["node"]["next"] == {"v": 3}


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        pytest.param(
            "<tool_call>other\n<arg_key>a</arg_key>\n<arg_value>x</arg_value>\n</tool_call>",
            "",
            [("other", '{"a": "x"}')],
            id="a tool that was not offered",
        ),
        pytest.param(
            "Look.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>true</arg_value>\n"
            "<arg_key>days</arg_key>\n<arg_value>1</arg_value>\n</tool_call>\n"
            "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>1e5</arg_value>\n"
            "</tool_call>",
            "Look.",
            [
                ("get_weather", '{"city": "true", "days": 1}'),
                ("get_weather", '{"city": "1e5"}'),
            ],
            id="text that looks like something else, two calls",
        ),
        pytest.param(
            "<tool_call>get_weather\n<arg_key>city</arg_value>\n</tool_call>",
            "<tool_call>get_weather\n<arg_key>city</arg_value>\n</tool_call>",
            [],
            id="what cannot be read",
        ),
    ],
)
def test_what_the_model_wrote_is_what_the_client_gets(
    http: httpx.Client, text: str, content: str, calls: list[tuple[str, str]]
) -> None:
    answer = ask(http, "Hello", tools=[WEATHER], regex=re.escape(text), **NO_THINKING)
    assert (answer["content"], answer["calls"]) == (content, calls)
    assert answer["finish_reason"] == ("tool_calls" if calls else "stop")


def test_a_call_of_a_tool_that_was_not_offered_shows_by_the_messages_api_too(
    http: httpx.Client,
) -> None:
    body = {
        "model": "nano",
        "max_tokens": 200,
        "messages": [{"role": "user", "content": "Thank you!"}],
        "tools": [{"name": "get_weather", "input_schema": WEATHER["function"]["parameters"]}],
    }
    answer = http.post("/v1/messages", json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["content"]


def test_usage_tells_what_the_prefix_cache_gave(http: httpx.Client) -> None:
    body = {"model": "nano", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 2}
    for _ in range(2):
        usage = http.post("/v1/chat/completions", json=body).json()["usage"]
    assert usage["prompt_tokens_details"]["cached_tokens"] > 0


def test_the_collectors_are_frozen_by_the_launcher_and_nothing_fails(eagle: RunRecord) -> None:
    log = eagle.log_file.read_text()
    assert re.search(r'"POST /freeze_gc HTTP/1.1" 200', log)
    assert "freeze_gc failed" not in log
    assert "Traceback" not in log

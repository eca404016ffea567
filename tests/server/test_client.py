"""The client's own features against the real server, speculation on."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import BaseModel, TypeAdapter

from clients import (
    AsyncChatClient,
    AuthenticationError,
    ChatClient,
    ContentDelta,
    ContextLengthError,
    Done,
    EmptyAnswerError,
    Message,
    MissingToolCallError,
    PermissionDeniedError,
    RunEvent,
    Started,
    StructuredOutputError,
    ToolArgumentsDelta,
    ToolResult,
    tool,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from launcher.state.record import RunRecord

PATIENCE_SECONDS = 30.0


class Port(BaseModel):
    """What is asked for."""

    port: Literal[8000, 8001]


@tool
def set_port(port: Literal[8000, 8001]) -> str:
    """Set the port.

    Args:
        port: which of the two.
    """
    return f"set to {port}"


@pytest.fixture
def client(eagle: RunRecord) -> Iterator[ChatClient]:
    with ChatClient(server=eagle.name) as client:
        yield client


def test_acceptance_is_that_of_the_request(client: ChatClient) -> None:
    # Longer than its answer, for which the server counts the prefill's token as accepted, too.
    endless = {"ignore_eos": True}
    reply = client.chat("Hello", max_tokens=48, thinking=False, temperature=0, extra=endless)
    assert reply.acceptance is not None
    assert 1.0 <= reply.acceptance.length <= 4.0
    assert reply.usage is not None
    assert reply.acceptance.verify_rounds < reply.usage.completion_tokens


def test_a_model_class_in_an_instance_out(client: ChatClient) -> None:
    answer = client.parse("Which?", Port, thinking=False, temperature=0, max_tokens=200)
    assert answer.port in {8000, 8001}


def test_thinking_to_the_limit_is_a_typed_failure(client: ChatClient) -> None:
    # The grammar begins behind the thoughts, of which there are more than 4 tokens.
    with pytest.raises(StructuredOutputError, match="cut off") as caught:
        client.parse("Hello", Port, thinking=True, temperature=0, max_tokens=4, retries=0)
    assert caught.value.reply.reasoning
    assert caught.value.request_id


@pytest.mark.parametrize("stream", [True, False])
def test_tools_are_called_round_by_round(client: ChatClient, stream: bool) -> None:  # noqa: FBT001
    events: list[RunEvent] = []
    # The call is demanded of the first answer; then the model ends by itself.
    run = client.run_tools(
        "Set the port",
        [set_port],
        stream=stream,
        on_event=events.append,
        tool_choice="set_port",
        parallel_tool_calls=False,
        thinking=False,
        temperature=0,
        max_tokens=400,
    )
    result = run.results[0][0]
    assert run.reply.content
    assert result.content in {"set to 8000", "set to 8001"}
    assert result in events
    assert any(isinstance(event, ToolArgumentsDelta) for event in events) is stream


def test_a_prompt_that_is_too_long_is_told_with_both_lengths(client: ChatClient) -> None:
    with pytest.raises(ContextLengthError) as caught:
        client.chat("hello " * 9000)
    assert caught.value.context_tokens == 8192
    assert caught.value.asked_tokens is not None
    assert caught.value.asked_tokens > 9000


def test_the_server_tells_of_itself(client: ChatClient, eagle: RunRecord) -> None:
    assert client.health() == "healthy"
    assert client.ready()
    info = client.server_info()
    assert (info.version, info.served_model_name) == (eagle.versions["sglang"], "nano")
    assert (info.speculative_algorithm, info.speculative_num_steps) == ("EAGLE", 3)
    assert info.max_total_num_tokens == eagle.kv_cache_tokens
    before = client.metrics()
    client.chat("Hello", max_tokens=8, thinking=False)
    after = client.metrics()
    assert before.requests is not None
    assert after.requests is not None
    assert after.requests > before.requests


def test_whoever_started_the_server_can_abort(client: ChatClient) -> None:
    endless = {"ignore_eos": True}
    with client.stream("Go on", max_tokens=6000, thinking=False, extra=endless) as stream:
        for event in stream:
            if isinstance(event, Started):
                client.abort(event.request_id)
        assert stream.reply().finish_reason == "abort"


def test_an_abort_with_another_key_is_refused_and_names_the_right_one(eagle: RunRecord) -> None:
    for other in (
        ChatClient(eagle.base_url),
        ChatClient(server=eagle.name, admin_key="of-another-server"),
    ):
        with other, pytest.raises((AuthenticationError, PermissionDeniedError)) as caught:
            other.abort("nobody")
        assert "the admin key" in caught.value.action


def test_the_admin_key_is_in_one_private_file_and_nowhere_else(eagle: RunRecord) -> None:
    assert eagle.admin_key_file is not None
    assert eagle.admin_key_file.stat().st_mode & 0o077 == 0
    key = eagle.admin_key_file.read_text().strip()
    folder = eagle.admin_key_file.parent
    holders = [file.name for file in folder.iterdir() if key in file.read_text(errors="replace")]
    assert holders == [eagle.admin_key_file.name]
    assert eagle.server is not None
    assert key.encode() not in Path(f"/proc/{eagle.server.pid}/cmdline").read_bytes()


class Place(BaseModel):
    """A nested parameter."""

    port: Literal[8000, 8001]


def move(place: Place) -> str:
    """Move it to a place.

    Args:
        place: where to.
    """
    return f"moved to {place.port}"


def test_a_nested_parameter_of_a_tool_chosen_by_name_is_no_400(client: ChatClient) -> None:
    reply = client.chat(
        "Move it",
        tools=[move, set_port],
        tool_choice=move,
        parallel_tool_calls=False,
        thinking=False,
        temperature=0,
        max_tokens=200,
    )
    (call,) = reply.tool_calls
    assert json.loads(call.arguments)["place"]["port"] in {8000, 8001}


def test_a_demanded_call_that_was_cut_off_is_told(client: ChatClient) -> None:
    with pytest.raises(MissingToolCallError, match="cut off at its token limit"):
        client.chat(
            "Set it", tools=[set_port], tool_choice="required", thinking=False, max_tokens=2
        )


@pytest.mark.parametrize("shape", [Literal[8000, 8001], Place | None, bool])
def test_a_type_that_is_no_object_is_parsed(client: ChatClient, shape: Any) -> None:
    value = client.parse("Which?", shape, thinking=False, temperature=0, max_tokens=200)
    assert TypeAdapter(shape).validate_python(value) == value


def test_an_empty_answer_names_its_cause(client: ChatClient) -> None:
    with pytest.raises(EmptyAnswerError) as caught:
        client.chat("What is 27 + 15?", thinking=True, max_tokens=4, on_empty="raise")
    assert caught.value.cause == "cut_off_in_reasoning"


def test_an_answer_is_a_message_of_the_next_question(client: ChatClient) -> None:
    messages: list[Message] = [{"role": "user", "content": "Set the port to 8000"}]
    reply = client.chat(
        messages,
        tools=[set_port],
        tool_choice="set_port",
        parallel_tool_calls=False,
        thinking=False,
        temperature=0,
        max_tokens=200,
    )
    messages.append(reply)
    messages += [ToolResult(call, "set to 8000") for call in reply.tool_calls]
    answer = client.chat(messages, tools=[set_port], thinking=False, temperature=0, max_tokens=64)
    assert answer.content


def run_ask(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "clients", "ask", "--no-thinking", "--max-tokens", "8",
               "--temperature", "0", *arguments]  # fmt: skip
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=60, check=False
    )


def test_ask_answers_a_script_by_argument_pipe_and_json(
    client: ChatClient, eagle: RunRecord
) -> None:
    due = client.chat("Hello", max_tokens=8, thinking=False, temperature=0).content
    by_argument = run_ask("--name", eagle.name, "Hello")
    by_pipe = run_ask("--name", eagle.name, given="Hello")
    assert (by_argument.returncode, by_argument.stdout) == (0, f"{due}\n")
    assert (by_pipe.returncode, by_pipe.stdout) == (0, f"{due}\n")
    joined = run_ask("--name", eagle.name, "Review this", given="Hello")
    both = client.chat("Review this\n\nHello", max_tokens=8, thinking=False, temperature=0)
    assert joined.stdout == f"{both.content}\n"
    told = json.loads(run_ask("--name", eagle.name, "--json", "Hello").stdout)
    assert told["content"] == due
    assert told["usage"]["completion_tokens"] <= 8
    assert told["acceptance"]["verify_rounds"] > 0


def test_ask_without_a_prompt_is_wrong_usage(eagle: RunRecord) -> None:
    assert run_ask("--name", eagle.name, given="").returncode == 2


async def freed(client: AsyncChatClient) -> bool:
    """Whether no request runs any more, soon."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if (await client.metrics()).running_requests == 0:
            return True
        await asyncio.sleep(0.5)
    return False


def test_a_cancelled_task_frees_its_slot(eagle: RunRecord) -> None:
    async def cancel() -> bool:
        async with AsyncChatClient(server=eagle.name) as client:
            endless = {"ignore_eos": True}
            stream = await client.stream("Go on", max_tokens=6000, thinking=False, extra=endless)
            await anext(aiter(stream))
            reading = asyncio.create_task(stream.reply())
            waiting = asyncio.create_task(
                client.chat("Go on", max_tokens=6000, thinking=False, extra=endless)
            )
            await asyncio.sleep(1)
            assert not reading.done()
            assert not waiting.done()
            for task in (reading, waiting):
                task.cancel()
            ends = await asyncio.gather(reading, waiting, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ends)
            return await freed(client)

    assert asyncio.run(cancel())


def test_async_streams_side_by_side_are_the_sync_ones(eagle: RunRecord, client: ChatClient) -> None:
    prompts = ["Go on", "Tell me a story", "Write a long text", "List the planets"]
    alone = [
        client.chat(prompt, max_tokens=24, thinking=False, temperature=0).content
        for prompt in prompts
    ]

    async def one(client: AsyncChatClient, prompt: str) -> str:
        asked = client.stream(prompt, max_tokens=24, thinking=False, temperature=0)
        async with asked as stream:
            events = [event async for event in stream]
        assert isinstance(events[-1], Done)
        return "".join(event.text for event in events if isinstance(event, ContentDelta))

    async def together() -> list[str]:
        async with AsyncChatClient(server=eagle.name) as waiting:
            return await asyncio.gather(*(one(waiting, prompt) for prompt in prompts))

    assert asyncio.run(together()) == alone

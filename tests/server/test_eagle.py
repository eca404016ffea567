"""The preset as a newcomer gets it: one command, then a chat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import openai
import pytest

from clients import (
    ChatClient,
    ContentDelta,
    Done,
    ReasoningDelta,
    RequestTimeoutError,
    Timeouts,
    Usage,
)
from launcher.errors import AlreadyRunningError, PortInUseError
from launcher.serving import free_port
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.members import find_members
from tests.server.conftest import record_of, run_cli

# The model ends its answers by itself, where it may.
ENDLESS = {"ignore_eos": True}


def test_the_record_says_what_runs(eagle: RunRecord) -> None:
    assert eagle.state == "READY"
    assert eagle.context_length_tokens == 8192
    assert eagle.kv_cache_tokens == 65536
    assert eagle.versions["sglang"] == "0.5.23"
    assert eagle.server is not None
    assert eagle.server.is_alive()
    assert eagle.supervisor.is_alive()
    assert eagle.ready_seconds is not None


def test_the_servers_own_figures_agree_with_the_record(eagle: RunRecord) -> None:
    info = httpx.get(f"{eagle.base_url}/server_info", timeout=30).json()
    (scheduler,) = info["internal_states"]
    assert scheduler["memory_usage"]["token_capacity"] == eagle.kv_cache_tokens
    assert info["speculative_algorithm"] == "EAGLE"
    assert info["speculative_num_steps"] == 3
    assert info["speculative_eagle_topk"] == 1
    assert info["speculative_num_draft_tokens"] == 4
    # SGLang resolves one of the two names further.
    assert {info["tool_call_parser"], info["reasoning_parser"]} == {"glm", "glm45"}


def test_a_chat_finds_the_server_through_the_run_record(eagle: RunRecord) -> None:
    with ChatClient(server=eagle.name) as client:
        assert client.base_url.startswith(eagle.base_url)
        reply = client.chat("Hello", max_tokens=32, thinking=False, temperature=0)
    assert reply.model == "nano"
    assert reply.content == "Hello! How can I help you?"
    assert reply.reasoning == ""
    assert reply.finish_reason == "stop"
    assert reply.usage is not None
    assert reply.usage.completion_tokens < 32


def test_what_the_model_thinks_is_kept_apart(eagle: RunRecord) -> None:
    with ChatClient(server=eagle.name) as client:
        reply = client.chat("What is 27 + 15?", max_tokens=64, thinking=True, temperature=0)
    assert reply.reasoning.endswith("So 42.")
    assert reply.content == "27 + 15 = 42"
    assert reply.finish_reason == "stop"


def test_a_stream_is_the_same_reply_in_pieces(eagle: RunRecord) -> None:
    with ChatClient(server=eagle.name) as client:
        whole = client.chat("Go on", max_tokens=32, thinking=False, temperature=0)
        with client.stream("Go on", max_tokens=32, thinking=False, temperature=0) as stream:
            events = list(stream)
            streamed = stream.reply()
    pieces = [event.text for event in events if isinstance(event, ContentDelta)]
    assert "".join(pieces) == whole.content == streamed.content
    assert len(pieces) > 1
    usage = next(event for event in events if isinstance(event, Usage))
    assert whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens
    # A verify step accepts several tokens, so chunks are not tokens.
    assert len(pieces) < usage.completion_tokens
    assert isinstance(events[-1], Done)
    assert streamed.timings.time_to_first_token_seconds is not None
    assert streamed.timings.time_per_output_token_seconds is not None


def test_a_stream_of_reasoning_has_its_own_events(eagle: RunRecord) -> None:
    with (
        ChatClient(server=eagle.name) as client,
        client.stream("What is 27 + 15?", max_tokens=64, thinking=True, temperature=0) as stream,
    ):
        events = list(stream)
    kinds = [type(one) for one in events if isinstance(one, (ReasoningDelta, ContentDelta))]
    assert set(kinds) == {ReasoningDelta, ContentDelta}
    last_thought = len(kinds) - kinds[::-1].index(ReasoningDelta)
    assert last_thought == kinds.index(ContentDelta)


def test_a_client_that_leaves_a_stream_frees_its_slot(eagle: RunRecord) -> None:
    with ChatClient(server=eagle.name) as client:
        with client.stream("Go on", max_tokens=6000, thinking=False, extra=ENDLESS) as stream:
            next(iter(stream))
        reply = client.chat("Hello", max_tokens=8, thinking=False)
        assert reply.usage is not None
    # The request was aborted: the server does not decode on for nobody.
    load = httpx.get(f"{eagle.base_url}/v1/loads", timeout=30).json()
    running = [rank["num_running_reqs"] for rank in load["loads"]]
    assert sum(running) == 0


def test_a_client_that_cannot_wait_gets_a_typed_error(eagle: RunRecord) -> None:
    with (
        ChatClient(server=eagle.name, timeouts=Timeouts(total_seconds=0.05)) as client,
        pytest.raises(RequestTimeoutError),
    ):
        client.chat("Hello", max_tokens=4000, thinking=False, extra=ENDLESS)


PORT_SCHEMA = {
    "type": "object",
    "properties": {"port": {"type": "integer", "enum": [8000, 8001]}},
    "required": ["port"],
    "additionalProperties": False,
}


def test_a_tool_is_called_with_the_arguments_that_were_said(eagle: RunRecord) -> None:
    parameters = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    }
    function = {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": parameters,
    }
    with ChatClient(server=eagle.name) as client:
        reply = client.chat(
            "What is the weather in Paris for 3 days?",
            tools=[{"type": "function", "function": function}],
            temperature=0,
            max_tokens=200,
        )
    (call,) = reply.tool_calls
    assert call.name == "get_weather"
    assert json.loads(call.arguments) == {"city": "Paris", "days": 3}
    assert reply.reasoning
    assert reply.finish_reason == "tool_calls"


def test_a_required_tool_call_parses(eagle: RunRecord) -> None:
    tool = {"type": "function", "function": {"name": "set_port", "parameters": PORT_SCHEMA}}
    with ChatClient(server=eagle.name) as client:
        reply = client.chat(
            "Use port 8000",
            tools=[tool],
            tool_choice="required",
            thinking=False,
            temperature=0,
            max_tokens=400,
            # Without it the grammar allows calls without end (sglang issue 13514).
            extra={"parallel_tool_calls": False},
        )
    (call,) = reply.tool_calls
    assert call.name == "set_port"
    assert json.loads(call.arguments)["port"] in {8000, 8001}
    assert reply.finish_reason == "tool_calls"


def test_a_schema_holds_under_speculation(eagle: RunRecord) -> None:
    schema = {"name": "port", "schema": PORT_SCHEMA}
    with ChatClient(server=eagle.name) as client:
        reply = client.chat(
            "Use port 8000",
            thinking=False,
            temperature=0,
            max_tokens=100,
            extra={"response_format": {"type": "json_schema", "json_schema": schema}},
        )
    assert json.loads(reply.content)["port"] in {8000, 8001}
    assert reply.finish_reason == "stop"


def test_the_draft_model_is_right_more_often_than_not(eagle: RunRecord) -> None:
    """Formula: acceptance length = generated tokens / verify rounds, of this request alone."""
    answer = httpx.post(
        f"{eagle.base_url}/generate",
        json={
            "text": "Hello",
            "sampling_params": {"max_new_tokens": 128, "temperature": 0, "ignore_eos": True},
        },
        timeout=120,
    ).json()["meta_info"]
    acceptance_length = answer["completion_tokens"] / answer["spec_verify_ct"]
    assert 1.5 < acceptance_length <= 4.0


def test_metrics_are_served(eagle: RunRecord) -> None:
    text = httpx.get(f"{eagle.base_url}/metrics", timeout=30).text
    assert "sglang:spec_accept_length" in text


def test_the_openai_sdk_works_unchanged(eagle: RunRecord) -> None:
    with openai.OpenAI(base_url=f"{eagle.base_url}/v1", api_key="unused") as client:
        assert [model.id for model in client.models.list()] == ["nano"]
        answer = client.chat.completions.create(
            model="nano", messages=[{"role": "user", "content": "Hi"}], max_tokens=4
        )
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 4


def test_every_process_of_the_server_is_known_as_its_own(eagle: RunRecord) -> None:
    assert eagle.server is not None
    members = {member.pid for member in find_members(eagle.server, eagle.run_id)}
    names = {
        Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").strip() for pid in members
    }
    assert eagle.server.pid in members
    assert any(b"sglang::scheduler" in name for name in names)
    assert any(b"sglang::detokenizer" in name for name in names)
    assert os.getpid() not in members
    assert eagle.supervisor.pid not in members


def test_status_tells_a_program_and_a_person(
    eagle: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("status", "--name", "eagle", "--json") == 0
    (told,) = json.loads(capsys.readouterr().out)["servers"]
    assert (told["state"], told["base_url"]) == ("READY", eagle.base_url)
    assert run_cli("status") == 0
    shown = capsys.readouterr().out
    assert "READY" in shown
    assert f"{eagle.base_url}/v1" in shown


def test_status_needs_neither_torch_nor_sglang(eagle: RunRecord) -> None:
    code = (
        "import sys; sys.argv = ['launcher', 'status', '--json']; import launcher.cli.main\n"
        "try: launcher.cli.main.main()\n"
        "except SystemExit: pass\n"
        "loaded = {'torch', 'sglang', 'transformers', 'rich'} & set(sys.modules)\n"
        "assert not loaded, loaded"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert eagle.run_id in done.stdout


@pytest.mark.usefixtures("eagle")
def test_logs_hold_what_the_server_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("logs", "--name", "eagle", "-n", "100000") == 0
    assert "The server is fired up and ready to roll!" in capsys.readouterr().out
    assert run_cli("logs", "--name", "eagle", "--events") == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[-1]["event"] == "server.ready"


def test_a_second_up_of_the_same_name_says_what_runs(
    eagle: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_cli("up", "--name", "eagle", "--port", str(free_port()))
    assert code == AlreadyRunningError.exit_code
    said = " ".join(capsys.readouterr().err.split())
    assert eagle.base_url in said
    assert record_of("eagle") == eagle


def test_another_name_on_the_same_port_is_told_who_holds_it(
    eagle: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert eagle.server is not None
    port = eagle.base_url.rpartition(":")[2]
    code = run_cli("up", "--preset", "nano", "--name", "second", "--port", port)
    assert code == PortInUseError.exit_code
    assert f"process {eagle.server.pid}" in " ".join(capsys.readouterr().err.split())
    assert not RunStore("second").folder.exists()

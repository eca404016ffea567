"""vLLM behind the same launcher: what it answers, what it survives, and that nothing is left.

One server for all of them, in this order; each test leaves it serving, but the last. `make
test-vllm` installs it and runs these.
"""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from launcher.engines.common.environments import environment_of
from launcher.engines.common.metrics import ask_metrics
from launcher.engines.vllm.version import FOR_CPU, VERIFIED_VERSION
from launcher.engines.vllm.watching.metrics import METRICS
from launcher.engines.vllm.watching.prober import VllmProber
from launcher.metrics.table import Quantity, read
from launcher.serving import free_port
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.activity import titles
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity, wait_until_gone
from tests.server.conftest import (
    assert_nothing_is_left,
    in_foreground,
    record_of,
    run_cli,
)

NAME = "vllm"
KEY = "key-of-a-test-0123456789"
PATIENCE_SECONDS = 240.0
HEADERS = {"Authorization": f"Bearer {KEY}"}
IN_FLIGHT = 50
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}

pytestmark = [
    pytest.mark.costly,
    pytest.mark.skipif(
        not environment_of(FOR_CPU, VERIFIED_VERSION).is_whole,
        reason="vLLM for CPUs is not installed: `python -m launcher engine install vllm`",
    ),
]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    key_file = tmp_path_factory.mktemp("keys") / "api.key"
    key_file.touch(0o600)
    key_file.write_text(KEY)
    return (
        *("--preset", "nano-vllm", "--api-key-file", str(key_file)),
        *("--restart-delay-seconds", "0.05", "--restart-limit", "1000"),
        *("--health-interval-seconds", "1", "--health-timeout-seconds", "10"),
        # A limit, not a figure: fifty answers on a machine that is busy.
        *("--drain-timeout-seconds", "180"),
    )


@pytest.fixture(scope="module")
def served(arguments: tuple[str, ...]) -> Iterator[RunRecord]:
    """A server that comes back at once, however often it falls."""
    try:
        code = run_cli("up", "--detach", "--name", NAME, "--port", str(free_port()), *arguments)
        assert code == 0, RunStore(NAME).log_file.read_text()[-3000:]
        yield record_of(NAME)
    finally:
        assert run_cli("down", "--name", NAME) == 0
    assert_nothing_is_left(NAME)


def ask(path: str, body: dict[str, Any], **settings: Any) -> httpx.Response:
    url = f"{record_of(NAME).base_url}{path}"
    return httpx.post(url, json={"model": "nano", **body}, headers=HEADERS, timeout=240, **settings)


def chat(text: str, **fields: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": text}], "temperature": 0, **fields}
    answer = ask("/v1/chat/completions", body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}; the record: {record_of(NAME)}"
        time.sleep(0.05)


def events_of(record: RunRecord) -> list[dict[str, Any]]:
    lines = record.events_file.read_text().splitlines()
    events = [json.loads(line) for line in lines if line]
    return [event for event in events if event["run_id"] == record.run_id]


def assert_serves_again(before: RunRecord) -> dict[str, Any]:
    """A new run is ready and answers, nothing of the former one is left; returns how that ended."""
    wait_for(
        lambda: record_of(NAME).run_id != before.run_id and record_of(NAME).state == "READY",
        "it did not come back",
    )
    assert before.server is not None
    assert find_members(before.server, before.run_id) == []
    assert chat("Hello", max_tokens=8)["usage"]["completion_tokens"] > 0
    assert record_of(NAME).restarts == before.restarts + 1
    return next(event for event in events_of(before) if event["event"] == "server.crashed")


def process_of(record: RunRecord, who: str) -> ProcessIdentity:
    assert record.server is not None
    if who == "the main process":
        return record.server
    members = find_members(record.server, record.run_id)
    named = titles(members)
    return next(one for one in members if named.get(one.pid, "").startswith(who))


def test_it_is_ready_with_the_figures_of_its_log(served: RunRecord) -> None:
    assert served.state == "READY"
    assert served.served_model_name == "nano"
    assert served.context_length_tokens == 8192
    assert served.kv_cache_tokens
    assert served.max_running_requests == 32
    assert served.versions["vllm"] == VERIFIED_VERSION
    phases = [event["phase"] for event in events_of(served) if event["event"] == "server.phase"]
    assert list(dict.fromkeys(phases)) == [
        *("importing the engine", "loading weights", "loading draft weights"),
        *("KV cache", "warm-up"),
    ]


def test_the_key_is_asked_for_everywhere_and_stands_nowhere(served: RunRecord) -> None:
    # vLLM itself leaves all but the first one open.
    for path in ("/v1/models", "/tokenize", "/invocations", "/version", "/openapi.json"):
        assert httpx.get(f"{served.base_url}{path}").status_code == 401, path
    assert httpx.post(f"{served.base_url}/invocations", json={"prompt": "1"}).status_code == 401
    for path in ("/health", "/metrics"):
        assert httpx.get(f"{served.base_url}{path}").status_code == 200, path
    wrong = httpx.get(f"{served.base_url}/version", headers={"Authorization": f"Bearer {KEY}x"})
    assert wrong.status_code == 401

    assert served.server is not None
    for member in find_members(served.server, served.run_id):
        for part in ("cmdline", "environ"):
            assert KEY.encode() not in Path(f"/proc/{member.pid}/{part}").read_bytes()
    for file in RunStore(NAME).folder.iterdir():
        if file.is_file():
            assert KEY.encode() not in file.read_bytes(), file


@pytest.mark.usefixtures("served")
def test_it_chats_reasons_and_calls_tools() -> None:
    plain = chat("Hello", max_tokens=32, chat_template_kwargs={"enable_thinking": False})
    assert plain["choices"][0]["message"]["content"]
    assert plain["usage"]["completion_tokens"] > 0

    thinking = chat("Hello", max_tokens=200)["choices"][0]["message"]
    assert thinking["reasoning"]

    called = chat("What is the weather in Paris?", max_tokens=200, tools=[WEATHER])
    (call,) = called["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert "city" in json.loads(call["function"]["arguments"])
    assert called["choices"][0]["finish_reason"] == "tool_calls"


def test_a_stream_has_pieces_usage_and_an_end(served: RunRecord) -> None:
    body = {
        "model": "nano",
        "messages": [{"role": "user", "content": "Hello"}],
        "max_tokens": 32,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    url = f"{served.base_url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=HEADERS, timeout=60) as answer:
        lines = [line for line in answer.iter_lines() if line]

    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert any(chunk["choices"][0]["delta"].get("content") or
               chunk["choices"][0]["delta"].get("reasoning")
               for chunk in chunks if chunk["choices"])  # fmt: skip
    assert chunks[-1]["usage"]["completion_tokens"] > 0


@pytest.mark.usefixtures("served")
def test_it_speculates_and_says_when_its_last_output_came() -> None:
    chat("Tell me about Paris", max_tokens=64)
    metrics = httpx.get(f"{record_of(NAME).base_url}/metrics").text
    drafted = next(
        float(line.rpartition(" ")[2])
        for line in metrics.splitlines()
        if line.startswith("vllm:spec_decode_num_draft_tokens_total")
    )
    assert drafted > 0

    prober = VllmProber(record_of(NAME).base_url, "nano", KEY)
    assert prober.is_up()
    assert prober.generate(1, timeout_seconds=30)
    first = prober.seconds_since_output(timeout_seconds=30)
    second = prober.seconds_since_output(timeout_seconds=30)
    assert first is not None
    assert second is not None
    assert 0 <= first < second
    assert prober.complete("1", 4, timeout_seconds=30).tokens == 4


def test_top_has_each_figure_of_its_table(
    served: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    found = read(METRICS, ask_metrics(served.base_url), at_seconds=0)
    assert found.values.keys() | found.histograms.keys() == {*METRICS.metrics, Quantity.KV_TOTAL}
    capsys.readouterr()

    assert run_cli("top", NAME, "--once", "--json", "--interval", "1") == 0

    (shown,) = json.loads(capsys.readouterr().out)["servers"]
    assert (shown["engine"], shown["origin"], shown["problem"]) == ("vLLM", "http", "")
    assert shown["figures"]["running_requests"] is not None
    assert shown["figures"]["output_tokens_per_second"] is not None
    assert 1.0 <= shown["figures"]["acceptance"]["since_start"] <= 4.0


@pytest.mark.parametrize(
    ("victim", "causes"),
    [
        # On a machine that is busy it is ended before it has said anything.
        ("VLLM::EngineCore", {"core-lost", "process-lost"}),
        ("VLLM::Worker", {"worker-lost", "worker-killed", "process-lost"}),
        ("the main process", {"killed-from-outside"}),
    ],
)
@pytest.mark.usefixtures("served")
def test_a_process_that_is_killed_brings_the_whole_server_back(
    victim: str, causes: set[str]
) -> None:
    before = record_of(NAME)
    process_of(before, victim).send_signal(signal.SIGKILL)

    crashed = assert_serves_again(before)

    assert crashed["cause"] in causes, crashed


@pytest.mark.parametrize("victim", ["VLLM::EngineCore", "VLLM::Worker", "the main process"])
@pytest.mark.usefixtures("served")
def test_a_process_that_stands_still_is_found_out_and_the_server_restarted(victim: str) -> None:
    before = record_of(NAME)
    body = {"prompt": "1", "max_tokens": 3000, "ignore_eos": True}
    asking = threading.Thread(target=_ask_until_it_breaks, args=(body,), daemon=True)
    asking.start()
    time.sleep(1)
    process_of(before, victim).send_signal(signal.SIGSTOP)

    crashed = assert_serves_again(before)

    asking.join(PATIENCE_SECONDS)
    assert not asking.is_alive()
    assert crashed["error"] == "ServerHungError"
    assert "SIGSTOP" in str(crashed["evidence"])


def _ask_until_it_breaks(body: dict[str, Any]) -> None:
    try:
        ask("/v1/completions", body)
    except httpx.HTTPError:
        return


@pytest.mark.usefixtures("served")
def test_a_server_whose_supervisor_was_killed_is_taken_over(arguments: tuple[str, ...]) -> None:
    before = record_of(NAME)
    before.supervisor.send_signal(signal.SIGKILL)
    assert wait_until_gone(before.supervisor, timeout_seconds=PATIENCE_SECONDS)
    assert chat("Hello", max_tokens=4)["usage"]
    port = before.base_url.rpartition(":")[2]

    assert run_cli("up", "--detach", "--name", NAME, "--port", port, *arguments) == 0

    after = record_of(NAME)
    assert (after.run_id, after.server) == (before.run_id, before.server)
    assert after.supervisor != before.supervisor


@pytest.mark.usefixtures("served")
def test_what_is_in_flight_ends_before_the_server_does() -> None:
    """The last one: `down` while fifty requests run."""
    before = record_of(NAME)
    body = {"prompt": "1", "max_tokens": 600, "ignore_eos": True, "temperature": 0}
    with ThreadPoolExecutor(max_workers=IN_FLIGHT) as pool:
        answers = [pool.submit(ask, "/v1/completions", body) for _ in range(IN_FLIGHT)]
        wait_for(lambda: _running(before) == IN_FLIGHT, "the requests did not begin")
        assert run_cli("down", "--name", NAME) == 0
        ended = [answer.result() for answer in answers]

    assert [answer.status_code for answer in ended] == [200] * IN_FLIGHT
    assert {answer.json()["choices"][0]["finish_reason"] for answer in ended} == {"length"}
    assert_nothing_is_left(NAME)


def _running(record: RunRecord) -> float:
    """Requests that it computes now, and those that wait."""
    lines = httpx.get(f"{record.base_url}/metrics").text.splitlines()
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting{")
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(names))


def test_ctrl_c_ends_one_in_the_foreground() -> None:
    def use(record: RunRecord) -> str:
        body = {"model": "nano", "prompt": "1", "max_tokens": 4}
        answer = httpx.post(f"{record.base_url}/v1/completions", json=body, timeout=60)
        return str(answer.json()["choices"][0]["text"])

    # The last preset counts.
    code, text = in_foreground("vllm-front", "--preset", "nano-vllm", use=use)

    assert code == 0
    assert text
    assert_nothing_is_left("vllm-front")

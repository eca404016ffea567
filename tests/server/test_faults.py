"""Faults of the real server: what is lost, what comes back, and that nothing is left.

One server for all of them, in this order; each test leaves it serving, but the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from clients import BrokenStreamError, ChatClient, ContentDelta, RetryPolicy
from launcher.engines.sglang.watching.prober import HttpProber
from launcher.serving import free_port
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.activity import titles
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity, wait_until_gone
from launcher.system.shared_memory import ROOT as SHARED_MEMORY
from tests.server.conftest import (
    assert_nothing_is_left,
    record_of,
    run_cli,
    server,
)

NAME = "faults"
PATIENCE_SECONDS = 240.0
DRAIN_SECONDS = 10.0


@pytest.fixture(scope="module")
def faulty() -> Iterator[RunRecord]:
    """A server that comes back at once, however often it falls."""
    before = set(SHARED_MEMORY.iterdir())
    with server(
        NAME,
        *("--restart-delay-seconds", "0.05", "--restart-limit", "1000"),
        *("--health-interval-seconds", "1", "--health-timeout-seconds", "10"),
        *("--drain-timeout-seconds", str(DRAIN_SECONDS)),
    ) as record:
        yield record
    assert set(SHARED_MEMORY.iterdir()) <= before


def wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what}; the record: {record_of(NAME)}"
        time.sleep(0.05)


def process_titled(record: RunRecord, beginning: str) -> ProcessIdentity:
    """The process of the server with a title that begins so."""
    assert record.server is not None
    members = find_members(record.server, record.run_id)
    named = titles(members)
    return next(one for one in members if named.get(one.pid, "").startswith(beginning))


def events_of(record: RunRecord) -> list[dict[str, object]]:
    lines = record.events_file.read_text().splitlines()
    events = [json.loads(line) for line in lines if line]
    return [event for event in events if event["run_id"] == record.run_id]


def assert_serves_again(before: RunRecord) -> None:
    """A new run is ready and answers, and no process of the former one is left."""
    wait_for(
        lambda: record_of(NAME).run_id != before.run_id and record_of(NAME).state == "READY",
        "it did not come back",
    )
    assert before.server is not None
    assert find_members(before.server, before.run_id) == []
    with ChatClient(server=NAME) as client:
        reply = client.chat("Hello", max_tokens=8, thinking=False)
    assert reply.usage is not None
    assert reply.usage.completion_tokens > 0
    assert record_of(NAME).restarts == before.restarts + 1


@pytest.mark.parametrize("victim", ["sglang::scheduler", "sglang::detokenizer", "the HTTP process"])
@pytest.mark.usefixtures("faulty")
def test_a_process_that_is_killed_brings_the_whole_server_back(victim: str) -> None:
    before = record_of(NAME)
    assert before.server is not None
    is_leader = victim == "the HTTP process"
    process = before.server if is_leader else process_titled(before, victim)
    process.send_signal(signal.SIGKILL)

    assert_serves_again(before)

    kinds = [event["event"] for event in events_of(before)]
    assert "server.crashed" in kinds
    assert is_leader or "server.process_lost" in kinds


@pytest.mark.usefixtures("faulty")
def test_a_stream_in_the_middle_of_a_crash_ends_with_a_typed_error() -> None:
    before = record_of(NAME)
    with (
        ChatClient(server=NAME, retry=RetryPolicy(retries=0)) as client,
        client.stream(
            "Go on", max_tokens=6000, thinking=False, extra={"ignore_eos": True}
        ) as stream,
    ):
        pieces = iter(stream)
        next(one for one in pieces if isinstance(one, ContentDelta))
        process_titled(before, "sglang::scheduler").send_signal(signal.SIGKILL)
        with pytest.raises(BrokenStreamError) as caught:
            list(pieces)
    assert caught.value.partial.content
    assert_serves_again(before)


@pytest.mark.usefixtures("faulty")
def test_the_server_says_when_its_last_output_came() -> None:
    prober = HttpProber(record_of(NAME).base_url)
    assert prober.generate(1, timeout_seconds=30)
    first = prober.seconds_since_output(timeout_seconds=30)
    second = prober.seconds_since_output(timeout_seconds=30)
    assert first is not None
    assert second is not None
    assert 0 <= first < second < math.inf


@pytest.mark.parametrize("victim", ["sglang::scheduler", "sglang::detokenizer", "the HTTP process"])
@pytest.mark.usefixtures("faulty")
def test_a_process_that_stands_still_is_found_out_and_the_server_restarted(victim: str) -> None:
    """The port is open, `/health` may say 200, the log may show batches, and nobody is answered."""
    before = record_of(NAME)
    assert before.server is not None
    process = before.server if victim == "the HTTP process" else process_titled(before, victim)
    # The scheduler computes on for it, whether its tokens come through or not.
    body = {"text": "Go on", "sampling_params": {"max_new_tokens": 3000, "ignore_eos": True}}
    asking = threading.Thread(
        target=_ask_until_it_breaks, args=(f"{before.base_url}/generate", body), daemon=True
    )
    asking.start()
    time.sleep(1)
    process.send_signal(signal.SIGSTOP)

    assert_serves_again(before)
    asking.join(PATIENCE_SECONDS)
    assert not asking.is_alive()

    events = events_of(before)
    states = [event["state"] for event in events if event["event"] == "server.state"]
    assert states[-2:] == ["UNHEALTHY", "BACKOFF"]
    crashed = next(event for event in events if event["event"] == "server.crashed")
    assert crashed["error"] == "ServerHungError"
    assert "SIGSTOP" in str(crashed["evidence"])


@pytest.mark.usefixtures("faulty")
def test_a_supervisor_that_is_killed_leaves_a_server_that_serves_and_is_taken_over(
    capfd: pytest.CaptureFixture[str],
) -> None:
    before = record_of(NAME)
    before.supervisor.send_signal(signal.SIGKILL)
    assert wait_until_gone(before.supervisor, timeout_seconds=PATIENCE_SECONDS)
    with ChatClient(server=NAME) as client:
        assert client.chat("Hello", max_tokens=4, thinking=False).usage
    assert run_cli("status", "--name", NAME) == 42
    assert "ORPHANED" in capfd.readouterr().out

    port = before.base_url.rpartition(":")[2]
    code = run_cli(
        *("up", "--detach", "--preset", "nano", "--name", NAME, "--port", port),
        *("--restart-delay-seconds", "0.05", "--restart-limit", "1000"),
        *("--health-interval-seconds", "1", "--health-timeout-seconds", "10"),
        *("--drain-timeout-seconds", str(DRAIN_SECONDS)),
    )

    assert code == 0
    after = record_of(NAME)
    assert (after.run_id, after.server) == (before.run_id, before.server)
    assert after.supervisor != before.supervisor
    assert run_cli("status", "--name", NAME) == 0


@pytest.mark.usefixtures("faulty")
def test_another_configuration_does_not_take_it_over() -> None:
    before = record_of(NAME)
    before.supervisor.send_signal(signal.SIGKILL)
    assert wait_until_gone(before.supervisor, timeout_seconds=PATIENCE_SECONDS)
    code = run_cli("up", "--detach", "--preset", "nano", "--name", NAME, "--port", str(free_port()))
    assert code == 41
    assert before.server is not None
    assert before.server.is_alive()
    # `restart` ends what is left and starts it with its own configuration.
    assert run_cli("restart", "--name", NAME) == 0
    assert record_of(NAME).run_id != before.run_id
    assert find_members(before.server, before.run_id) == []


def _ask_until_it_breaks(url: str, body: dict[str, object]) -> None:
    with contextlib.suppress(httpx.HTTPError):
        httpx.post(url, json=body, timeout=PATIENCE_SECONDS)


async def _ask(client: httpx.AsyncClient, tokens: int) -> str:
    """How a request of so many tokens ended."""
    body = {
        "model": "nano",
        "messages": [{"role": "user", "content": "Go on"}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": True,
    }
    last = ""
    try:
        async with client.stream("POST", "/v1/chat/completions", json=body) as answer:
            async for line in answer.aiter_lines():
                if line.startswith("data: {"):
                    event = json.loads(line[6:])
                    for choice in event.get("choices", []):
                        last = choice.get("finish_reason") or last
                    if "error" in event:
                        last = "error"
    except httpx.HTTPError as error:
        return type(error).__name__
    return last or "nothing"


async def _ask_and_stop(record: RunRecord, lengths: list[int]) -> tuple[list[str], float]:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(
        base_url=record.base_url, timeout=PATIENCE_SECONDS, limits=limits
    ) as client:
        asking = [asyncio.create_task(_ask(client, tokens)) for tokens in lengths]
        while True:
            load = (await client.get("/v1/loads")).json()["loads"][0]
            if load["num_running_reqs"] + load["num_waiting_reqs"] >= len(lengths) // 2:
                break
            await asyncio.sleep(0.05)
        began = time.monotonic()
        down = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "launcher", "down", "--name", NAME, stdout=subprocess.DEVNULL
        )
        ended = await asyncio.gather(*asking)
        assert await down.wait() == 0
        return list(ended), time.monotonic() - began


@pytest.mark.usefixtures("faulty")
def test_two_hundred_requests_in_flight_all_end_when_the_server_is_stopped() -> None:
    """Those that fit into the drain end complete, the rest are told; none hangs."""
    record = record_of(NAME)
    lengths = [16, 7000] * 100
    ended, _ = asyncio.run(_ask_and_stop(record, lengths))
    short, long = Counter(ended[::2]), Counter(ended[1::2])
    assert short["length"] >= 1, (short, long)
    assert set(short) <= {"length", "abort", "error"}, (short, long)
    assert set(long) <= {"abort", "error"}, (short, long)
    assert_nothing_is_left(NAME)
    assert record_of(NAME).state == "STOPPED"
    assert record_of(NAME).exit == "exit code 0", "it was killed, and did not end itself"


def test_in_the_foreground_sigkill_of_the_launcher_ends_the_server(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with (tmp_path / "output").open("wb") as output:
        launcher = subprocess.Popen(
            [sys.executable, "-m", "launcher", "up", "--preset", "nano", "--name", "fore",
             "--port", str(free_port())],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (record := RunStore("fore").read()) is None or record.state != "READY":
            assert time.monotonic() < deadline
            assert launcher.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.1)
    finally:
        launcher.kill()
        launcher.wait()
    assert record.server is not None
    deadline = time.monotonic() + 30
    while find_members(record.server, record.run_id):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert record.live_state == "DEAD"
    assert run_cli("down", "--name", "fore") == 0
    assert_nothing_is_left("fore")

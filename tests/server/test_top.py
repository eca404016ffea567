"""What `top` says of the real server, held against what a client counted for the same load."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from clients import ChatClient, ChatReply
from launcher.engines.common.metrics import MetricSource, ask_metrics
from launcher.engines.select import METRIC_TABLES
from launcher.metrics.table import COUNTERS, Quantity, read
from tests.server.conftest import run_cli

if TYPE_CHECKING:
    from launcher.state.record import RunRecord

PROMPTS = ("Hello", "What is 27 + 15?", "Tell me about Paris", "Count to ten")
REQUESTS = 32
AT_ONCE = 4
# Longer than the prefill's token, which the server counts in another way, and short enough for 2
# cores.
TOKENS = 40
PATIENCE_SECONDS = 120.0
# The supervisor's own probes are among the requests, one of a token each ten seconds.
PROBES = 0.1


class Live:
    """`top --json` as it goes on, line by line."""

    def __init__(self, name: str) -> None:
        arguments = ("-m", "launcher", "top", name, "--json", "--interval", "1", "--window", "600")
        self.process = subprocess.Popen(
            [sys.executable, *arguments], stdout=subprocess.PIPE, text=True
        )

    def line(self) -> dict[str, Any]:
        """The server in the next line."""
        assert self.process.stdout is not None
        shown: dict[str, Any] = json.loads(self.process.stdout.readline())
        (server,) = shown["servers"]
        return dict(server)


@pytest.fixture
def live(eagle: RunRecord) -> Iterator[Live]:
    made = Live(eagle.name)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.communicate()


def load(server: RunRecord, requests: int = REQUESTS) -> list[ChatReply]:
    """What a client got for some requests, several at once."""

    def ask(number: int) -> ChatReply:
        with ChatClient(server=server.name) as client:
            return client.chat(
                PROMPTS[number % len(PROMPTS)],
                max_tokens=TOKENS,
                thinking=False,
                temperature=0,
                extra={"ignore_eos": True},
            )

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, range(requests)))


def test_its_figures_are_those_that_the_client_counted(eagle: RunRecord, live: Live) -> None:
    before = live.line()
    replies = load(eagle)
    usages = [reply.usage for reply in replies if reply.usage]
    counted = sum(usage.completion_tokens for usage in usages)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        after = live.line()
        figures = after["figures"]
        done = figures["totals"]["requests"] - before["figures"]["totals"]["requests"]
        if done >= REQUESTS and figures["running_requests"] == 0:
            break
        assert time.monotonic() < deadline, after

    assert (after["state"], after["origin"], after["problem"]) == ("READY", "files", "")
    output = figures["totals"]["output_tokens"] - before["figures"]["totals"]["output_tokens"]
    assert output == pytest.approx(counted, rel=0.05)
    assert done == pytest.approx(REQUESTS, rel=0.05, abs=1 + PROBES * figures["window_seconds"])
    prompts = figures["totals"]["prompt_tokens"] - before["figures"]["totals"]["prompt_tokens"]
    assert prompts == pytest.approx(sum(usage.prompt_tokens for usage in usages), rel=0.05)
    # By the second: over the same window.
    seconds = figures["window_seconds"]
    assert figures["output_tokens_per_second"] * seconds == pytest.approx(counted, rel=0.05)
    acceptances = [reply.acceptance for reply in replies if reply.acceptance]
    rounds = sum(one.verify_rounds for one in acceptances)
    length = sum(one.length * one.verify_rounds for one in acceptances) / rounds
    assert figures["acceptance"]["window"] == pytest.approx(length, rel=0.05)
    assert figures["totals"]["verify_steps"] - (
        before["figures"]["totals"]["verify_steps"] or 0
    ) == pytest.approx(rounds, rel=0.05)
    assert (figures["draft_steps"], figures["draft_tokens"]) == (3, 4)
    first = figures["time_to_first_token_seconds"]
    assert 0 < first["p50"] <= first["p90"] <= first["p99"]
    assert after["verdict"]["kind"] == "unknown"
    assert "python -m benchmarks run" in after["verdict"]["sentence"]


def test_once_is_one_document(eagle: RunRecord, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli("top", "--once", "--json", "--interval", "1") == 0

    shown = json.loads(capsys.readouterr().out)

    named = {server["name"]: server for server in shown["servers"]}
    assert named[eagle.name]["speculation"] == "EAGLE 3/1/4"
    assert named[eagle.name]["figures"]["kv_total_tokens"] == eagle.kv_cache_tokens
    assert named[eagle.name]["usage"]["cpu_cores"] is not None


def test_once_in_words_is_not_cut_in_a_pipe(
    eagle: RunRecord, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_cli("top", eagle.name, "--once", "--interval", "1") == 0

    shown = capsys.readouterr().out

    assert "…" not in shown
    assert f"{eagle.name}  READY" in shown
    assert "0 restarts" in shown


def test_its_files_say_what_it_answers(eagle: RunRecord) -> None:
    table = METRIC_TABLES["SGLang"]
    source = MetricSource(table, "http://127.0.0.1:9", eagle.environment)

    samples = source.read(0.0)
    answered = read(table, ask_metrics(eagle.base_url), at_seconds=0)

    assert samples is not None
    assert source.origin == "files"
    ours = read(table, samples, at_seconds=0)
    assert ours.values.keys() == answered.values.keys()
    assert ours.histograms.keys() == answered.histograms.keys()
    # A probe may have come between the two.
    for quantity in COUNTERS:
        if quantity in ours.values:
            assert ours.values[quantity] == pytest.approx(answered.values[quantity], abs=2)
    assert ours.values[Quantity.KV_TOTAL] == eagle.kv_cache_tokens


def test_every_quantity_is_one_that_this_version_reports(eagle: RunRecord) -> None:
    load(eagle, AT_ONCE)
    table = METRIC_TABLES["SGLang"]

    found = read(table, ask_metrics(eagle.base_url), at_seconds=0)

    assert found.values.keys() | found.histograms.keys() == table.metrics.keys()

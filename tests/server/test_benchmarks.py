"""A comparison on real servers: one that the launcher starts for it, and one that already runs."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

import pytest

from benchmarks.load.loops import run_cell
from benchmarks.load.target import Target
from benchmarks.peers.measuring import ADAPTERS, measure_with
from benchmarks.peers.own import ours
from benchmarks.plan import Peer
from benchmarks.records import Cell, Load
from benchmarks.report.document import Report, read_report
from benchmarks.results import PeerFigures, Results
from benchmarks.running.folder import ResultsFolder
from benchmarks.workloads.loading import load_workload
from launcher.nano.folder import model_path
from launcher.state.record import RunRecord
from launcher.state.store import list_stores
from tests.server.conftest import assert_nothing_is_left
from tests.unit.benchmarks.command_line import bench

CHAT = load_workload("chat", prompts=3, seed=0)


@pytest.fixture(scope="module")
def folder(eagle: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Plain decoding, started for it, against EAGLE, which runs."""
    path = tmp_path_factory.mktemp("benchmark") / "results"
    code = bench(
        *("run", "--preset", "nano"),
        *("--arm", "plain", "--arm", f"eagle={eagle.base_url}", "--side-by-side"),
        *("--workload", "chat", "--workload", "json", "--prompts", "3", "--rounds", "5"),
        *("--concurrency", "1,2", "--scored-prompts", "2", "--output", str(path)),
    )
    assert code == 0
    return path


@pytest.fixture(scope="module")
def results(folder: Path) -> Results:
    return ResultsFolder(folder).read()


@pytest.fixture(scope="module")
def report(folder: Path) -> Report:
    return read_report(folder / "report.json")


def test_everything_was_measured_and_answered(results: Results) -> None:
    assert results.missing == ()
    assert len(results.cells) == 2 * 2 * 2 * 5
    assert len(results.requests) == len(results.cells) * 3
    assert {one.outcome for one in results.requests} == {"successful"}
    chat = [one for one in results.requests if one.cell.workload == "chat"]
    wanted = {prompt.id: prompt.max_tokens for prompt in CHAT.prompts}
    # The end is ignored, so that both arms generate the same number of tokens.
    assert all(one.completion_tokens == wanted[one.prompt_id] for one in chat)


def test_the_server_s_own_counts_of_speculation_are_kept(results: Results) -> None:
    for one in results.requests:
        if one.cell.arm == "plain":
            assert one.verify_rounds is None
            continue
        assert one.verify_rounds is not None
        assert one.correct_draft_tokens is not None
        assert sum(one.accepted_histogram) == one.verify_rounds
        accepted = sum(count * drafts for drafts, count in enumerate(one.accepted_histogram))
        assert accepted == one.correct_draft_tokens
        # A verify step puts several tokens into one chunk.
        assert len(one.chunk_ns) < (one.completion_tokens or 0)


def test_speculation_is_reported_by_position_and_plain_decoding_has_none(report: Report) -> None:
    drafted = [cell for cell in report.cells if cell.arm == "eagle"]
    assert all(cell.acceptance_length and cell.acceptance_length.value > 1 for cell in drafted)
    for cell in drafted:
        rates = cell.acceptance_rate_by_position
        assert len(rates) == 3
        assert list(rates) == sorted(rates, reverse=True)
    assert all(cell.acceptance_length is None for cell in report.cells if cell.arm == "plain")


def test_in_float32_the_outputs_are_the_same(report: Report) -> None:
    (equality,) = report.equalities

    assert {one.grade for one in equality.answers} == {"same text"}
    assert {one.grade for one in equality.noise_floor} == {"same text"}
    assert equality.timed_pairs == 2 * 2 * 5 * 3
    assert equality.timed_same == equality.timed_pairs


def test_each_comparison_has_an_interval_and_the_verdict_follows_it(report: Report) -> None:
    assert len(report.speedups) == 4
    for one in report.speedups:
        low, high = one.speedup.low, one.speedup.high
        assert low is not None
        assert high is not None
        assert low <= one.speedup.value <= high
        apart = "faster" if low > 1 else "slower" if high < 1 else "no difference shown"
        assert one.verdict == apart


def test_a_started_server_is_flushed_and_its_cpu_time_known(results: Results) -> None:
    started = [cell for cell in results.cells if cell.cell.arm == "plain"]

    assert all(cell.cache_flushed for cell in started)
    assert all((cell.server_cpu_seconds or 0) > 0 for cell in started)
    # Nobody knows the admin key of the other one, and its processes are not looked at.
    found = [cell for cell in results.cells if cell.cell.arm == "eagle"]
    assert all(cell.cache_flushed is None for cell in found)
    assert all(cell.server_cpu_seconds is None for cell in found)


def test_nothing_is_left_of_the_server_that_was_started(results: Results) -> None:
    (name,) = [store.name for store in list_stores() if store.name.startswith("bench-")]

    assert_nothing_is_left(name)
    assert [start.arm for start in results.starts] == ["plain", "eagle"]


def test_the_report_holds_flags_and_versions_and_no_key(folder: Path, results: Results) -> None:
    (plain, eagle) = results.starts

    assert plain.run_record is not None
    assert plain.run_record["versions"]["sglang"] == "0.5.23"
    assert "--speculative-algorithm" not in plain.run_record["command"]
    assert eagle.server_info is not None
    assert eagle.server_info["speculative_num_steps"] == 3
    for file in folder.rglob("*"):
        if file.is_file():
            content = file.read_bytes()
            # The record names the file that holds the key while the server runs.
            assert not re.search(rb"admin_(?:api_)?key\b", content), file
    assert json.loads((folder / "report.json").read_text())["workloads"][0]["sha256"] == CHAT.sha256


@pytest.mark.parametrize("peer", ["bench_serving", "guidellm"])
@pytest.mark.costly
def test_other_benchmarks_measure_the_same_tokens(
    eagle: RunRecord, tmp_path: Path, peer: Peer
) -> None:
    target = Target(eagle.base_url, eagle.served_model_name)
    load = Load(concurrency=1)
    cell = Cell("eagle", "chat", load, 0)
    record, requests = asyncio.run(
        run_cell(target, cell, CHAT.prompts, seed=0, timeout_seconds=120)
    )

    theirs: PeerFigures = measure_with(
        ADAPTERS[peer], target, arm="eagle", workload=CHAT, load=load, repetition=0,
        folder=tmp_path, tokenizer=model_path(), timeout_seconds=300,
    )  # fmt: skip

    own = ours(record, requests)
    assert (theirs.requests, theirs.output_tokens) == (own.requests, own.output_tokens)
    assert theirs.output_tokens_per_second > 0
    assert theirs.median_time_to_first_token_seconds > 0

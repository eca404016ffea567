"""What other benchmarks are told to send, and what is read of their output."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.errors import PeerError
from benchmarks.load.target import Target
from benchmarks.peers import bench_serving, guidellm
from benchmarks.peers.adapter import Task
from benchmarks.peers.own import ours
from benchmarks.records import Cell, CellRecord, Load, RequestRecord
from benchmarks.workloads.workload import Prompt, Workload
from tests.unit.benchmarks.peers.recorded_runs import NO_THINKING, RECORDED, recorded_workload

TARGET = Target("http://127.0.0.1:8400", "nano")


def task(workload: Workload | None = None, **changes: Any) -> Task:
    asked = Task(
        target=TARGET,
        workload=workload or recorded_workload(),
        load=Load(concurrency=2),
        seed=4,
        tokenizer=Path("/models/nano"),
        folder=Path("/results"),
        stem="one",
    )
    return replace(asked, **changes)


def with_prompts(*prompts: Prompt) -> Workload:
    return Workload("other", "A test.", prompts, "a test")


def after(argv: tuple[str, ...], flag: str) -> str:
    return argv[argv.index(flag) + 1]


# --- bench_serving


def test_bench_serving_gets_each_body_as_we_send_it_but_for_model_and_stream() -> None:
    workload = recorded_workload()

    lines = [json.loads(line) for line in bench_serving.dataset(workload).splitlines()]

    for line, prompt in zip(lines, workload.prompts, strict=True):
        assert {**line, "model": "nano", "stream": True} == prompt.to_request("nano")


def test_bench_serving_is_told_when_an_answer_may_end_early() -> None:
    free = Prompt(id="a", messages=({"role": "user", "content": "Grüezi"},), max_tokens=9)

    line = json.loads(bench_serving.dataset(with_prompts(free)))

    assert line["ignore_eos"] is False
    assert line["messages"] == [{"role": "user", "content": "Grüezi"}]


def test_bench_serving_s_command_sends_each_prompt_once_without_a_warm_up() -> None:
    prepared = bench_serving.prepare(task())

    assert after(prepared.argv, "--base-url") == TARGET.base_url
    assert after(prepared.argv, "--served-model-name") == "nano"
    assert after(prepared.argv, "--num-prompts") == "3"
    assert after(prepared.argv, "--warmup-requests") == "0"
    assert after(prepared.argv, "--max-concurrency") == "2"
    assert "--request-rate" not in prepared.argv
    assert Path(after(prepared.argv, "--dataset-path")) in prepared.inputs
    assert Path(after(prepared.argv, "--output-file")) == prepared.output


def test_bench_serving_offers_an_open_loop_by_its_rate_alone() -> None:
    argv = bench_serving.prepare(task(load=Load(rate_per_second=2.5))).argv

    assert after(argv, "--request-rate") == "2.5"
    assert after(argv, "--seed") == "4"
    assert "--max-concurrency" not in argv


def test_the_recorded_output_of_bench_serving_is_read() -> None:
    reading = bench_serving.read((RECORDED / "bench_serving.jsonl").read_bytes(), task())

    assert reading.requests == 3
    assert reading.output_tokens == 8 + 12 + 16
    assert reading.output_tokens_per_second == pytest.approx(30.449, abs=1e-3)
    assert reading.median_time_to_first_token_seconds == pytest.approx(0.19758, abs=1e-5)
    assert reading.median_time_per_output_token_seconds == pytest.approx(0.03825, abs=1e-5)


def bench_serving_said(**changes: Any) -> bytes:
    said = json.loads((RECORDED / "bench_serving.jsonl").read_bytes())
    return json.dumps({**said, **changes}).encode()


def test_a_median_of_no_value_is_no_time_per_output_token() -> None:
    said = bench_serving_said(output_lens=[1, 1, 1], total_output_tokens=3, median_tpot_ms=0.0)

    reading = bench_serving.read(said, task())

    assert reading.median_time_per_output_token_seconds is None


def test_requests_that_bench_serving_lost_are_an_error_with_their_reason() -> None:
    said = bench_serving_said(completed=2, errors=["", "Traceback\nTimeoutError: late\n", ""])

    with pytest.raises(PeerError, match="2 answers to 3 requests") as caught:
        bench_serving.read(said, task())

    assert caught.value.evidence == ("TimeoutError: late",)


def test_answers_whose_text_bench_serving_does_not_see_are_an_error() -> None:
    with pytest.raises(PeerError, match="saw no text in 2 of 3"):
        bench_serving.read(bench_serving_said(ttfts=[0.0, 0.2, 0.0]), task())


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\n",
        b"Segmentation fault",
        b"[]",
        b"{}",
        bench_serving_said(median_ttft_ms=float("nan")),
    ],
)
def test_what_bench_serving_never_prints_cannot_be_read(output: bytes) -> None:
    with pytest.raises(PeerError, match="cannot be read"):
        bench_serving.read(output, task())


# --- guidellm


def test_guidellm_s_data_hold_messages_and_length_of_each_prompt() -> None:
    workload = recorded_workload()

    lines = [json.loads(line) for line in guidellm.dataset(workload).splitlines()]

    assert [line["messages"] for line in lines] == [list(one.messages) for one in workload.prompts]
    assert [line["output_tokens_count"] for line in lines] == [8, 12, 16]


def test_guidellm_takes_all_else_from_one_place() -> None:
    settings = guidellm.scenario(task())["spec"]

    assert settings["backend"]["extras"]["body"] == {
        "temperature": 0.0,
        "return_spec_tokens_details": True,
        "ignore_eos": True,
        "stream_options": {"include_usage": True, "continuous_usage_stats": None},
        **NO_THINKING,
    }
    assert settings["profile"] == {"kind": "concurrent", "streams": [2]}
    assert settings["constraints"] == [{"kind": "max_requests", "count": 3}]


def test_guidellm_leaves_ignore_eos_out_where_we_do() -> None:
    free = Prompt(id="a", messages=({"role": "user", "content": "Hi"},), max_tokens=9)

    body = guidellm.scenario(task(with_prompts(free)))["spec"]["backend"]["extras"]["body"]

    # Null takes out the true that it would set for an answer with a length.
    assert body["ignore_eos"] is None


def test_guidellm_offers_an_open_loop_as_a_poisson_process() -> None:
    settings = guidellm.scenario(task(load=Load(rate_per_second=2.5)))["spec"]

    assert settings["profile"] == {"kind": "poisson", "rate": [2.5]}
    assert settings["seed"] == {"kind": "static", "value": 4}


def test_guidellm_s_command_names_its_scenario_and_is_told_its_processes() -> None:
    prepared = guidellm.prepare(task())

    assert Path(after(prepared.argv, "--config")) in prepared.inputs
    assert prepared.environment == {"GUIDELLM__MAX_WORKER_PROCESSES": "1"}


@pytest.mark.parametrize(
    ("load", "processors", "expected"),
    [
        (Load(concurrency=1), 8, 1),
        (Load(concurrency=64), 8, 1),
        (Load(concurrency=65), 8, 2),
        (Load(concurrency=256), 2, 2),
        (Load(rate_per_second=9.0), 8, 1),
    ],
)
def test_guidellm_gets_a_process_for_each_64_streams(
    load: Load, processors: int, expected: int
) -> None:
    assert guidellm.processes(load, processors) == expected


def test_guidellm_is_spared_prompts_whose_options_differ() -> None:
    first, second, _ = recorded_workload().prompts
    other = replace(second, options={**NO_THINKING, "top_p": 0.5}, ignore_eos=False)

    with pytest.raises(PeerError, match="'q1' differs from 'q0' in ignore_eos, top_p"):
        guidellm.prepare(task(with_prompts(first, other)))


def test_guidellm_is_spared_prompts_with_tools() -> None:
    tool = {"type": "function", "function": {"name": "weather", "parameters": {}}}
    first = replace(recorded_workload().prompts[0], tools=(tool,))

    with pytest.raises(PeerError, match="`tool_choice`"):
        guidellm.prepare(task(with_prompts(first)))


def test_the_recorded_report_of_guidellm_is_read() -> None:
    reading = guidellm.read((RECORDED / "guidellm.json").read_bytes(), task())

    assert reading.requests == 3
    assert reading.output_tokens == 8 + 12 + 16
    assert reading.output_tokens_per_second == pytest.approx(23.342, abs=1e-3)
    assert reading.median_time_to_first_token_seconds == pytest.approx(0.21254, abs=1e-5)
    assert reading.median_time_per_output_token_seconds == pytest.approx(0.05019, abs=1e-5)


def guidellm_said() -> dict[str, Any]:
    said: dict[str, Any] = json.loads((RECORDED / "guidellm.json").read_bytes())
    return said


def test_requests_that_guidellm_lost_are_an_error_with_their_reason() -> None:
    said = guidellm_said()
    benchmark = said["benchmarks"][0]
    lost = benchmark["requests"]["successful"].pop()
    lost["info"]["error"] = "ReadTimeout"
    benchmark["requests"]["errored"].append(lost)
    benchmark["metrics"]["request_totals"] |= {"successful": 2, "errored": 1}

    with pytest.raises(PeerError, match="2 answers to 3 requests; 1 failed") as caught:
        guidellm.read(json.dumps(said).encode(), task())

    assert caught.value.evidence == ("ReadTimeout",)


def test_a_body_that_guidellm_changed_is_an_error_with_both() -> None:
    first, *others = recorded_workload().prompts
    asked = with_prompts(replace(first, max_tokens=99), *others)

    with pytest.raises(PeerError, match="sent other requests") as caught:
        guidellm.read((RECORDED / "guidellm.json").read_bytes(), task(asked))

    assert any('"max_tokens": 99' in line for line in caught.value.evidence)


@pytest.mark.parametrize("output", [b"", b"Killed", b"[]", b'{"benchmarks": []}'])
def test_what_guidellm_never_writes_cannot_be_read(output: bytes) -> None:
    with pytest.raises(PeerError, match="cannot be read"):
        guidellm.read(output, task())


@pytest.mark.parametrize("adapter", [bench_serving.ADAPTER, guidellm.ADAPTER])
def test_a_key_goes_by_the_environment_alone(adapter: Any) -> None:
    prepared = adapter.prepare(task(target=replace(TARGET, api_key="sk-secret")))

    assert "sk-secret" in prepared.environment.values()
    assert "sk-secret" not in " ".join(prepared.argv)
    assert not any(b"sk-secret" in content for content in prepared.inputs.values())


# --- ours


def record(cell: Cell, number: int, **changes: Any) -> RequestRecord:
    """Sent 10 ms after it was due; first text after 100 ms more, 5 tokens in 400 ms."""
    due_ns = 1_000_000_000 * number
    sent = RequestRecord(
        cell=cell,
        prompt_id=f"p{number}",
        outcome="successful",
        due_ns=due_ns,
        sent_ns=due_ns + 10_000_000,
        chunk_ns=(due_ns + 110_000_000, due_ns + 300_000_000),
        ended_ns=due_ns + 510_000_000,
        completion_tokens=5,
    )
    return replace(sent, **changes)


def cell_record(cell: Cell, *, seconds: float = 4.0) -> CellRecord:
    return CellRecord(
        cell=cell,
        began_ns=0,
        ended_ns=round(seconds * 1e9),
        is_complete=True,
        generator_cpu_seconds=0.25,
    )


def test_our_records_are_summed_up_as_bench_serving_would() -> None:
    cell = Cell("eagle", "chat", Load(concurrency=2), 3)
    elsewhere = replace(cell, round=4)
    requests = [
        record(cell, 0),
        record(cell, 1, chunk_ns=(1_130_000_000,)),
        record(cell, 2, completion_tokens=1),
        record(cell, 3, outcome="errored", error="refused"),
        record(elsewhere, 0, completion_tokens=1000),
    ]

    figures = ours(cell_record(cell), requests)

    assert (figures.tool, figures.load, figures.repetition) == ("specserve", "c2", 3)
    assert figures.requests == 3
    assert figures.output_tokens == 5 + 5 + 1
    assert figures.output_tokens_per_second == pytest.approx(11 / 4)
    # 100, 120 and 100 ms from the sending; 400 and 380 ms for four tokens.
    assert figures.median_time_to_first_token_seconds == pytest.approx(0.1)
    assert figures.median_time_per_output_token_seconds == pytest.approx(0.0975)
    assert figures.generator_cpu_seconds == 0.25


def test_one_token_has_no_time_per_output_token() -> None:
    cell = Cell("eagle", "chat", Load(concurrency=1), 0)

    figures = ours(cell_record(cell), [record(cell, 0, completion_tokens=1)], repetition=2)

    assert figures.median_time_per_output_token_seconds is None
    assert figures.repetition == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"outcome": "errored", "error": "503"}, "no request gave text"),
        ({"chunk_ns": ()}, "no request gave text"),
        ({"completion_tokens": None}, "the server gave no usage"),
    ],
)
def test_a_cell_without_answers_or_usage_cannot_be_compared(
    changes: dict[str, Any], reason: str
) -> None:
    cell = Cell("eagle", "chat", Load(concurrency=1), 0)

    with pytest.raises(PeerError, match=reason):
        ours(cell_record(cell), [record(cell, 0, **changes)])

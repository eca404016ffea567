"""The proof of the generator: its statistics, its bars, and one small run of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from benchmarks.peers.measuring import measure_with
from benchmarks.peers.own import TOOL
from benchmarks.records import Load, RequestRecord
from benchmarks.selfcheck import generator
from benchmarks.selfcheck.accuracy import (
    Accuracy,
    Times,
    accuracy,
    cpu_seconds_per_token,
    measured_times,
    paired_times,
    true_times,
)
from benchmarks.selfcheck.generator import Turn, main, missed_bars, our_adapter, tables, workload
from benchmarks.selfcheck.loopback.schedule import Schedule, Truth
from benchmarks.selfcheck.loopback.server import loopback
from tests.unit.benchmarks.load.wire import CELL

if TYPE_CHECKING:
    from pathlib import Path

MS = 1_000_000
RECORD = RequestRecord(
    cell=CELL, prompt_id="p", outcome="successful", due_ns=0, sent_ns=10 * MS,
    first_byte_ns=110 * MS, chunk_ns=(110 * MS, 200 * MS), ended_ns=210 * MS, completion_tokens=11,
)  # fmt: skip
TRUTH = Truth(
    key="Prompt", received_ns=11 * MS, first_ns=109 * MS, last_ns=209 * MS, tokens=11, chunks=4
)


def times(value: float) -> Times:
    return Times(time_to_first_token=value, time_per_output_token=value, end_to_end=value)


def turn(tool: str, cost: float) -> Turn:
    return Turn(
        tool=tool, version="1", cpu_microseconds_per_token=cost,
        whole_cpu_microseconds_per_token=2 * cost, time_to_first_token_error_ms=0.5,
        time_per_output_token_error_ms=None,
    )  # fmt: skip


def first_metric(*pairs: tuple[float, float]) -> Accuracy:
    return accuracy([(times(measured), times(true)) for measured, true in pairs])[0]


def test_measured_and_true_times_have_the_same_formulas() -> None:
    assert measured_times(RECORD) == Times(
        time_to_first_token=100 * MS, time_per_output_token=10 * MS, end_to_end=200 * MS
    )
    assert true_times(TRUTH) == Times(
        time_to_first_token=98 * MS, time_per_output_token=10 * MS, end_to_end=198 * MS
    )


@pytest.mark.parametrize(
    ("true_ms", "error_ms", "is_within"),
    [
        (10, 1.0, True),
        (10, -1.0, True),
        (10, 1.01, False),
        (100, 1.0, True),
        (500, 5.0, True),
        (500, -5.0, True),
        (500, 5.01, False),
    ],
)
def test_within_is_one_millisecond_or_one_percent_whichever_is_more(
    true_ms: float, error_ms: float, *, is_within: bool
) -> None:
    found = first_metric(((true_ms + error_ms) * MS, true_ms * MS))

    assert found.share_within == is_within
    assert found.largest_ms == pytest.approx(abs(error_ms))


def test_errors_are_summed_up_without_sign() -> None:
    found = first_metric(*((100 * MS + sign * MS * n, 100 * MS) for n in range(101)
                           for sign in (-1, 1)))  # fmt: skip

    assert found.requests == 202
    assert found.true_median_ms == 100
    assert (found.median_ms, found.p99_ms, found.largest_ms) == pytest.approx((50, 99, 100))
    assert found.p99_relative == pytest.approx(0.99)
    assert found.share_within == pytest.approx(4 / 202)


def test_each_metric_is_judged_by_itself() -> None:
    found = {one.metric: one for one in accuracy([(measured_times(RECORD), true_times(TRUTH))])}

    assert list(found) == ["time_to_first_token", "time_per_output_token", "end_to_end"]
    assert found["time_to_first_token"].share_within == 0
    assert found["time_per_output_token"].share_within == 1
    # 2 ms of 198 ms.
    assert found["end_to_end"].share_within == 0


def test_requests_are_paired_with_their_own_truth() -> None:
    other = TRUTH.model_copy(update={"key": "Other", "first_ns": 150 * MS})
    records = [replace(RECORD, prompt_id="q"), RECORD]

    pairs = paired_times(records, [TRUTH, other], {"p": "Prompt", "q": "Other"})

    assert [true for _, true in pairs] == [true_times(other), true_times(TRUTH)]


@pytest.mark.parametrize(
    ("record", "truths", "message"),
    [
        (replace(RECORD, outcome="errored", error="gone"), [TRUTH], "p is errored: gone"),
        (replace(RECORD, chunk_ns=()), [TRUTH], "p is successful"),
        (replace(RECORD, completion_tokens=1), [TRUTH], "second token"),
        (RECORD, [], "knows nothing of p"),
    ],
)
def test_a_request_that_cannot_be_compared_is_an_error_and_never_left_out(
    record: RequestRecord, truths: list[Truth], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        paired_times([record], truths, {"p": "Prompt"})


def test_nothing_to_compare_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        accuracy([])


def test_the_cost_of_a_token_leaves_the_start_out() -> None:
    assert cpu_seconds_per_token((3.0, 1_000), (5.0, 2_000)) == pytest.approx(0.002)
    with pytest.raises(ValueError, match="are no more than"):
        cpu_seconds_per_token((3.0, 1_000), (5.0, 1_000))


def test_a_bar_is_missed_by_a_share_or_by_a_cost() -> None:
    good = first_metric(*[(100 * MS, 100 * MS)] * 100)
    poor = replace(good, share_within=0.98)
    cheap = [turn(TOOL, 5), turn(TOOL, 60), turn(TOOL, 6), turn("other", 50)]

    assert missed_bars([good], cheap) == ()
    assert missed_bars([poor], cheap) == (
        "time_to_first_token: 98.00% of requests within 1 ms or 1 %, not 99%",
    )
    dear = [turn(TOOL, 50), turn("other", 50), turn("third", 60)]
    assert missed_bars([good], dear) == ("CPU time per token: 50.00 µs, other has 50.00 µs",)


def test_we_are_run_and_read_like_the_others(tmp_path: Path) -> None:
    with loopback(Schedule(gap_seconds=0.001)) as server:
        figures = measure_with(
            our_adapter(), server.target, arm="a", workload=workload(6),
            load=Load(concurrency=2), repetition=4, folder=tmp_path, tokenizer=tmp_path,
            timeout_seconds=60,
        )  # fmt: skip
        keys = {truth.key for truth in server.truth()}

    assert figures.tool == TOOL
    assert figures.requests == 6
    assert figures.output_tokens == 6 * generator.TOKENS_PER_ANSWER
    assert figures.generator_cpu_seconds > 0
    assert keys == {f"Prompt {number}." for number in range(6)}


def test_a_small_run_gives_tables_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generator, "SCHEDULE", Schedule(gap_seconds=0.001))
    file = tmp_path / "finding.json"
    arguments = ["--streams", "2", "--requests", "4", "--rounds", "2", "--only-ours"]

    done = CliRunner().invoke(main, [*arguments, "--json", str(file)])

    found = json.loads(file.read_text(encoding="utf-8"))
    # Which it is depends on the machine's other work.
    assert done.exit_code == (1 if found["missed"] else 0), done.output
    assert [one["requests"] for one in found["accuracy"]] == [12, 12, 12]
    assert [one["tool"] for one in found["turns"]] == [TOOL, TOOL]
    assert "CPU time per streamed token" in done.output
    assert all(f"Missed: {sentence[:20]}" in done.output for sentence in found["missed"])


def test_as_many_requests_as_streams_are_refused() -> None:
    done = CliRunner().invoke(main, ["--streams", "4", "--requests", "4"])

    assert done.exit_code == 2
    assert "--requests must be more than --streams, 4" in done.output


def test_a_tool_without_a_time_per_token_has_a_dash() -> None:
    result = generator.GeneratorResult(
        streams=1, requests=2, accuracy=(first_metric((MS, MS)),), turns=(turn("other", 3),),
        load_average=(0.0, 0.0), missed=(),
    )  # fmt: skip

    _, cost = tables(result)

    assert [list(column.cells) for column in cost.columns][-1] == ["-"]

"""The metrics: one formula each, and who else defines it so. Pure: no I/O.

A metric of a request takes its record and returns seconds, tokens or a share, or None where there
is no value. A metric of a cell takes the cell and its requests. Sources that are installed with
this project are cited by file: sglang, guidellm 0.8.1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Final

from benchmarks.analysis.figures import CellFigures
from benchmarks.plan import Objective
from benchmarks.records import CellRecord, RequestRecord

NS_PER_SECOND: Final = 1e9


def time_to_first_token_seconds(record: RequestRecord) -> float | None:
    """How long until the first chunk with text.

    It counts from the moment at which the request was due, so that one that had to wait for a
    connection, or behind a slow answer, is not made to look fast.

    Formula: chunk_1 - due
    Source: sglang, benchmark/serving.py, `ttft`, and guidellm, schemas/base/request_stats.py,
        `time_to_first_token_ms`: both from the moment of sending. From the scheduled moment: MLPerf
        inference rules, server scenario; wrk2 on coordinated omission.
    """
    if not record.chunk_ns:
        return None
    return (record.chunk_ns[0] - record.due_ns) / NS_PER_SECOND


def time_per_output_token_seconds(record: RequestRecord) -> float | None:
    """The pace of an answer once it has begun.

    The first chunk may hold more than one token; all tokens but one are still counted as coming
    after it, as everyone does.

    Formula: (chunk_last - chunk_1) / (completion_tokens - 1)
    Source: guidellm, schemas/base/request_stats.py, `inter_token_latency_ms` (its own
        `time_per_output_token_ms` holds the first token too). sglang, benchmark/serving.py, `tpot`,
        takes the end of the whole answer for chunk_last, as vLLM's `bench serve` does.

    Returns:
        None below two tokens or two chunks, and where the server did not count tokens.
    """
    if len(record.chunk_ns) < 2 or record.completion_tokens is None or record.completion_tokens < 2:
        return None
    taken_ns = record.chunk_ns[-1] - record.chunk_ns[0]
    return taken_ns / (record.completion_tokens - 1) / NS_PER_SECOND


def inter_chunk_latencies_seconds(record: RequestRecord) -> tuple[float, ...]:
    """The pauses that a reader sees. Not between tokens: a verify step sends several in one chunk.

    Formula: chunk_k - chunk_(k-1), for k from 2
    Source: sglang, benchmark/serving.py, `itl`, under the name of inter-token latency.

    Returns:
        Shape [chunks - 1]; empty below two chunks.
    """
    return tuple((b - a) / NS_PER_SECOND for a, b in pairwise(record.chunk_ns))


def end_to_end_seconds(record: RequestRecord) -> float | None:
    """How long the whole answer took, from the moment at which the request was due.

    Formula: ended - due
    Source: sglang, benchmark/serving.py, `latency`, from the moment of sending; from the scheduled
        moment: guidellm, schemas/base/request_stats.py, `request_scheduled_latency`.
    """
    return (record.ended_ns - record.due_ns) / NS_PER_SECOND


def seconds_per_token(record: RequestRecord) -> float | None:
    """What speed-ups compare: the whole time of an answer by its tokens.

    Formula: (ended - due) / completion_tokens
    Source: guidellm, schemas/base/request_stats.py, `time_per_output_token_ms`, the reciprocal of
        its `output_tokens_per_second`.

    Returns:
        None without tokens.
    """
    if not record.completion_tokens:
        return None
    return (record.ended_ns - record.due_ns) / record.completion_tokens / NS_PER_SECOND


def acceptance_length(record: RequestRecord) -> float | None:
    """Tokens that one verify step of the target model commits: accepted drafts and its own one.

    SGLang's `spec_accept_length` of a request is completion_tokens / verify_rounds. That differs at
    both ends: it counts the first token, which the prefill gives, and not those of the last step
    that lie past the answer's end. Here both are as in the server's log (`accept len`), and the
    length cannot exceed the draft steps + 1.

    Formula: (correct_draft_tokens + verify_rounds) / verify_rounds
    Source: sglang, srt/managers/scheduler_components/metrics_reporter.py, `spec_accept_length`; the
        other: srt/managers/tokenizer_manager.py, `meta_info["spec_accept_length"]`.

    Returns:
        None without speculation.
    """
    if not record.verify_rounds or record.correct_draft_tokens is None:
        return None
    return (record.correct_draft_tokens + record.verify_rounds) / record.verify_rounds


def acceptance_rate(record: RequestRecord) -> float | None:
    """The share of proposed draft tokens that the target model accepted, its own token left out.

    With a tree of drafts (top-k above 1) only one branch can be accepted, so the rate is low by
    construction: compare lengths then.

    Formula: correct_draft_tokens / proposed_draft_tokens
    Source: sglang, srt/managers/tokenizer_manager.py, `meta_info["spec_accept_rate"]`.

    Returns:
        None without speculation.
    """
    if not record.proposed_draft_tokens or record.correct_draft_tokens is None:
        return None
    return record.correct_draft_tokens / record.proposed_draft_tokens


def add_histograms(records: Iterable[RequestRecord | CellFigures]) -> tuple[int, ...]:
    """Verify steps by how many drafts they accepted, over several requests or cells.

    SGLang makes a request's histogram only as long as its best step, hence they differ in length.
    Source: sglang, srt/managers/schedule_batch.py, `update_spec_correct_drafts_histogram`.

    Returns:
        Shape [draft steps + 1], or [most accepted drafts + 1] where no step accepted all.
    """
    total: list[int] = []
    for record in records:
        total += [0] * (len(record.accepted_histogram) - len(total))
        for accepted, steps in enumerate(record.accepted_histogram):
            total[accepted] += steps
    return tuple(total)


def acceptance_rate_by_position(histogram: Sequence[int]) -> tuple[float, ...]:
    """For each draft position, how often it and all before it were accepted.

    Formula: rate_k = sum(histogram[k:]) / sum(histogram), for k from 1
    Source: vLLM, v1/spec_decode/metrics.py, the per-position acceptance rate: accepted at a
        position by the number of drafts.

    Args:
        histogram: shape [draft steps + 1]; [k] steps accepted exactly k drafts.

    Returns:
        Shape [draft steps]; empty without a verify step.
    """
    steps = sum(histogram)
    if not steps:
        return ()
    return tuple(sum(histogram[k:]) / steps for k in range(1, len(histogram)))


def cell_seconds(cell: CellRecord) -> float:
    """How long a cell took.

    Formula: ended - began: from the first request's due time to the last one's end
    Source: sglang, benchmark/serving.py, `benchmark_duration`.
    """
    return (cell.ended_ns - cell.began_ns) / NS_PER_SECOND


def output_tokens_per_second(cell: CellRecord, requests: Iterable[RequestRecord]) -> float | None:
    """Output throughput.

    Formula: sum of completion_tokens of successful requests / (ended - began)
    Source: sglang, benchmark/serving.py, `output_throughput`; vLLM's `bench serve`, the same name.

    Args:
        cell: when it ran.
        requests: of this cell.

    Returns:
        None where a successful request's tokens were not counted, or no time passed.
    """
    seconds = cell_seconds(cell)
    tokens = 0
    for record in _successful(requests):
        if record.completion_tokens is None:
            return None
        tokens += record.completion_tokens
    return tokens / seconds if seconds > 0 else None


def requests_per_second(cell: CellRecord, requests: Iterable[RequestRecord]) -> float | None:
    """Request throughput.

    Formula: successful requests / (ended - began)
    Source: sglang, benchmark/serving.py, `request_throughput`.

    Args:
        cell: when it ran.
        requests: of this cell.

    Returns:
        None where no time passed.
    """
    seconds = cell_seconds(cell)
    return sum(1 for _ in _successful(requests)) / seconds if seconds > 0 else None


def meets(record: RequestRecord, objective: Objective) -> bool:
    """Whether a request was successful and met all that an objective sets.

    An answer of one token or one chunk has no pace, and meets any; one of several whose tokens were
    not counted meets none.
    Source: sglang, benchmark/goodput.py, `calculate_goodput`.
    """
    if record.outcome != "successful":
        return False
    single = record.completion_tokens == 1 or len(record.chunk_ns) == 1
    pace = 0.0 if single else time_per_output_token_seconds(record)
    measured_and_allowed = (
        (time_to_first_token_seconds(record), objective.time_to_first_token_seconds),
        (pace, objective.time_per_output_token_seconds),
        (end_to_end_seconds(record), objective.end_to_end_seconds),
    )
    return all(
        allowed is None or (measured is not None and measured <= allowed)
        for measured, allowed in measured_and_allowed
    )


def goodput_requests_per_second(
    cell: CellRecord, requests: Iterable[RequestRecord], objective: Objective
) -> float | None:
    """Requests per second that were as fast as they had to be.

    Formula: successful requests that meet the objective / (ended - began)
    Source: sglang, benchmark/goodput.py, `request_goodput`; Zhong et al., DistServe, OSDI 2024.

    Args:
        cell: when it ran.
        requests: of this cell.
        objective: what each has to meet.

    Returns:
        None where no time passed.
    """
    seconds = cell_seconds(cell)
    return sum(meets(one, objective) for one in requests) / seconds if seconds > 0 else None


@dataclass(frozen=True, slots=True)
class Metric:
    """What a distribution is of.

    Attributes:
        name: of its formula's function.
        values: of one request; none, one, or many.
    """

    name: str
    values: Callable[[RequestRecord], tuple[float, ...]]


def _successful(requests: Iterable[RequestRecord]) -> Iterable[RequestRecord]:
    return (record for record in requests if record.outcome == "successful")


def _metric(function: Callable[[RequestRecord], float | None]) -> Metric:
    """A metric of which a request has one value or none."""

    def values(record: RequestRecord) -> tuple[float, ...]:
        value = function(record)
        return () if value is None else (value,)

    return Metric(function.__name__, values)


METRICS: Final[Mapping[str, Metric]] = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            _metric(time_to_first_token_seconds),
            _metric(time_per_output_token_seconds),
            Metric(inter_chunk_latencies_seconds.__name__, inter_chunk_latencies_seconds),
            _metric(end_to_end_seconds),
            _metric(acceptance_length),
            _metric(acceptance_rate),
        )
    }
)

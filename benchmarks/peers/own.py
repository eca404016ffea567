"""Our own records as the other tools would sum them up. Pure: no I/O."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from benchmarks.errors import PeerError
from benchmarks.records import CellRecord, RequestRecord
from benchmarks.results import PeerFigures

TOOL: Final = "specserve"
_NS_PER_SECOND: Final = 1e9


def ours(
    cell: CellRecord, requests: Sequence[RequestRecord], *, repetition: int | None = None
) -> PeerFigures:
    """The figures of one cell by the formulas of bench_serving, to stand beside it.

    Formula, over successful requests:
    - time to first token = first chunk with text - just before its first byte was sent;
    - time per output token = (end - first chunk) / (completion tokens - 1), where there are two;
    - output throughput = sum of completion tokens / (end of the last request - first one due).

    All from the sending, as the other tools do: the report's own latency in an open loop counts
    from the moment at which a request was due (`benchmarks.analysis.metrics`), and is longer.

    Source: sglang, benchmark/serving.py, calculate_metrics.

    Args:
        cell: when it ran.
        requests: of this cell; others are left out.
        repetition: 0 and up; the cell's round if not given.

    Raises:
        PeerError: no request gave text, the server gave no usage, or the cell's CPU time was not
            counted: there is nothing to compare.
    """
    own = [one for one in requests if one.cell == cell.cell and one.outcome == "successful"]
    first_tokens = [_time_to_first_token_seconds(one) for one in own]
    known = [seconds for seconds in first_tokens if seconds is not None]
    tokens = [one.completion_tokens for one in own]
    cpu_seconds = cell.generator_cpu_seconds
    if not known or None in tokens or cpu_seconds is None:
        reason = (
            "no request gave text"
            if not known
            else "the server gave no usage"
            if None in tokens
            else "its CPU time was not counted"
        )
        raise PeerError(
            f"There is nothing to hold against other tools in {cell.cell.arm}, "
            f"{cell.cell.workload}, {cell.cell.load.words}: {reason}.",
            action="See the errors of its requests.",
            evidence=tuple(dict.fromkeys(one.error for one in requests if one.error)),
        )
    per_token = [s for s in (_time_per_output_token_seconds(one) for one in own) if s is not None]
    output_tokens = sum(count or 0 for count in tokens)
    return PeerFigures(
        tool=TOOL,
        version=version(TOOL),
        arm=cell.cell.arm,
        workload=cell.cell.workload,
        load=cell.cell.load.label,
        repetition=cell.cell.round if repetition is None else repetition,
        requests=len(own),
        output_tokens=output_tokens,
        output_tokens_per_second=output_tokens / ((cell.ended_ns - cell.began_ns) / _NS_PER_SECOND),
        median_time_to_first_token_seconds=statistics.median(known),
        median_time_per_output_token_seconds=statistics.median(per_token) if per_token else None,
        generator_cpu_seconds=cpu_seconds,
    )


def _time_to_first_token_seconds(record: RequestRecord) -> float | None:
    if record.sent_ns is None or not record.chunk_ns:
        return None
    return (record.chunk_ns[0] - record.sent_ns) / _NS_PER_SECOND


def _time_per_output_token_seconds(record: RequestRecord) -> float | None:
    if not record.chunk_ns or record.completion_tokens is None or record.completion_tokens < 2:
        return None
    elapsed_ns = record.ended_ns - record.chunk_ns[0]
    return elapsed_ns / _NS_PER_SECOND / (record.completion_tokens - 1)

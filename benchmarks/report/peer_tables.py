"""What other benchmarks measured, beside ours. Pure: no I/O."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from benchmarks.report.document import Report
from benchmarks.report.tables import Column, Table
from benchmarks.report.wording import number, percent
from benchmarks.results import PeerFigures

OURS: Final = "specserve"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """One tool's medians over its repetitions, and how far they are from ours.

    Attributes:
        tool: its name and version.
        arm: which server.
        workload: which.
        load: at which.
        values: throughput, time to first token, time per output token, CPU seconds per token.
        differences: shape [3], but for the CPU: the tool's value / ours - 1; None for ours, and
            where one of the two lacks.
    """

    tool: str
    arm: str
    workload: str
    load: str
    values: tuple[float | None, ...]
    differences: tuple[float | None, ...]


def peer_rows(report: Report) -> tuple[PeerRow, ...]:
    """Medians over repetitions, ours first in each arm, workload and load."""
    arms = {arm: place for place, arm in enumerate(report.arms)}

    def place(one: PeerFigures) -> tuple[tuple[int, str], str, tuple[int, str], bool, str, str]:
        load = (len(one.load), one.load)  # c2 before c16
        arm = (arms.get(one.arm, len(arms)), one.arm)
        return (arm, one.workload, load, one.tool != OURS, one.tool, one.version)

    rows: list[PeerRow] = []
    ours: tuple[float | None, ...] = (None,) * 4
    ours_of: tuple[object, ...] = ()
    for key, group in groupby(sorted(report.peers, key=place), key=place):
        values = _medians(list(group))
        if key[4] == OURS:
            ours, ours_of = values, key[:3]
        comparable = key[4] != OURS and ours_of == key[:3]
        rows.append(
            PeerRow(
                tool=f"{key[4]} {key[5]}".strip(),
                arm=key[0][1],
                workload=key[1],
                load=key[2][1],
                values=values,
                differences=tuple(
                    theirs / our - 1 if comparable and theirs is not None and our else None
                    for theirs, our in zip(values[:3], ours, strict=False)
                ),
            )
        )
    return tuple(rows)


def peer_table(report: Report) -> Table:
    """What each tool measured of the same server with the same prompts."""
    scales = (1.0, 1e3, 1e3, 1e3)
    return Table(
        "Other benchmarks, same server and prompts",
        (
            Column("Arm", is_figure=False),
            Column("Workload", is_figure=False),
            Column("Load", is_figure=False),
            Column("Tool", is_figure=False),
            Column("Output, tokens/s"),
            Column("TTFT p50, ms"),
            Column("TPOT p50, ms"),
            Column("Tool's CPU, ms/token"),
        ),
        tuple(
            (
                row.arm,
                row.workload,
                row.load,
                row.tool,
                *(
                    number(None if value is None else value * scale)
                    + ("" if other is None else f" ({percent(other, signed=True)})")
                    for value, scale, other in zip(
                        row.values, scales, (*row.differences, None), strict=True
                    )
                ),
            )
            for row in peer_rows(report)
        ),
        "Medians over repetitions, by each tool's own formula; in parentheses: against ours.",
    )


def _medians(figures: Sequence[PeerFigures]) -> tuple[float | None, ...]:
    per_output_token = [
        one.median_time_per_output_token_seconds
        for one in figures
        if one.median_time_per_output_token_seconds is not None
    ]
    cpu = [one.generator_cpu_seconds / one.output_tokens for one in figures if one.output_tokens]
    return (
        statistics.median(one.output_tokens_per_second for one in figures),
        statistics.median(one.median_time_to_first_token_seconds for one in figures),
        statistics.median(per_output_token) if per_output_token else None,
        statistics.median(cpu) if cpu else None,
    )

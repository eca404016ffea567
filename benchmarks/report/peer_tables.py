"""What other benchmarks measured, beside ours. Pure: no I/O."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from benchmarks.peers.agreement import FIGURES, REFERENCE, Agreement, PeerFigure, agreement
from benchmarks.report.document import Report
from benchmarks.report.tables import Table, figures, texts
from benchmarks.report.wording import number, percent
from benchmarks.results import PeerFigures


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerRow:
    """One tool's medians over its repetitions, and how far they are from ours.

    Attributes:
        tool: its name and version.
        arm: which server.
        workload: which.
        load: at which.
        values: shape [3], in the order of `benchmarks.peers.agreement.FIGURES`; None where the
            tool has none in some repetition.
        agreements: shape [3]: the same figures held against ours; None for ours, and where they
            cannot be compared.
    """

    tool: str
    arm: str
    workload: str
    load: str
    values: tuple[float | None, ...]
    agreements: tuple[Agreement | None, ...]


def peer_rows(report: Report) -> tuple[PeerRow, ...]:
    """Medians over repetitions, ours first in each arm, workload and load."""
    arms = {arm: place for place, arm in enumerate(report.arms)}
    held = {(a.arm, a.workload, a.load, a.tool, a.figure): a for a in agreement(report.peers)}

    def place(one: PeerFigures) -> tuple[tuple[int, str], str, tuple[int, str], bool, str]:
        load = (len(one.load), one.load)  # c2 before c16
        arm = (arms.get(one.arm, len(arms)), one.arm)
        return (arm, one.workload, load, one.tool != REFERENCE, one.tool)

    rows: list[PeerRow] = []
    for key, group in groupby(sorted(report.peers, key=place), key=place):
        measured = list(group)
        (_, arm), workload, (_, load), _, tool = key
        versions = ", ".join(dict.fromkeys(one.version for one in measured))
        rows.append(
            PeerRow(
                tool=f"{tool} {versions}".strip(),
                arm=arm,
                workload=workload,
                load=load,
                values=tuple(_median(measured, figure) for figure in FIGURES),
                agreements=tuple(held.get((arm, workload, load, tool, one)) for one in FIGURES),
            )
        )
    return tuple(rows)


def peer_table(report: Report) -> Table:
    """What each tool measured of the same server with the same prompts."""
    scales = (1.0, 1e3, 1e3)
    return Table(
        "Other benchmarks, same server and prompts",
        (
            *texts("Arm", "Workload", "Load", "Tool"),
            *figures("Output, tokens/s", "TTFT p50, ms", "TPOT p50, ms"),
            *texts("Same tokens"),
        ),
        tuple(
            (
                row.arm,
                row.workload,
                row.load,
                row.tool,
                *(
                    number(None if value is None else value * scale) + _against_ours(held)
                    for value, scale, held in zip(row.values, scales, row.agreements, strict=True)
                ),
                _same_tokens(row),
            )
            for row in peer_rows(report)
        ),
        "Medians over repetitions, by each tool's own formula. In parentheses: the difference from "
        "ours, and the spread, which is the wider of both tools' ranges over repetitions: a "
        "difference within it says nothing. The throughput of an open loop follows the arrivals, "
        "and each tool draws its own. Same tokens: as many requests and output tokens as ours, in "
        "each repetition.",
    )


def _against_ours(held: Agreement | None) -> str:
    if held is None:
        return ""
    spread = held.spread_percent
    beside = "" if spread is None else f", spread {percent(spread / 100)}"
    return f" ({percent(held.difference_percent / 100, signed=True)}{beside})"


def _same_tokens(row: PeerRow) -> str:
    held = [one.same_tokens for one in row.agreements if one is not None]
    return ("yes" if all(held) else "no") if held else ""


def _median(figures: Sequence[PeerFigures], figure: PeerFigure) -> float | None:
    values: list[float | None] = [getattr(one, figure) for one in figures]
    known = [value for value in values if value is not None]
    return statistics.median(known) if len(known) == len(values) else None

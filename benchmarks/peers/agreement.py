"""How far several tools agree on one server, one workload, one load. Pure: no I/O.

What each tool calls what (`docs/decisions/0009-benchmark-packages.md` has it in full):

| | window | time to first token from | per output token |
|---|---|---|---|
| ours | first request due to last one ended | its first byte is written | to the last byte |
| bench_serving | first task made to all gathered | before it connects | to the last line |
| guidellm | first request's to the last one's end | its head is written | to the last chunk |

All three count tokens by the server's usage, and none counts a warm-up. The caller empties the
server's prefix cache before each, or leaves it filled before each.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from benchmarks.results import PeerFigures

LIMIT_PERCENT: Final = 5.0
REFERENCE: Final = "specserve"

PeerFigure = Literal[
    "output_tokens_per_second",
    "median_time_to_first_token_seconds",
    "median_time_per_output_token_seconds",
]
FIGURES: Final[tuple[PeerFigure, ...]] = (
    "output_tokens_per_second",
    "median_time_to_first_token_seconds",
    "median_time_per_output_token_seconds",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """One figure of one other tool held against ours, over all repetitions.

    Formula: difference = 100 (theirs - ours) / ours, of the medians over repetitions.

    Attributes:
        arm: which server.
        workload: which.
        load: its label.
        figure: a field of `PeerFigures`.
        tool: the other one.
        ours: median over our repetitions.
        theirs: median over its repetitions.
        difference_percent: above 0, theirs is larger.
        is_within_limit: the difference is at most 5 %, either way.
        repetitions: of ours, and of theirs.
        spread_percent: the wider of both tools' ranges over repetitions, by its median: what one
            tool differs from itself by. None below two repetitions of each.
        same_tokens: both had the same number of requests and of output tokens each time.
    """

    arm: str
    workload: str
    load: str
    figure: PeerFigure
    tool: str
    ours: float
    theirs: float
    difference_percent: float
    is_within_limit: bool
    repetitions: tuple[int, int]
    spread_percent: float | None
    same_tokens: bool


def agreement(figures: Sequence[PeerFigures]) -> tuple[Agreement, ...]:
    """Hold each other tool's figures against ours, for each arm, workload and load.

    Args:
        figures: of all tools, in any order; a place without ours, or with ours alone, gives
            nothing.

    Returns:
        In the order in which places and tools first appear, a tool's figures side by side. A
        figure that a tool has not in each repetition, or that is 0, is left out, and so is the
        throughput of an open loop: it follows the arrivals, and each tool draws its own.
    """
    places: dict[tuple[str, str, str], dict[str, list[PeerFigures]]] = {}
    for one in figures:
        tools = places.setdefault((one.arm, one.workload, one.load), defaultdict(list))
        tools[one.tool].append(one)
    found: list[Agreement] = []
    for (arm, workload, load), tools in places.items():
        own = tools.get(REFERENCE, [])
        for tool, others in tools.items():
            if tool == REFERENCE or not own:
                continue
            for figure in FIGURES[1:] if load.startswith("r") else FIGURES:
                mine, theirs = _values(own, figure), _values(others, figure)
                if not mine or not theirs:
                    continue
                our, their = statistics.median(mine), statistics.median(theirs)
                difference = 100 * (their - our) / our
                found.append(
                    Agreement(
                        arm=arm,
                        workload=workload,
                        load=load,
                        figure=figure,
                        tool=tool,
                        ours=our,
                        theirs=their,
                        difference_percent=difference,
                        is_within_limit=abs(difference) <= LIMIT_PERCENT,
                        repetitions=(len(mine), len(theirs)),
                        spread_percent=_spread_percent(mine, theirs),
                        same_tokens=len({(o.requests, o.output_tokens) for o in own + others}) == 1,
                    )
                )
    return tuple(found)


def _values(figures: Sequence[PeerFigures], figure: PeerFigure) -> list[float]:
    values: list[float | None] = [getattr(one, figure) for one in figures]
    known = [value for value in values if value]
    return known if len(known) == len(values) else []


def _spread_percent(mine: Sequence[float], theirs: Sequence[float]) -> float | None:
    if min(len(mine), len(theirs)) < 2:
        return None
    return max(
        100 * (max(values) - min(values)) / statistics.median(values) for values in (mine, theirs)
    )

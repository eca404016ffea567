"""How figures are written, the same in every kind of report. Pure: no I/O."""

from __future__ import annotations

from typing import Final

from benchmarks.analysis.figures import CellFigures, Distribution, Estimate

NONE: Final = "–"  # noqa: RUF001 - the dash of a table's empty place
TTFT: Final = "time_to_first_token_seconds"
TPOT: Final = "time_per_output_token_seconds"
E2E: Final = "end_to_end_seconds"

SHORT_TITLES: Final = {
    TTFT: "time to first token",
    TPOT: "time per output token",
    E2E: "end to end",
}

FORMULAS: Final = (
    ("Time to first token (TTFT)", "first chunk with text - moment the request was due"),
    (
        "Time per output token (TPOT)",
        "(last chunk - first chunk) / (output tokens - 1); chunks are not tokens",
    ),
    ("End to end", "last byte of the answer - moment the request was due"),
    (
        "Output throughput",
        "output tokens of successful requests / time from first due to last end; mean of rounds",
    ),
    (
        "Speed-up",
        (
            "end to end by output tokens, the baseline's over the candidate's, for each prompt in "
            "each round; geometric mean over rounds of the median over prompts"
        ),
    ),
    (
        "Acceptance length",
        "(accepted draft tokens + verify steps) / verify steps, by the server's own counts",
    ),
    ("Acceptance rate", "accepted draft tokens / proposed draft tokens"),
    (
        "Acceptance at position k",
        "verify steps in which draft k and all before it were accepted / verify steps",
    ),
    ("Goodput", "requests per second that meet the service-level objective"),
    ("CPU per output token", "CPU time of all the server's processes / output tokens"),
)


def number(value: float | None, *, decimals: int | None = None) -> str:
    """Three significant digits, or as many decimals as are asked for; thousands apart."""
    if value is None:
        return NONE
    return f"{value:,.{_decimals(value) if decimals is None else decimals}f}"


def estimate(value: Estimate | None, scale: float = 1.0, *, decimals: int | None = None) -> str:
    """A value and its 95 % interval, where it has one: `2.10 (1.92 to 2.31)`."""
    if value is None:
        return NONE
    places = _decimals(value.value * scale) if decimals is None else decimals
    text = number(value.value * scale, decimals=places)
    if value.low is None or value.high is None:
        return text
    low, high = (number(end * scale, decimals=places) for end in (value.low, value.high))
    return f"{text} ({low} to {high})"


def percent(share: float | None, *, signed: bool = False) -> str:
    """A share of 1 in per cent."""
    if share is None:
        return NONE
    return f"{share * 100:{'+' if signed else ''}.1f} %"


def distribution(cell: CellFigures | None, metric: str) -> Distribution | None:
    """One metric of a cell; None where it has no values."""
    if cell is None:
        return None
    return next((one for one in cell.distributions if one.metric == metric), None)


def counted(count: int, noun: str) -> str:
    """`1 request`, `2 requests`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _decimals(value: float) -> int:
    """For three significant digits, and no more than four decimals."""
    size = abs(value)
    return 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 1 else 3 if size >= 0.1 else 4

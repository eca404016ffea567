"""How the bound of a plan's speed is shown: to people as a table, to programs as plain values."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from launcher.memory.shape import ModelShape
from launcher.memory.speed import DENSE_SHARES, EXPERT_SHARES, DecodeBound
from launcher.preflight.answer import PlanAnswer, SpeedAnswer

_GB: Final = 10**9
NO_SPECULATION: Final = (
    "Plain decoding: what speculative decoding gains depends on the text, and was not measured."
)


def show_speed(out: Console, answer: PlanAnswer, speed: SpeedAnswer) -> None:
    """The bound for each number of requests, what a step reads, and what the bound is not."""
    if not speed.bounds:
        out.print(Text(f"\nNo bound of the speed: {speed.missing}."), soft_wrap=True)
        return
    first = speed.bounds[0]
    bandwidth = f"{first.bandwidth_bytes_per_s / _GB:,.0f} GB/s"
    out.print(
        f"\nTokens per second at the most, by memory bandwidth ({bandwidth} a rank), with "
        f"{first.context_tokens:,} tokens of each request in the KV cache:\n",
        highlight=False,
        soft_wrap=not out.is_terminal,
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("REQUESTS", "ALL", "EACH"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("A STEP READS, EACH RANK", style="dim", overflow="fold")
    for bound in speed.bounds:
        table.add_row(*_row(bound, answer.plan.shape.experts))
    out.print(table)
    out.print()
    for line in (_no_forecast(answer.plan.shape), NO_SPECULATION):
        out.print(line, highlight=False, soft_wrap=not out.is_terminal)


def _no_forecast(shape: ModelShape) -> str:
    """What was reached of the bound: who takes it for a forecast is misled."""
    least, most = EXPERT_SHARES if shape.experts else DENSE_SHARES
    kind = "models with experts" if shape.experts else "dense models"
    return (
        f"An upper bound, no forecast: public reports of one request on {kind} reached "
        f"{least:.0%} to {most:.0%} of it (docs/plan.md). `python -m benchmarks run` measures."
    )


def _row(bound: DecodeBound, experts: int) -> list[Text]:
    if bound.obstacle:
        return [Text(f"{bound.requests:,}"), Text("-"), Text("-"), Text(bound.obstacle)]
    each = bound.tokens_per_s / bound.requests
    of_experts = f", {bound.experts:.0f} of {experts} experts" if experts else ""
    return [
        Text(f"{bound.requests:,}"),
        Text(f"{bound.tokens_per_s:,.0f}", "bold"),
        Text(f"{each:,.0f}"),
        Text(
            f"{bound.weights_bytes / _GB:,.1f} GB weights{of_experts}, "
            f"{bound.kv_bytes / _GB:,.1f} GB KV cache"
        ),
    ]


def speed_as_json(speed: SpeedAnswer) -> dict[str, Any]:
    """The bounds, or why there are none; bytes are what one rank reads in one step."""
    return {
        "is": "upper bound of plain decoding by memory bandwidth",
        "missing": speed.missing or None,
        "reported_shares": {
            "dense": list(DENSE_SHARES),
            "experts": list(EXPERT_SHARES),
        },
        "bounds": [
            {
                "requests": bound.requests,
                "context_tokens": bound.context_tokens,
                "obstacle": bound.obstacle or None,
                "tokens_per_second_at_most": round(bound.tokens_per_s, 1),
                "step_seconds_at_least": bound.step_seconds,
                "weights_bytes": bound.weights_bytes,
                "experts_read": round(bound.experts, 2),
                "kv_cache_bytes": bound.kv_bytes,
                "bandwidth_bytes_per_second": bound.bandwidth_bytes_per_s,
            }
            for bound in speed.bounds
        ],
    }

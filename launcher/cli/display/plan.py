"""How a plan is shown: to people as tables, to programs as plain values."""

from __future__ import annotations

from itertools import groupby
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from launcher.memory.advice import Change
from launcher.memory.plan import MemoryPlan, Verdict, describe_margin, describe_shortage
from launcher.memory.report import Difference
from launcher.memory.table import Placement
from launcher.memory.weights import checkpoint_bytes
from launcher.preflight.fit import FoundShape
from launcher.system.hardware import GIB, MIB
from launcher.text import human_bytes

VERDICT_STYLES: Final = {
    Verdict.FITS: "bold green",
    Verdict.JUST_FITS: "bold yellow",
    Verdict.LESS_CONTEXT: "bold yellow",
    Verdict.DOES_NOT_FIT: "bold red",
}
_WIDE_COLUMNS: Final = 110


def show_plan(
    out: Console, plan: MemoryPlan, found: FoundShape, changes: tuple[Change, ...]
) -> None:
    """The sum that ends in the KV cache, what follows from it, the verdict, and what to change."""
    settings = plan.settings
    where = (
        plan.device.name if settings.tp_size == 1 else f"{settings.tp_size} x {plan.device.name}"
    )
    out.print(f"\n[bold]{plan.model}[/] on {where}, each rank:\n", highlight=False)
    out.print(_lines_table(out, plan))
    out.print()
    out.print(_figures_table(plan, found))
    out.print()
    for text in _conclusion(plan):
        out.print(text, soft_wrap=True)
    if changes:
        out.print("\nWhat would help:", highlight=False)
        out.print(_changes_table(changes))


def _lines_table(out: Console, plan: MemoryPlan) -> Table:
    wide = out.width >= _WIDE_COLUMNS
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", overflow="fold")
    if wide:
        table.add_column(style="dim", overflow="fold")
    for line in plan.lines:
        sign = {1: " ", -1: "-", 0: "="}[line.sign]
        style = "bold" if line.sign == 0 else ""
        cells = [
            Text(line.label, style),
            Text(f"{sign} {_size(line.size_bytes)}", style),
            Text(line.formula),
        ]
        table.add_row(*cells, *([Text(line.source)] if wide else []))
    return table


def _size(size_bytes: int) -> str:
    """Two decimals of a GiB, so that the lines add up; less than a tenth of one in MiB."""
    if abs(size_bytes) < GIB // 10:
        return f"{size_bytes / MIB:.1f} MiB"
    return f"{size_bytes / GIB:,.2f} GiB"


def _figures_table(plan: MemoryPlan, found: FoundShape) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column()
    shape_bytes, on_disk = checkpoint_bytes(plan.shape), ""
    if found.on_disk_bytes is not None:
        on_disk = f", {human_bytes(found.on_disk_bytes)} on disk"
    rows = [
        ("checkpoint", f"{human_bytes(shape_bytes)} by its shape{on_disk}"),
        ("shape from", found.source),
        ("KV cache", f"{_band(plan)} of {plan.bytes_per_token:,} bytes a rank"),
        ("context", f"{plan.context_tokens:,} of {plan.wanted_context_tokens:,} tokens"),
        ("requests", _requests(plan)),
    ]
    for label, value in rows:
        table.add_row(label, Text(value))
    return table


def _band(plan: MemoryPlan) -> str:
    low, high = plan.kv_cache_tokens_low, plan.kv_cache_tokens_high
    band = "" if low == high else f", {low:,} to {high:,},"
    return f"{plan.kv_cache_tokens:,} tokens{band}"


def _requests(plan: MemoryPlan) -> str:
    most = f"at most {plan.max_running_requests:,} at the same time"
    if plan.requests_at_full_context == 0:
        return f"none of full length; {most}"
    return f"{plan.requests_at_full_context:,} of full length; {most}"


def _conclusion(plan: MemoryPlan) -> list[Text]:
    verdict = Text.assemble((plan.verdict.value.capitalize(), VERDICT_STYLES[plan.verdict]), ".")
    if plan.verdict is Verdict.DOES_NOT_FIT:
        verdict.append(f" {describe_shortage(plan)}")
    elif plan.verdict is Verdict.JUST_FITS:
        verdict.append(f" {describe_margin(plan)}")
    elif plan.verdict is Verdict.LESS_CONTEXT:
        asked = plan.settings.context_length_tokens is not None
        wanted = "asked for" if asked else "the most that the model takes"
        verdict.append(
            f" A request may have {plan.context_tokens:,} tokens, prompt and answer together; "
            f"{plan.wanted_context_tokens:,} are {wanted}."
        )
    texts = [verdict]
    if plan.is_tight:
        texts.append(
            Text(
                f"The static fraction of {plan.fraction:g} is above SGLang's own choice, "
                f"{plan.own_fraction:g}: graphs or a long prefill may run out of memory.",
                "yellow",
            )
        )
    is_capped = plan.kv_cache_tokens == plan.settings.max_total_tokens
    if plan.device.kind == "cpu" and plan.settings.tp_size > 1 and not is_capped:
        texts.append(
            Text(
                f"On a CPU each of the {plan.settings.tp_size} ranks makes a KV cache of that size "
                "in the same memory (SGLang 0.5.23 measures it as if it had it alone): set "
                "--max-total-tokens.",
                "yellow",
            )
        )
    return texts


def _changes_table(changes: tuple[Change, ...]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(style="dim", overflow="fold")
    for change in changes:
        style = "green" if change.plan.verdict is Verdict.FITS else "yellow"
        just = ", just fits" if change.plan.verdict is Verdict.JUST_FITS else ""
        tokens = Text(f"{change.plan.kv_cache_tokens:,} tokens{just}", style)
        table.add_row(Text(f"  {change.what}"), tokens, Text(change.flags))
    return table


def show_explanation(out: Console, differences: tuple[Difference, ...]) -> None:
    """Each figure planned, reported, how far they are apart, and why."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title in ("", "PLANNED", "SERVER", "DIFFERENCE"):
        table.add_column(title, justify="right" if title else "left", no_wrap=True)
    table.add_column("WHERE THEY PART", style="dim", overflow="fold")
    for one in differences:
        table.add_row(one.label, one.planned, one.reported, one.difference, Text(one.reason))
    out.print(table, highlight=False)


def show_feasibility(out: Console, cells: tuple[Placement, ...]) -> None:
    """Models by machines: tokens of KV cache where it fits, a dash where it does not."""
    machines = list(dict.fromkeys(cell.machine for cell in cells))
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("")
    for machine in machines:
        table.add_column(machine.replace("-80GB", ""), justify="right", no_wrap=True)
    for model, of_model in groupby(cells, key=lambda cell: cell.model):
        table.add_row(Text(model.partition("/")[2]), *(_cell_text(cell.plan) for cell in of_model))
    out.print(table)
    out.print(
        "\nThousands of tokens in the KV cache, EAGLE with the model's own NextN layer, SGLang's "
        "own static fraction.\n[green]Green[/]: the model's whole context. [yellow]Yellow[/], with "
        "<: less of it; with ~: what CUDA and NCCL take decides. -: does not fit.",
        highlight=False,
    )


def _cell_text(plan: MemoryPlan) -> Text:
    if plan.verdict is Verdict.DOES_NOT_FIT:
        return Text("-", "red")
    mark = {Verdict.LESS_CONTEXT: "<", Verdict.JUST_FITS: "~"}.get(plan.verdict, "")
    style = "green" if plan.verdict is Verdict.FITS else "yellow"
    return Text(f"{mark}{plan.kv_cache_tokens // 1000:,}k", style)


def plan_as_json(plan: MemoryPlan) -> dict[str, Any]:
    """All figures of a plan; bytes are of one rank."""
    settings = plan.settings
    return {
        "model": plan.model,
        "verdict": plan.verdict.name.lower(),
        "device": plan.device.name,
        "tp_size": settings.tp_size,
        "mem_fraction_static": plan.fraction,
        "own_mem_fraction_static": plan.own_fraction,
        "least_mem_fraction_static": round(plan.least_fraction, 4),
        "checkpoint_bytes": checkpoint_bytes(plan.shape),
        "baseline_bytes": plan.baseline_bytes,
        "weights_bytes": plan.weights_bytes,
        "draft_bytes": plan.draft_bytes,
        "kv_cache_bytes": plan.kv_cache_tokens * plan.bytes_per_token,
        "kv_cache_bytes_per_token": plan.bytes_per_token,
        "kv_cache_tokens": plan.kv_cache_tokens,
        "kv_cache_tokens_low": plan.kv_cache_tokens_low,
        "kv_cache_tokens_high": plan.kv_cache_tokens_high,
        "context_tokens": plan.context_tokens,
        "wanted_context_tokens": plan.wanted_context_tokens,
        "requests_at_full_context": plan.requests_at_full_context,
        "max_running_requests": plan.max_running_requests,
        "lines": [
            {
                "label": line.label,
                "bytes": line.size_bytes * (line.sign or 1),
                "formula": line.formula,
                "source": line.source,
            }
            for line in plan.lines
        ],
    }


def change_as_json(change: Change) -> dict[str, Any]:
    """A change and what follows from it."""
    return {
        "what": change.what,
        "flags": change.flags,
        "kv_cache_tokens": change.plan.kv_cache_tokens,
        "kv_cache_tokens_low": change.plan.kv_cache_tokens_low,
        "verdict": change.plan.verdict.name.lower(),
    }

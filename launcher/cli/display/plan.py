"""How a plan is shown to people. For programs: `launcher.cli.display.plan_json`."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from launcher.cli.display.speed import show_speed
from launcher.config.presets import CUSTOM, PRESETS
from launcher.config.server_config import describe_speculation
from launcher.config.untaken import describe_untaken
from launcher.memory.advice import Change
from launcher.memory.plan import MemoryPlan, Verdict, describe_margin, describe_shortage
from launcher.memory.report import Difference
from launcher.memory.table import Placement
from launcher.memory.weights import checkpoint_bytes
from launcher.preflight.answer import NAMED_GPUS, PlanAnswer, describe_source
from launcher.system.hardware import GIB, MIB
from launcher.text import human_bytes

VERDICT_STYLES: Final = {
    Verdict.FITS: "bold green",
    Verdict.JUST_FITS: "bold yellow",
    Verdict.LESS_CONTEXT: "bold yellow",
    Verdict.DOES_NOT_FIT: "bold red",
}
_WIDE_COLUMNS: Final = 110
_LABEL_COLUMNS: Final = len("speculation")


def show_plan(out: Console, answer: PlanAnswer) -> None:
    """The sum that ends in the KV cache, what follows from it, the verdict, and what to change."""
    plan = answer.plan
    ranks, name = plan.settings.tp_size * plan.settings.replicas, plan.device.name
    where = name if ranks == 1 else f"{ranks} x {name}, each rank"
    out.print(Text.assemble("\n", (plan.model, "bold"), f" on {where}:\n"))
    out.print(_lines_table(out, plan))
    out.print()
    out.print(_rows_table(_figures(answer)))
    out.print()
    out.print(_rows_table(_reasons(answer)))
    out.print()
    for text in (*_conclusion(plan), *_notes(answer)):
        # A line of its own where a program reads it; else broken between words.
        out.print(text, soft_wrap=not out.is_terminal)
    if answer.speed is not None:
        show_speed(out, answer, answer.speed)
    if answer.changes:
        out.print("\nWhat would help:", highlight=False)
        _show_changes(out, answer.changes)


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


def _rows_table(rows: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, min_width=_LABEL_COLUMNS)
    table.add_column()
    for label, value in rows:
        table.add_row(label, Text(value))
    return table


def _figures(answer: PlanAnswer) -> list[tuple[str, str]]:
    """What the plan comes to."""
    plan, on_disk = answer.plan, ""
    if answer.found.on_disk_bytes is not None:
        on_disk = f", {human_bytes(answer.found.on_disk_bytes)} on disk"
    return [
        ("checkpoint", f"{human_bytes(checkpoint_bytes(plan.shape))} by its shape{on_disk}"),
        ("shape from", answer.found.source),
        ("KV cache", f"{_band(plan)} of {plan.bytes_per_token:,} bytes a rank"),
        ("context", f"{plan.context_tokens:,} of {plan.wanted_context_tokens:,} tokens"),
        ("requests", _requests(plan)),
    ]


def _reasons(answer: PlanAnswer) -> list[tuple[str, str]]:
    """Where the settings come from on which the figures hang."""
    resolved, plan = answer.resolved, answer.plan
    config, sources = resolved.config, resolved.sources
    rows = [
        ("preset", f"{config.preset}: {resolved.preset_reason}"),
        ("fraction", _fraction(answer)),
        ("speculation", describe_speculation(config)),
    ]
    if plan.settings.max_total_tokens is not None:
        source = describe_source("max_total_tokens", sources["max_total_tokens"])
        rows.append(("at most", f"{plan.settings.max_total_tokens:,} tokens, by {source}"))
    if sources["tp_size"] == NAMED_GPUS:
        up = f"`up` takes {answer.up_ranks} unless --tp-size says otherwise"
        rows.append(("ranks", f"{config.tp_size}, one for each GPU of --gpus; {up}"))
    if plan.settings.replicas > 1:
        each = f"each with the whole model and a KV cache on {plan.settings.tp_size} of the GPUs"
        rows.append(("replicas", f"{plan.settings.replicas}, {each}; the figures are of one"))
    if config.device == "cpu" and sources["device"].startswith("preset"):
        rows += _why_cpu(answer)
    return rows


def _why_cpu(answer: PlanAnswer) -> list[tuple[str, str]]:
    """Why it is planned for a CPU, where nothing else says so."""
    hardware = answer.hardware
    source = answer.resolved.sources["device"]
    if not hardware.gpus_are_here:
        return [("device", f"this machine's CPU, by {source}; the GPUs with --device cuda")]
    if not hardware.gpus and answer.resolved.config.preset == CUSTOM.name:
        note = f"no NVIDIA GPU ({hardware.gpu_note}); --gpus plans for another machine"
        return [("device", f"this machine's CPU: {note}")]
    return []


def _fraction(answer: PlanAnswer) -> str:
    """The fraction, where it comes from, and what the engine's own would give."""
    plan, own, field = answer.plan, answer.own, answer.plan.fraction_field
    choice = f"{answer.engine_name}'s own choice"
    if plan.settings.kv_cache_bytes is not None:
        return f"none: the KV cache has {human_bytes(plan.settings.kv_cache_bytes)}, as asked for"
    if getattr(answer.resolved.config, field) is None:
        return f"{plan.fraction:g}, {choice}"
    source = answer.resolved.sources[field]
    given = f"{plan.fraction:g}, by {describe_source(field, source)}"
    if own is None:
        return f"{given}; {choice} is the same"
    would = f"{own.kv_cache_tokens:,} tokens" if own.kv_cache_tokens else "no token"
    return f"{given}; {choice}, {own.fraction:g}, would give {would}"


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
                f"The {plan.fraction_name} of {plan.fraction:g} is above the engine's own choice, "
                f"{plan.own_fraction:g}: graphs or a long prefill may run out of memory.",
                "yellow",
            )
        )
    return texts


def _notes(answer: PlanAnswer) -> list[Text]:
    """What else has to be known before the plan is believed."""
    plan, texts = answer.plan, []
    is_capped = plan.kv_cache_tokens == plan.settings.max_total_tokens
    if plan.device.kind == "cpu" and plan.settings.tp_size > 1 and not is_capped:
        texts.append(
            Text(
                f"On a CPU each of the {plan.settings.tp_size} ranks makes a KV cache of that size "
                f"in the same memory ({answer.engine} measures it as if it had it alone): set "
                "--max-total-tokens.",
                "yellow",
            )
        )
    if answer.untaken is not None:
        text = describe_untaken(answer.untaken)
        if answer.untaken_plan is not None:
            text += f" With it: {answer.untaken_plan.kv_cache_tokens:,} tokens of KV cache."
        texts.append(Text(text, "yellow"))
    return texts


def _show_changes(out: Console, changes: tuple[Change, ...]) -> None:
    """What, the tokens that follow, and the flags: beside each other, or below where too wide."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim", no_wrap=True)
    for change in changes:
        style = "green" if change.plan.verdict is Verdict.FITS else "yellow"
        table.add_row(
            Text(f"  {change.what}"),
            Text(_tokens_of(change), style),
            Text(change.flags),
        )
    if Measurement.get(out, out.options.update(max_width=1000), table).maximum <= out.width:
        out.print(table)
        return
    for change in changes:
        style = "green" if change.plan.verdict is Verdict.FITS else "yellow"
        tokens = (_tokens_of(change), style)
        out.print(Text.assemble(f"  {change.what}: ", tokens))
        out.print(Text(f"    {change.flags}", "dim"), soft_wrap=True)


def _tokens_of(change: Change) -> str:
    just = ", just fits" if change.plan.verdict is Verdict.JUST_FITS else ""
    return f"{change.plan.kv_cache_tokens:,} tokens{just}"


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
    table = Table(box=None, pad_edge=False, header_style="dim", collapse_padding=True)
    table.add_column("", no_wrap=True)
    for machine in machines:
        table.add_column(machine.replace("-80GB", ""), justify="right", no_wrap=True)
    for model, of_model in groupby(cells, key=lambda cell: cell.model):
        table.add_row(Text(model.partition("/")[2]), *(_cell_text(cell.plan) for cell in of_model))
    of_one = cells[: len(machines)]
    fractions = (Text(f"{cell.plan.fraction:g}", "dim") for cell in of_one)
    table.add_row(Text("static fraction", "dim"), *fractions)
    out.print(table)
    others = " and ".join(
        f"preset {preset.name} sets {preset.fields['mem_fraction_static']:g}"
        for preset in PRESETS.values()
        if "mem_fraction_static" in preset.fields
    )
    out.print(
        "\nThousands of tokens in the KV cache, EAGLE with the model's own NextN layer. "
        "[green]Green[/]: the model's whole context. [yellow]Yellow[/], with <: less of it; with "
        "~: what CUDA and NCCL take decides. -: does not fit.\nThe static fraction is SGLang's "
        "own choice on each machine, the same "
        f"for each model; {others}, which `plan MODEL --gpus COUNTxNAME` says.",
        highlight=False,
        soft_wrap=not out.is_terminal,
    )


def _cell_text(plan: MemoryPlan) -> Text:
    if plan.verdict is Verdict.DOES_NOT_FIT:
        return Text("-", "red")
    mark = {Verdict.LESS_CONTEXT: "<", Verdict.JUST_FITS: "~"}.get(plan.verdict, "")
    style = "green" if plan.verdict is Verdict.FITS else "yellow"
    return Text(f"{mark}{plan.kv_cache_tokens // 1000:,}k", style)

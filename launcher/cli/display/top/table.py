"""All servers, a line each. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from rich.text import Text

from launcher.cli.display.states import STATE_COLOURS
from launcher.cli.display.top import words
from launcher.cli.display.top.detail import KIND_COLOURS
from launcher.live.snapshot import ServerSnapshot

# Titles and widths; the name takes what is left.
_COLUMNS: Final[tuple[tuple[str, int], ...]] = (
    *(("STATE", 9), ("RUN", 4), ("WAIT", 4), ("TOK/S", 6), ("ACCEPT", 6), ("SPEC", 5)),
    *(("FIRST", 7), ("TOKEN", 7), ("KV", 5), ("CPU", 5)),
)
_LEFT: Final = frozenset({"STATE"})
_LEAST_NAME: Final = 10
# A name may be so long before it costs a column.
_NAME: Final = 16


def table(servers: Sequence[ServerSnapshot], selected: str, width: int) -> list[Text]:
    """A head and a line for each server, none wider than the terminal.

    Args:
        servers: in their order.
        selected: name of the one that is shown below.
        width: of the terminal.
    """
    columns = list(_COLUMNS)
    longest = max([len(_label(one)) for one in servers] + [_LEAST_NAME])
    while columns and min(longest, _NAME) + sum(size + 1 for _, size in columns) > width - 2:
        columns.pop()
    name_width = min(longest, width - 2 - sum(size + 1 for _, size in columns))
    head = f"  {'NAME':<{name_width}}"
    for title, size in columns:
        head += f" {title:<{size}}" if title in _LEFT else f" {title:>{size}}"
    lines = [Text(head, style="dim", no_wrap=True)]
    for server in servers:
        is_it = server.name == selected
        line = Text("> " if is_it else "  ", no_wrap=True, overflow="ellipsis")
        label = _label(server)
        shown = label if len(label) <= name_width else f"{label[: name_width - 1]}…"
        line.append(f"{shown:<{name_width}}", style="bold" if is_it else "")
        for title, size in columns:
            text, style = _CELLS[title](server)
            cell = f"{text[:size]:<{size}}" if title in _LEFT else f"{text:>{size}}"
            line.append(" ")
            line.append(cell, style=style)
        lines.append(line)
    return lines


def _label(server: ServerSnapshot) -> str:
    # A server elsewhere is called by its address.
    return server.name.rpartition("//")[2] if server.role == "remote" else server.name


def _state(server: ServerSnapshot) -> tuple[str, str]:
    return server.state, STATE_COLOURS.get(server.state, "")


def _waiting(server: ServerSnapshot) -> tuple[str, str]:
    waiting = server.figures.waiting_requests
    return words.count(waiting), "yellow" if waiting else ""


def _acceptance(server: ServerSnapshot) -> tuple[str, str]:
    acceptance = server.figures.acceptance
    shown = acceptance.window if acceptance.window is not None else acceptance.since_start
    decayed = server.verdict is not None and server.verdict.has_decayed
    return words.length(shown), "red" if decayed else ""


def _verdict(server: ServerSnapshot) -> tuple[str, str]:
    verdict = server.verdict
    if verdict is None:
        return words.NONE, ""
    if verdict.kind == "off":
        return "off", ""
    if verdict.kind == "unknown":
        return "?", "yellow"
    return words.times(verdict.speedup), KIND_COLOURS[verdict.kind]


def _cache(server: ServerSnapshot) -> tuple[str, str]:
    used = server.figures.kv_used_fraction
    return words.percent(used), "yellow" if (used or 0) >= 0.9 else ""


def _cpu(server: ServerSnapshot) -> tuple[str, str]:
    cores = server.usage.cpu_cores
    return words.NONE if cores is None else f"{cores:.2f}", ""


_CELLS: Final[dict[str, Callable[[ServerSnapshot], tuple[str, str]]]] = {
    "STATE": _state,
    "RUN": lambda one: (words.count(one.figures.running_requests), ""),
    "WAIT": _waiting,
    "TOK/S": lambda one: (words.rate(one.figures.output_tokens_per_second), ""),
    "ACCEPT": _acceptance,
    "SPEC": _verdict,
    "FIRST": lambda one: (words.latency(one.figures.time_to_first_token_seconds.p50), ""),
    "TOKEN": lambda one: (words.latency(one.figures.time_per_output_token_seconds.p50), ""),
    "KV": _cache,
    "CPU": _cpu,
}

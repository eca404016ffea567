"""One server in lines, of which the most important come first. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from launcher.cli.display.states import STATE_COLOURS
from launcher.cli.display.top import words
from launcher.live.snapshot import ServerSnapshot
from launcher.metrics.figures import Quantiles
from launcher.metrics.verdict import Verdict
from launcher.text import human_bytes

KIND_COLOURS: Final = {
    "pays": "green",
    "does not pay": "red",
    "even": "yellow",
    "unknown": "yellow",
    "off": "",
}
_LABEL: Final = 14
_FULL: Final = 0.9
# Longer ones are hard to read.
_LONGEST_LINE: Final = 100
_LEAST_SPARKS: Final = 8
_MOST_SPARKS: Final = 120
# Room for the ends of a scale: "   0 to 12,345".
_SCALE: Final = 18


@dataclass(frozen=True, slots=True)
class Room:
    """What a terminal offers: its width in characters, and whether it knows only ASCII."""

    width: int
    ascii_only: bool = False


def detail(server: ServerSnapshot, room: Room) -> list[Text]:
    """What a server does now, one line each; `course` has what it did before."""
    return [_head(server), *_sentence(server, room), Text(""), *_lines(server, room)]


def _head(server: ServerSnapshot) -> Text:
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append(server.name, style="bold")
    head.append("  ")
    head.append(server.state, style=STATE_COLOURS.get(server.state, ""))
    if server.phase:
        head.append(f" ({server.phase})")
    if server.seconds_since_start is not None:
        head.append(f" for {words.age(server.seconds_since_start)}")
    facts = (
        server.model,
        server.engine,
        server.speculation if server.speculation not in {"", "off"} else "",
        server.url if server.url != server.name else "",
    )
    head.append("".join(f"  {fact}" for fact in facts if fact), style="dim")
    return head


def _sentence(server: ServerSnapshot, room: Room) -> Iterator[Text]:
    verdict = server.verdict
    if verdict is None:
        text, style = (server.problem, "yellow") if server.problem else ("", "")
    else:
        text, style = verdict.sentence, KIND_COLOURS[verdict.kind]
    for line in textwrap.wrap(text, min(_LONGEST_LINE, max(20, room.width - 1))):
        yield Text(line, style=style)


def _line(label: str, *parts: Text | str) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(f"{label:<{_LABEL}}", style="dim")
    for part in parts:
        line.append_text(Text(part) if isinstance(part, str) else part)
    return line


def _lines(server: ServerSnapshot, room: Room) -> Iterator[Text]:
    if server.verdict is not None:
        yield from _metrics(server, server.verdict, room)
    yield _supervisor(server)
    if server.alarm:
        yield _line("alarm", Text(server.alarm, style="yellow"))
    if server.last_failure:
        ago = server.last_failure_seconds_ago
        when = "" if ago is None else f"{words.age(ago)} ago: "
        yield _line("last failure", Text(f"{when}{server.last_failure}", style="yellow"))
    yield from _gpus(server)
    yield from _origin(server)


def _metrics(server: ServerSnapshot, verdict: Verdict, room: Room) -> Iterator[Text]:
    figures = server.figures
    if server.speculation != "off":
        yield _acceptance(server, verdict, room)
        yield _line("drafts", _drafts(server))
    waiting = figures.waiting_requests
    yield _line(
        "requests",
        f"{words.count(figures.running_requests)} running, ",
        Text(f"{words.count(waiting)} waiting", style="yellow" if waiting else ""),
        f"   expected wait {words.latency(figures.expected_wait_seconds)}"
        if waiting
        else f"   waited {words.latency(figures.queue_time_seconds.p50)} (median)",
        f"   {words.rate(figures.requests_per_second)} ended/s",
    )
    yield _line(
        "tokens",
        f"{words.rate(figures.output_tokens_per_second)}/s out   "
        f"{words.rate(figures.prompt_tokens_per_second)}/s in",
    )
    yield _line("first token", _quantiles(figures.time_to_first_token_seconds))
    yield _line("output token", _quantiles(figures.time_per_output_token_seconds))
    yield _cache(server, room)
    yield _hits(server)


def _hits(server: ServerSnapshot) -> Text:
    """What the cache saves, and what it costs where it is too small."""
    figures = server.figures
    hits, retractions = figures.prefix_hit_fraction, figures.retractions
    total = figures.totals.retractions
    return _line(
        "prefix hits",
        words.NONE if hits is None else f"{words.percent(hits)} of prompt tokens",
        "   retractions ",
        Text(words.count(retractions), style="yellow" if retractions else ""),
        f" ({words.count(total)} since its start)" if total else "",
    )


def _acceptance(server: ServerSnapshot, verdict: Verdict, room: Room) -> Text:
    acceptance = server.figures.acceptance
    style = "red" if verdict.has_decayed else ""
    shown = acceptance.window if acceptance.window is not None else acceptance.since_start
    parts: list[Text | str] = [
        Text(words.length(shown), style=style),
        " tokens a step" if acceptance.window is not None else " tokens a step, since its start",
    ]
    if verdict.baseline_acceptance_length is not None and verdict.baseline == "benchmark":
        parts.append(f"   benchmark {words.length(verdict.baseline_acceptance_length)}")
    elif acceptance.since_start is not None and acceptance.window is not None:
        parts.append(f"   since its start {words.length(acceptance.since_start)}")
    if verdict.needed_acceptance_length is not None:
        parts.append(f"   needs {words.length(verdict.needed_acceptance_length)}")
    if verdict.has_decayed:
        parts.append(Text("   decayed", style=style))
    used = _LABEL + sum(len(part) for part in parts)
    values = server.course.acceptance_length
    sparks = _sparks(values, _most_tokens(server), room, room.width - used - 4, lowest=1.0)
    if sparks:
        parts.append(Text(f"   {sparks}", style="cyan"))
    return _line("acceptance", *parts)


def _most_tokens(server: ServerSnapshot) -> float:
    """What a step gives at the most, where all its drafts are accepted."""
    known = [value for value in server.course.acceptance_length if value is not None]
    return max(server.figures.draft_tokens or 0.0, *known, 1.0)


def _sparks(
    values: Sequence[float | None], highest: float, room: Room, width: int, *, lowest: float
) -> str:
    if width < _LEAST_SPARKS or not any(value is not None for value in values):
        return ""
    return words.sparkline(
        values,
        min(width, _MOST_SPARKS),
        lowest=lowest,
        highest=highest,
        ascii_only=room.ascii_only,
    )


def course(server: ServerSnapshot, room: Room) -> list[Text]:
    """What the most telling figures were since the first look, where there is something to see."""
    told = server.course
    width = room.width - _LABEL - _SCALE
    rows = (
        (
            "acceptance",
            () if server.speculation == "off" else told.acceptance_length,
            1.0,
            _most_tokens(server),
            words.length,
        ),
        ("running", told.running_requests, 0.0, None, words.count),
        ("tokens out/s", told.output_tokens_per_second, 0.0, None, words.rate),
    )
    lines = []
    for label, values, lowest, most, said in rows:
        known = [value for value in values if value is not None]
        highest = most if most is not None else max([*known, 1.0])
        sparks = _sparks(values, highest, room, width, lowest=lowest)
        if sparks and len(values) > 1:
            scale = Text(f"   {said(lowest)} to {said(highest)}", style="dim")
            lines.append(_line(label, Text(sparks, style="cyan"), scale))
    if not lines:
        return []
    return [Text(""), Text(f"over {words.age(told.seconds)}", style="dim"), *lines]


def _drafts(server: ServerSnapshot) -> str:
    """Steps and tokens now, which adaptive speculation changes."""
    steps, tokens = server.figures.draft_steps, server.figures.draft_tokens
    if steps is None and tokens is None:
        return f"{server.speculation}; it does not report its steps"
    if not steps and not tokens:
        return f"{server.speculation}; none at the last report (plain, or nothing decoded yet)"
    return f"{words.count(steps)} steps, {words.count(tokens)} tokens to verify"


def _quantiles(quantiles: Quantiles) -> str:
    if quantiles.p50 is None:
        return words.NONE
    return (
        f"{words.latency(quantiles.p50):>8} median   {words.latency(quantiles.p90):>8} p90   "
        f"{words.latency(quantiles.p99):>8} p99"
    )


def _cache(server: ServerSnapshot, room: Room) -> Text:
    figures = server.figures
    used = figures.kv_used_fraction
    if used is None:
        return _line("KV cache", words.NONE)
    style = "yellow" if used >= _FULL else "green"
    full, empty = words.bar(used, 16, ascii_only=room.ascii_only)
    total = figures.kv_total_tokens
    parts: list[Text | str] = [
        Text(full, style=style),
        Text(empty, style="dim"),
        f" {words.percent(used)} used" + ("" if total is None else f" of {total:,.0f}"),
    ]
    if figures.kv_evictable_fraction is not None:
        parts.append(f"   {words.percent(figures.kv_evictable_fraction)} evictable")
    return _line("KV cache", *parts)


def _gpus(server: ServerSnapshot) -> Iterator[Text]:
    for gpu in server.usage.gpus:
        memory = (
            words.NONE
            if gpu.memory_used_bytes is None or gpu.memory_total_bytes is None
            else f"{human_bytes(gpu.memory_used_bytes)} of {human_bytes(gpu.memory_total_bytes)}"
        )
        power = "" if gpu.power_watts is None else f"   {gpu.power_watts:.0f} W"
        busy = f"{words.percent(gpu.utilisation)} busy"
        yield _line(f"GPU {gpu.index}", f"{memory}   {busy}{power}   {gpu.name}")


def _supervisor(server: ServerSnapshot) -> Text:
    restarts, cores = server.restarts, server.usage.cpu_cores
    said = f"{restarts} restart{'' if restarts == 1 else 's'}"
    parts: list[Text | str] = [Text(said, style="yellow" if restarts else "")]
    if server.routed is not None:
        parts.append(f"   gets requests: {'yes' if server.routed else 'no'}")
    if cores is not None:
        parts.append(f"   {cores:.2f} processor cores busy")
    return _line("supervisor", *parts)


def _origin(server: ServerSnapshot) -> Iterator[Text]:
    if server.verdict is None:
        return
    if server.problem:
        yield _line("figures", Text(server.problem, style="yellow"))
    seconds = server.figures.window_seconds
    source = "its files" if server.origin == "files" else "/metrics"
    newest = f", {words.age(server.age_seconds)} old" if (server.age_seconds or 0) >= 1 else ""
    yield _line("figures", Text(f"of {seconds:.0f} s, from {source}{newest}", style="dim"))

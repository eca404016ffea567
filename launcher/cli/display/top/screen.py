"""The whole screen in the room that there is. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from launcher.cli.display.top.detail import Room, course, detail
from launcher.cli.display.top.table import table
from launcher.cli.display.top.view import View, ordered, selected
from launcher.live.snapshot import ServerSnapshot, Snapshot
from launcher.text import terminal_safe

# Where there are many servers, the selected one still has so many lines.
_DETAIL_LINES = 12
NOTHING = "No server runs here. Start one: python -m launcher up"


def screen(
    snapshot: Snapshot | None, view: View, *, width: int, height: int, ascii_only: bool = False
) -> list[Text]:
    """Exactly as many lines as the terminal has.

    Args:
        snapshot: None before the first look has ended.
        view: what the person has chosen.
        width: of the terminal, in characters.
        height: in lines.
        ascii_only: whether it knows no other characters.
    """
    foot = _foot(view, width)
    if snapshot is None:
        return _filled([Text("Looking ...", style="dim")], foot, height)
    servers = ordered(snapshot.servers, view)
    lines = [_head(snapshot, view), Text("")]
    if not servers:
        lines.append(Text(NOTHING, no_wrap=True, overflow="ellipsis"))
    lines += [
        Text(terminal_safe(one), style="red", no_wrap=True, overflow="ellipsis")
        for one in snapshot.problems
    ]
    shown = selected(servers, view)
    if len(servers) > 1 and not view.alone and shown is not None:
        most = max(2, height - len(lines) - _DETAIL_LINES - 2)
        lines += [*_cut(table(servers, shown.name, width), servers, shown, most), Text("")]
    if shown is not None:
        room = Room(width, ascii_only)
        lines += detail(shown, room)
        past = course(shown, room)
        # All of it or nothing: a heading alone says nothing.
        lines += past if len(lines) + len(past) < height else []
    if len(lines) >= height:
        # What there is to read is worth more than room around it.
        lines = [line for number, line in enumerate(lines) if line.plain or number == 1]
    return _filled(lines, foot, height)


def _cut(
    lines: list[Text], servers: Sequence[ServerSnapshot], shown: ServerSnapshot, room: int
) -> list[Text]:
    """As many servers as there is room for, the selected one among them."""
    most = room - 1
    if len(servers) <= most:
        return lines
    place = next(number for number, one in enumerate(servers) if one.name == shown.name)
    first = min(max(0, place - most // 2), len(servers) - most)
    return [lines[0], *lines[1 + first : 1 + first + most]]


def _head(snapshot: Snapshot, view: View) -> Text:
    count = len(snapshot.servers)
    fleets = len({one.fleet for one in snapshot.servers if one.fleet})
    head = Text("top", style="bold", no_wrap=True, overflow="ellipsis")
    if view.paused:
        head.append("  paused", style="not bold yellow")
    head.append(f"  {snapshot.at[11:19]} UTC", style="not bold")
    if count > 1:
        of_fleets = f", {fleets} fleet{'' if fleets == 1 else 's'}" if fleets else ""
        head.append(f"   {count} servers{of_fleets}", style="not bold dim")
        head.append(f"   {_totals(snapshot)}", style="not bold")
    return head


def _totals(snapshot: Snapshot) -> str:
    """What all servers together have to do."""
    figures = [one.figures for one in snapshot.servers]
    running = sum(one.running_requests or 0 for one in figures)
    waiting = sum(one.waiting_requests or 0 for one in figures)
    tokens = sum(one.output_tokens_per_second or 0 for one in figures)
    return f"{running:.0f} running, {waiting:.0f} waiting, {tokens:,.0f}/s out"


def _foot(view: View, width: int) -> Text:
    keys = (
        ("q", "quit"),
        ("p", "go on" if view.paused else "pause"),
        ("s", f"sort ({view.sort})"),
        ("↑↓", "choose"),
        ("enter", "all" if view.alone else "one alone"),
    )
    foot = Text(no_wrap=True, overflow="ellipsis")
    for key, does in keys:
        foot.append(key, style="bold")
        foot.append(f" {does}   ", style="dim")
    foot.truncate(width)
    return foot


def _filled(lines: list[Text], foot: Text, height: int) -> list[Text]:
    """What is important stands above; what has no room is left out."""
    body = lines[: max(0, height - 1)]
    return [*body, *[Text("")] * (height - 1 - len(body)), foot]

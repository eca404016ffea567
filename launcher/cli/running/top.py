"""`top`: what servers and fleets do now, and whether speculation pays."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from launcher.cli.common import json_option, print_json, print_line, say
from launcher.cli.display import consoles
from launcher.cli.display.top.detail import Room, detail
from launcher.cli.display.top.lines import one_line
from launcher.cli.display.top.loop import show_live
from launcher.cli.display.top.screen import NOTHING
from launcher.cli.display.top.view import View, ordered
from launcher.engines.common.metrics import ASK_SECONDS
from launcher.live.looker import Looker
from launcher.live.snapshot import Snapshot
from launcher.live.watch import Watch
from launcher.live.web.server import page_server

_SECONDS: Final = 2.0
_PIPE_WIDTH: Final = 200


@click.command()
@click.argument("name", required=False)
@click.option("--once", is_flag=True, help="Look for one interval, show what it brought, and end.")
@click.option(
    "--interval",
    type=click.FloatRange(min=0.5, max=3600),
    default=_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Between two looks.",
)
@click.option(
    "--window",
    type=click.FloatRange(min=1, max=86400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time that rates and quantiles cover.",
)
@click.option(
    "--benchmark",
    type=click.Path(path_type=Path, exists=True),
    metavar="REPORT",
    help="Report, or its folder, to judge speculation by; unset: the newest of this machine.",
)
@click.option("--web", is_flag=True, help="Show it as a page, on this machine alone.")
@click.option(
    "--port",
    type=click.IntRange(min=0, max=65535),
    default=0,
    metavar="PORT",
    help="With --web: of the page; unset: any that is free.",
)
@json_option
def top(
    *,
    name: str | None,
    once: bool,
    interval: float,
    window: float,
    benchmark: Path | None,
    web: bool,
    port: int,
    as_json: bool,
) -> None:
    """Show what servers and fleets do now, and whether their speculation pays.

    NAME is a server or a fleet; without it all are shown.
    """
    if port and not web:
        raise click.UsageError("--port is for --web.")
    if web and (once or as_json):
        raise click.UsageError("--web shows a page: leave out --once and --json.")
    # One look more does not add up.
    ask_seconds = 0.0 if once else ASK_SECONDS
    watch = Watch(name, report=benchmark, window_seconds=window, ask_seconds=ask_seconds)
    watch.require()
    console = consoles.out()
    with contextlib.closing(watch):
        if once:
            watch.look()
            time.sleep(interval)
            snapshot = watch.look()
            if as_json:
                print_json(snapshot.as_data())
            else:
                _show_once(console, snapshot)
            return
        # Ctrl-C is how one ends it, and no failure.
        with contextlib.suppress(KeyboardInterrupt):
            if web:
                _show_page(watch, interval, port)
            elif as_json or not console.is_terminal:
                _show_lines(watch, interval, as_json=as_json)
            else:
                show_live(console, watch, interval)


def _show_once(console: Console, snapshot: Snapshot) -> None:
    """All servers in full, below each other."""
    for problem in snapshot.problems:
        say(problem, err=True)
    if not snapshot.servers:
        say(NOTHING)
    # Into a pipe nothing is cut short.
    width = console.width if console.is_terminal else _PIPE_WIDTH
    room = Room(width, ascii_only=console.options.ascii_only)
    for number, server in enumerate(ordered(snapshot.servers, View())):
        if number:
            console.print()
        for line in detail(server, room):
            console.print(line, soft_wrap=not console.is_terminal)


def _show_lines(watch: Watch, interval_seconds: float, *, as_json: bool) -> None:
    """A line a look for whoever reads a pipe, until the reader or Ctrl-C ends it."""
    following = time.monotonic()
    while True:
        snapshot = watch.look()
        if as_json:
            print_line(json.dumps(snapshot.as_data()))
        else:
            for problem in snapshot.problems:
                say(problem, err=True)
            for text in [one_line(one) for one in snapshot.servers] or [NOTHING]:
                say(f"{snapshot.at[11:19]}  {text}")
        sys.stdout.flush()
        following = max(following + interval_seconds, time.monotonic())
        time.sleep(max(0.0, following - time.monotonic()))


def _show_page(watch: Watch, interval_seconds: float, port: int) -> None:
    """Serve the page until Ctrl-C."""
    with Looker(watch, interval_seconds) as looker, page_server(looker, port) as server:
        say(f"http://127.0.0.1:{server.server_port}/")
        say("Ctrl-C ends it.", err=True)
        sys.stdout.flush()
        server.serve_forever()

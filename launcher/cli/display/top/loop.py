"""Looks, paints and listens: a thread looks, so that no key ever waits for a server."""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from rich.console import Console, Group
from rich.live import Live

from launcher.cli.display.top.keyboard import keys, read_keys
from launcher.cli.display.top.screen import screen
from launcher.cli.display.top.view import View, ordered, press
from launcher.live.looker import Looker
from launcher.live.snapshot import Snapshot
from launcher.live.watch import Watch

# Where neither a key nor a look wakes it.
_REST_SECONDS: Final = 5.0


def show_live(console: Console, watch: Watch, interval_seconds: float) -> None:
    """Fill the terminal until the person quits."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)

    def wake() -> None:
        with contextlib.suppress(OSError):
            os.write(write_end, b".")

    view = View()
    shown: Snapshot | None = None
    with (
        Live(console=console, screen=True, auto_refresh=False, redirect_stderr=False) as live,
        keys() as keyboard,
        _woken_by_resizing(wake),
        Looker(watch, interval_seconds, wake) as looker,
    ):
        while not view.over:
            looker.check()
            if not view.paused:
                shown = looker.newest
            _paint(live, console, shown, view)
            heard = _wait(read_end, keyboard)
            if heard is None:
                return
            servers = ordered(shown.servers, view) if shown else []
            for key in heard:
                view = press(key, view, servers)


def _paint(live: Live, console: Console, shown: Snapshot | None, view: View) -> None:
    width, height = console.size
    lines = screen(shown, view, width=width, height=height, ascii_only=console.options.ascii_only)
    live.update(Group(*lines), refresh=True)


def _wait(woken: int, keyboard: int | None) -> list[str] | None:
    """Wait for something to do; the keys that were pressed, None where the terminal has gone."""
    watched = [woken, *([] if keyboard is None else [keyboard])]
    ready, _, _ = select.select(watched, [], [], _REST_SECONDS)
    if woken in ready:
        os.read(woken, 4096)
    return read_keys(keyboard) if keyboard is not None and keyboard in ready else []


@contextlib.contextmanager
def _woken_by_resizing(wake: Callable[[], None]) -> Iterator[None]:
    def on_resize(_number: int, _frame: FrameType | None) -> None:
        wake()

    before = signal.signal(signal.SIGWINCH, on_resize)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)

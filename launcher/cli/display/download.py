"""A download as a person sees it: one line for all of it, and one for each file in work."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from launcher.models.download.events import (
    FileProgress,
    FileVerified,
    FileWrong,
    PullEvent,
    PullFinished,
    PullProgress,
    PullResolved,
    PullRetries,
    PullWaits,
)
from launcher.models.store import LocalModel
from launcher.text import human_bytes, human_seconds, short_path

BAR_WIDTH: Final = 24
SHORT_COMMIT: Final = 12


def pace(progress: PullProgress | FileProgress) -> str:
    """'210.0 MiB/s, 7 min 30 s left', as far as it is known."""
    if progress.bytes_per_second is None or progress.done_bytes >= progress.total_bytes:
        return ""
    rate = f"{human_bytes(progress.bytes_per_second)}/s"
    if progress.seconds_left is None:
        return rate
    return f"{rate}, {human_seconds(progress.seconds_left)} left"


def download_note(event: PullEvent) -> str | None:
    """A sentence on what is worth one."""
    if isinstance(event, PullWaits):
        who = f" (process {event.pid})" if event.pid else ""
        return f"Another download of this model runs{who}; waiting for it."
    if isinstance(event, FileWrong):
        return f"{event.path} is not what the hub has: {event.found}, not {event.expected}."
    if isinstance(event, PullRetries):
        return f"{event.problem}; again in {human_seconds(event.pause_seconds)}."
    return None


class PullDisplay:
    """Shows a download. Use `show` for its time and feed it events."""

    def __init__(self, err: Console, *, quiet: bool = False) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=BAR_WIDTH),
            TextColumn("{task.fields[amount]}", style="cyan"),
            TextColumn("{task.fields[pace]}"),
            console=err,
            disable=quiet or not err.is_terminal,
        )
        self._tasks: dict[str, TaskID] = {}
        self._verified = 0

    def show(self) -> AbstractContextManager[object]:
        """Draw until the block is left."""
        return self._progress

    def feed(self, event: PullEvent) -> None:
        """Show one event."""
        if isinstance(event, PullProgress):
            self._draw("all files", event)
            active = {file.path: file for file in event.files}
            for path in set(self._tasks) - set(active) - {"all files"}:
                self._progress.remove_task(self._tasks.pop(path))
            for path, file in active.items():
                self._draw(path, file)
        elif isinstance(event, PullResolved):
            self._say(
                f"{event.repository} at {event.commit[:SHORT_COMMIT]} ({event.revision}): "
                f"{event.files} files, {human_bytes(event.total_bytes)}."
            )
        elif isinstance(event, FileVerified) and not event.fetched_bytes:
            self._say(f"{event.path}: as the hub has it.")
        elif (sentence := download_note(event)) is not None:
            self._say(sentence)

    def _draw(self, name: str, progress: PullProgress | FileProgress) -> None:
        if name not in self._tasks:
            # The name of a file is somebody else's text, and might be markup.
            label = Text(name if len(name) <= 40 else f"{name[:18]}…{name[-21:]}").markup
            self._tasks[name] = self._progress.add_task(label, amount="", pace="")
        self._progress.update(
            self._tasks[name],
            completed=progress.done_bytes,
            total=progress.total_bytes,
            amount=f"{human_bytes(progress.done_bytes)} of {human_bytes(progress.total_bytes)}",
            pace=pace(progress),
        )

    def _say(self, sentence: str) -> None:
        if not self._progress.disable:
            self._progress.console.print(sentence, highlight=False, markup=False)


def show_finished(out: Console, event: PullFinished) -> None:
    """What is here now; for a program that reads the output, the folder alone."""
    if not out.is_terminal:
        out.print(event.folder, soft_wrap=True, highlight=False, markup=False)
        return
    how = "each verified by its hash" if event.by_hash else "checked by size: no hashes are known"
    came = "nothing had to be fetched"
    if event.fetched_bytes:
        came = f"{human_bytes(event.fetched_bytes)} came in {human_seconds(event.seconds)}"
    out.print(
        f"{event.repository} at {event.commit[:SHORT_COMMIT]} is here: {event.files} files, "
        f"{human_bytes(event.total_bytes)}, {how}; {came}.\n{short_path(Path(event.folder))}",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def show_models(out: Console, models: list[LocalModel]) -> None:
    """One line for each model."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for title in ("MODEL", "REVISION", "COMMIT", "SIZE", "VERIFIED", "WHERE"):
        table.add_column(title, overflow="fold", no_wrap=title != "WHERE")
    for model in models:
        verified = "no"
        if model.verified_at is not None:
            verified = f"{model.verified_at.astimezone():%Y-%m-%d %H:%M}"
        table.add_row(
            Text(model.repository),
            Text(", ".join(model.names) or "-"),
            model.commit[:SHORT_COMMIT] or "-",
            human_bytes(model.size_bytes),
            Text(verified) if model.missing is None else Text("not whole", style="red"),
            Text("the hub's cache" if model.in_cache else short_path(model.folder)),
        )
    out.print(table)
    for model in models:
        if model.missing is not None:
            out.print(
                f"\n{model.repository}: {model.missing} `python -m launcher pull "
                f"{model.repository}` goes on.",
                highlight=False,
                markup=False,
            )

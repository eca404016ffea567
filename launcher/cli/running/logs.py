"""`logs`: what a server printed, or what happened to it, over all the files of its log."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from datetime import UTC, datetime, timedelta
from datetime import time as time_of_day
from typing import Final

import click

from launcher.cli.common import cannot_print, name_option, require_record, say
from launcher.errors import StateError
from launcher.logs.files import Judge, LogReader
from launcher.state.store import RunStore
from launcher.system.files import cannot_read

DEFAULT_LINES: Final = 100
FOLLOW_SECONDS: Final = 0.1
_UNIT_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION: Final = re.compile(r"(?:\d+(?:\.\d+)?[smhd])+")
_DURATION_PART: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_TIME_OF_DAY: Final = re.compile(r"\d\d?:\d\d(:\d\d)?")
# "[2026-11-23 15:14:20] ", "[2026-11-23 15:14:20.123 TP1] ": sglang, srt/utils/common.py,
# `configure_logger`, and uvicorn with the same date.
_LINE_TIME: Final = re.compile(rb"\[(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")
_LINE_TIME_FORMAT: Final = "%Y-%m-%d %H:%M:%S"


class Since(click.ParamType[datetime]):
    """A time of the past, given as such or as a duration."""

    name = "since"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """The time, with a zone."""
        if isinstance(value, datetime):
            return value
        try:
            return parse_since(str(value), datetime.now(UTC))
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is neither a duration (90s, 10m, 2h, 1h30m, 1d) nor a time "
                "(10:00, 2026-11-23, 2026-11-23T10:00).",
                param,
                ctx,
            )


def parse_since(text: str, now: datetime) -> datetime:
    """When '10m', '1h30m', '10:00' or '2026-11-23T10:00' was.

    A time without a zone is local. A time of day is the last one that was not after `now`.

    Args:
        text: what a person wrote.
        now: with a zone.

    Returns:
        A time with a zone.

    Raises:
        ValueError: it is none of these.
        OverflowError: it is longer ago than the calendar goes back.
    """
    if _DURATION.fullmatch(text):
        parts = _DURATION_PART.findall(text)
        seconds = sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)
        return now - timedelta(seconds=seconds)
    if _TIME_OF_DAY.fullmatch(text):
        clock = time_of_day.fromisoformat(text.zfill(5) if text.count(":") == 1 else text.zfill(8))
        today = now.astimezone().date()
        at = datetime.combine(today, clock).astimezone()
        return at if at <= now else datetime.combine(today - timedelta(days=1), clock).astimezone()
    return datetime.fromisoformat(text).astimezone()


def judge_lines(since: datetime) -> Judge:
    """Judges lines of the server by the local time, to the second, at their beginning."""
    # Both are of one shape, so that their order is that of their letters.
    earliest = since.astimezone().strftime(_LINE_TIME_FORMAT).encode()

    def judge(line: bytes) -> bool | None:
        match = _LINE_TIME.match(line)
        return None if match is None else match[1] >= earliest

    return judge


def judge_events(since: datetime) -> Judge:
    """Judges events by their field `at`."""

    def judge(line: bytes) -> bool | None:
        try:
            at = datetime.fromisoformat(json.loads(line)["at"]).astimezone()
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return None  # an older version's, or cut by a full disk
        return at >= since

    return judge


@click.command()
@name_option
@click.option("-f", "--follow", is_flag=True, help="Go on as the server prints.")
@click.option(
    "-n",
    "--lines",
    type=click.IntRange(min=0),
    help=f"How many of the last lines.  [default: {DEFAULT_LINES}, or all with --since]",
)
@click.option(
    "--since",
    type=Since(),
    metavar="TIME",
    help="Only from then on: 90s, 10m, 2h, 10:00, 2026-11-23T10:00. Looks into earlier runs too.",
)
@click.option("--events", is_flag=True, help="The launcher's events, as JSON lines.")
@click.option("--raw", is_flag=True, help="As it was printed, with what a terminal acts on.")
def logs(
    *, name: str, follow: bool, lines: int | None, since: datetime | None, events: bool, raw: bool
) -> None:
    """Print what a server printed.

    Colours are left out, and what else a terminal would act on is written out, unless --raw.
    """
    store = RunStore(name)
    record = require_record(store)
    # By the server's name: what the record says of files is for people.
    file = store.events_file if events else store.log_file
    # The files of earlier runs were last written before this one began. Events are in one file.
    this_run_only = since is None and not events
    try:
        with LogReader(
            file, written_since=record.started_at.timestamp() if this_run_only else 0.0
        ) as reader:
            if since is not None:
                judge = judge_events(since) if events else judge_lines(since)
                reader.skip_to(judge, written_since=since.timestamp())
            if lines is not None or since is None:
                reader.skip_to_last(DEFAULT_LINES if lines is None else lines)
            _print(reader, store, follow=follow, raw=raw)
    except BrokenPipeError:
        _end_quietly()
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            raise cannot_read(file, error) from error
        raise StateError(
            f"{file} cannot be read: {error.strerror}.", action="Start the server first."
        ) from error


def _print(reader: LogReader, store: RunStore, *, follow: bool, raw: bool) -> None:
    while True:
        # Asked before the read: what is printed last must not be lost.
        current = store.read() if follow else None
        is_running = current is not None and current.is_running
        for block in reader.read(to_the_end=not is_running):
            _write(block, raw=raw)
        if not is_running:
            return
        time.sleep(FOLLOW_SECONDS)


def _write(block: bytes, *, raw: bool) -> None:
    if not raw:
        # What is no UTF-8 is written out, as an escape sequence is.
        say(block.decode("utf-8", "backslashreplace"), end="")
        return
    try:
        click.echo(block, nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_print(error) from error


def _end_quietly() -> None:
    """End as programs do whose reader, such as `head`, has had enough."""
    # Python would flush once more at its end, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

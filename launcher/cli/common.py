"""Options and output that several commands share."""

from __future__ import annotations

import contextlib
import json
from typing import Final

import click

from launcher.errors import NotRunningError, OutputError, SpecserveError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore, list_stores
from launcher.state.traces import find_trace
from launcher.text import terminal_safe

EXIT_INTERRUPTED: Final = 130

name_option = click.option(
    "--name",
    default="default",
    envvar="SPECSERVE_NAME",
    show_default=True,
    metavar="NAME",
    help="Which server.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def say(*pieces: str | tuple[str, str], err: bool = False, end: str = "\n") -> None:
    """Print words for people; a stranger's are made safe for their terminal here.

    Args:
        pieces: parts of one text; one with a second string has that colour.
        err: on standard error, where it is no failure that nobody can be told.
        end: what follows.

    Raises:
        OutputError: standard output takes nothing.
    """
    coloured = [(piece, None) if isinstance(piece, str) else piece for piece in pieces]
    shown = [
        click.style(terminal_safe(text), fg=colour) if colour else terminal_safe(text)
        for text, colour in coloured
    ]
    if err:
        with contextlib.suppress(OSError):
            click.echo("".join(shown) + end, nl=False, err=True)
        return
    print_line("".join(shown), end=end)


def print_line(text: str, *, end: str = "\n") -> None:
    """Print a line as it is, for programs.

    Raises:
        OutputError: standard output takes nothing.
        BrokenPipeError: whoever reads has had enough.
    """
    try:
        click.echo(text + end, nl=False)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise cannot_print(error) from error


def cannot_print(error: OSError) -> OutputError:
    """The error for a standard output that takes nothing."""
    return OutputError(
        f"Standard output cannot be written: {error.strerror}.",
        action="What was asked for may have been done: `python -m launcher status` shows it. Free "
        "space where the output goes, or send it elsewhere.",
    )


def print_json(value: object) -> None:
    """Print one JSON document.

    Raises:
        OutputError: standard output takes nothing.
    """
    print_line(json.dumps(value, indent=2))


def require_record(store: RunStore) -> RunRecord:
    """The record of the last run.

    Raises:
        NotRunningError: there was none.
        StateError: it cannot be read.
    """
    record = store.read()
    if record is None:
        raise never_started(store)
    return record


def tell_set_aside(store: RunStore) -> None:
    """Name what was found in the place of the store's files."""
    for sentence in store.was_set_aside():
        say(sentence, err=True)


def never_started(store: RunStore) -> NotRunningError:
    """The error for a name that no server ever had, or that has lost its record."""
    if (trace := find_trace(store)) is not None:
        return NotRunningError(
            f"There is no record of the server {store.name!r}. {trace.problem}",
            action=trace.action,
        )
    known = ", ".join(other.name for other in list_stores())
    return NotRunningError(
        f"No server named {store.name!r} was ever started here.",
        action=f"Known names: {known}." if known else "Start one: `python -m launcher up`.",
    )


def show_failure(error: SpecserveError, *, as_json: bool) -> None:
    """Print an error: one line of JSON on standard output, or words on standard error."""
    if as_json:
        # One line, since it may follow events, which are one line each.
        fields = {
            "error": type(error).__name__,
            "exit_code": error.exit_code,
            "problem": error.problem,
            "action": error.action,
            "evidence": error.evidence,
        }
        print_line(json.dumps(fields))
        return
    from launcher.cli.display import consoles  # noqa: PLC0415
    from launcher.cli.display.progress import show_error  # noqa: PLC0415

    show_error(consoles.err(), error)

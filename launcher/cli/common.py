"""Options and output that several commands share."""

from __future__ import annotations

import json
from typing import Final

import click

from launcher.errors import NotRunningError, SpecserveError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore, list_stores

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


def print_json(value: object) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(value, indent=2))


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


def never_started(store: RunStore) -> NotRunningError:
    """The error for a name that no server ever had."""
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
        click.echo(json.dumps(fields))
        return
    from launcher.cli.display import consoles  # noqa: PLC0415
    from launcher.cli.display.progress import show_error  # noqa: PLC0415

    show_error(consoles.err(), error)

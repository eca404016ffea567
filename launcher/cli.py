"""The command line: arguments become calls, results become output, errors become exit codes.

What is heavy is imported by the command that needs it, so that `status` answers at once.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from launcher.cli_common import (
    EXIT_INTERRUPTED,
    json_option,
    name_option,
    never_started,
    print_json,
    require_record,
    show_failure,
)
from launcher.errors import LauncherError, NotRunningError, StateError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore, list_stores
from launcher.text import human_seconds

FOLLOW_SECONDS: Final = 0.1
SCRIPT_NAME: Final = "specserve"
MODULE_NAME: Final = "python -m launcher"
COMPLETION_VARIABLE: Final = "_SPECSERVE_COMPLETE"
LAZY_COMMANDS: Final[Mapping[str, str]] = {
    "up": "launcher.cli_start",
    "config": "launcher.cli_start",
    "plan": "launcher.cli_plan",
    "doctor": "launcher.cli_doctor",
    "logs": "launcher.cli_logs",
    "models": "launcher.cli_models",
    "pull": "launcher.cli_models",
    "service": "launcher.cli_service",
}
STATE_COLOURS: Final[Mapping[str, str]] = {
    "READY": "green",
    "STARTING": "yellow",
    "UNHEALTHY": "yellow",
    "BACKOFF": "yellow",
    "STOPPING": "yellow",
    "EXITED": "red",
    "FATAL": "red",
    "DEAD": "red",
    "ORPHANED": "red",
}


class LazyGroup(click.Group):
    """Imports a command when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, for `--help` and completion."""
        own = super().list_commands(ctx)
        return [
            *("doctor", "plan", "pull", "models", "up"),
            *own,
            *("logs", "config", "service"),
        ]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported where need be."""
        if cmd_name in LAZY_COMMANDS:
            command = getattr(importlib.import_module(LAZY_COMMANDS[cmd_name]), cmd_name)
            assert isinstance(command, click.Command)  # noqa: S101  # our own table
            return command
        return super().get_command(ctx, cmd_name)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="specserve", prog_name="specserve")
def cli() -> None:
    """Serve a large language model with SGLang and speculative decoding.

    Exit codes: 2 usage, 10 to 17 configuration, 20 to 30 this machine,
    39 doctor found something red, 40 to 49 the server, 50 state folder,
    60 to 67 the model hub, 130 interrupted.
    """


@cli.command()
@name_option
@click.option("--all", "every", is_flag=True, help="Stop every server.")
@json_option
def down(*, name: str, every: bool, as_json: bool) -> None:
    """Stop a server and see that nothing of it is left."""
    from dataclasses import asdict  # noqa: PLC0415

    from launcher import consoles  # noqa: PLC0415
    from launcher.display import show_stop  # noqa: PLC0415
    from launcher.supervision.stop import stop_server  # noqa: PLC0415

    stores = list_stores() if every else [RunStore(name)]
    reports = []
    failures: list[LauncherError] = []
    for store in stores:
        try:
            report = stop_server(store)
        except LauncherError as error:
            # The others are stopped all the same.
            failures.append(error)
            continue
        reports.append(asdict(report))
        if not as_json:
            show_stop(consoles.out(), report)
    if as_json:
        print_json({"servers": reports, "errors": [error.problem for error in failures]})
    elif not stores:
        click.echo("No server was ever started here; nothing to stop.")
    _raise_first(failures)


@cli.command()
@click.option("--name", metavar="NAME", help="Only this server; exit code 42 unless it is READY.")
@json_option
def status(*, name: str | None, as_json: bool) -> None:
    """List the servers and their states."""
    stores = list_stores() if name is None else [RunStore(name)]
    records: list[RunRecord] = []
    failures: list[LauncherError] = []
    for store in stores:
        try:
            record = store.read()
        except StateError as error:
            failures.append(error)
            continue
        if record is not None:
            records.append(record)
    if as_json:
        servers = [
            record.model_dump(mode="json") | {"state": record.live_state} for record in records
        ]
        print_json({"servers": servers, "errors": [error.problem for error in failures]})
    else:
        if name is not None and not records and not failures:
            raise never_started(stores[0])
        if records or not failures:
            _print_servers(records)
    _raise_first(failures)
    if name is not None and (not records or records[0].live_state != "READY"):
        sys.exit(NotRunningError.exit_code)


@cli.command()
@name_option
@json_option
def restart(*, name: str, as_json: bool) -> None:
    """Stop a server and start it again with its recorded configuration."""
    from launcher import starting  # noqa: PLC0415
    from launcher.engines.launch import Launch  # noqa: PLC0415
    from launcher.models.download.request import Report  # noqa: PLC0415
    from launcher.preflight import checks, prepare  # noqa: PLC0415
    from launcher.supervision.stop import stop_server  # noqa: PLC0415
    from launcher.system.hardware import probe_hardware  # noqa: PLC0415

    store = RunStore(name)
    record = require_record(store)
    config = record.read_config()
    if record.is_running:
        checks.check_files(config)
    if record.is_supervised:
        starting.restart_supervised(record, config, store, as_json=as_json)
        return
    # What a killed supervisor left behind holds the port.
    stop_server(store)

    def check(report: Report) -> Launch:
        return prepare.prepare(
            config,
            probe_hardware(),
            secrets_file=store.secrets_file,
            detached=True,
            report=report,
            commit=record.model_commit,
        )

    starting.run_detached(config, store, check, starting.How(as_json=as_json))


@cli.command(hidden=True)
@name_option
@click.option("--adopt", is_flag=True)
def supervise(*, name: str, adopt: bool) -> None:
    """Supervise in the background; `up --detach` starts this."""
    from launcher.engines.launch import Launch  # noqa: PLC0415
    from launcher.starting import events_writer  # noqa: PLC0415
    from launcher.supervision.supervisor import Supervisor  # noqa: PLC0415

    launch = Launch.from_json(sys.stdin.read())
    store = RunStore(name)
    # The lock came with a descriptor, and is held for as long as this process lives.
    adopted = store.read() if adopt else None
    supervisor = Supervisor(launch, store, events_writer(store), adopted=adopted)
    supervisor.handle_signals()
    supervisor.run()


def main() -> None:
    """Run the command line; every failure becomes a message and an exit code."""
    arguments = sys.argv[1:]
    own_arguments = arguments[: arguments.index("--")] if "--" in arguments else arguments
    # Looked for here because an error may come before the flag was parsed.
    as_json = "--json" in own_arguments
    try:
        code = cli.main(args=arguments, prog_name=_program_name(), standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        if as_json:
            usage = {"error": "UsageError", "exit_code": error.exit_code}
            click.echo(json.dumps(usage | {"problem": error.format_message()}))
        else:
            error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(EXIT_INTERRUPTED)
    except LauncherError as error:
        show_failure(error, as_json=as_json)
        sys.exit(error.exit_code)


def _raise_first(failures: list[LauncherError]) -> None:
    """Show all failures but the first, and raise that one."""
    for error in failures[1:]:
        show_failure(error, as_json=False)
    if failures:
        raise failures[0]


def _program_name() -> str:
    """What people typed. Completion goes by the name of the installed script."""
    installed = Path(sys.argv[0]).name == SCRIPT_NAME
    return SCRIPT_NAME if installed or COMPLETION_VARIABLE in os.environ else MODULE_NAME


def _print_servers(records: list[RunRecord]) -> None:
    """One line per server. Plain columns: rich would double the time that `status` takes."""
    if not records:
        click.echo("No server has been started here yet. Start one: python -m launcher up")
        return
    rows = [("NAME", "STATE", "MODEL", "ENDPOINT", "PID", "STARTED", "RESTARTS")]
    for record in records:
        age = human_seconds(max(0.0, time.time() - record.started_at.timestamp()))
        pid = str(record.server.pid) if record.server else "-"
        rows.append(
            (
                record.name,
                record.live_state,
                record.served_model_name,
                f"{record.base_url}/v1",
                pid,
                f"{age} ago",
                str(record.restarts),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        cells[1] = click.style(cells[1], fg=STATE_COLOURS.get(row[1]))
        click.echo("  ".join(cells).rstrip())
    for record in records:
        if (note := _note(record)) is not None:
            click.echo(f"\n{record.name}: {note}")


def _note(record: RunRecord) -> str | None:
    """What a person should know of a server that is not simply well."""
    if record.live_state == "ORPHANED":
        how = "takes it over" if record.can_be_adopted else "starts it anew"
        why = record.last_failure if record.state == "FATAL" else "its supervisor was killed."
        return f"{why} `python -m launcher up --name {record.name}` {how}, `down` stops it."
    if record.state in {"BACKOFF", "FATAL", "EXITED"} or record.restarts:
        return record.last_failure
    return None

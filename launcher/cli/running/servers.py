"""`down`, `status` and `restart`: what is done to servers that were started."""

from __future__ import annotations

import contextlib
import sys
import time
from datetime import UTC, datetime
from typing import Any

import click

from launcher.cli.common import (
    json_option,
    name_option,
    never_started,
    print_json,
    require_record,
    say,
    show_failure,
    tell_set_aside,
)
from launcher.cli.display.states import STATE_COLOURS
from launcher.cli.running.table import print_table
from launcher.errors import (
    BrokenRecordError,
    ForeignStateError,
    LauncherError,
    NotRunningError,
    StateError,
)
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.state.store import RunStore, list_stores
from launcher.state.traces import Trace, find_trace, find_traces
from launcher.system.process import ProcessIdentity
from launcher.text import human_bytes, human_seconds


@click.command()
@name_option
@click.option("--all", "every", is_flag=True, help="Stop every server.")
@json_option
def down(*, name: str, every: bool, as_json: bool) -> None:
    """Stop a server and see that nothing of it is left."""
    from dataclasses import asdict  # noqa: PLC0415

    from launcher.cli.display import consoles  # noqa: PLC0415
    from launcher.cli.display.progress import show_stop  # noqa: PLC0415
    from launcher.supervision.stop import stop_server  # noqa: PLC0415

    stores = list_stores() if every else [RunStore(name)]
    if every:
        # A record that somebody has removed hides no server.
        stores += [trace.store for trace in find_traces()]
    reports = []
    failures: list[LauncherError] = []
    unsaid: OSError | None = None
    for store in stores:
        try:
            report = stop_server(store)
        except LauncherError as error:
            # The others are stopped all the same.
            failures.append(error)
            if isinstance(error, BrokenRecordError | ForeignStateError):
                _set_aside(store)
            continue
        reports.append(asdict(report))
        if as_json:
            continue
        try:
            show_stop(consoles.out(), report)
        except OSError as error:
            unsaid = error
    if as_json:
        print_json({"servers": reports, "errors": [error.problem for error in failures]})
    elif not stores:
        say("No server was ever started here; nothing to stop.")
    _raise_first(failures)
    if unsaid is not None:
        raise unsaid


@click.command()
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
    if name is None:
        traces = find_traces()
    else:
        traces = [trace for trace in (find_trace(stores[0]),) if trace is not None]
    if as_json:
        print_json(
            {
                "servers": [_as_json(record) for record in records],
                "unrecorded": [_trace_as_json(trace) for trace in traces],
                "errors": [error.problem for error in failures],
            }
        )
    else:
        if name is not None and not (records or failures or traces):
            raise never_started(stores[0])
        if records or not (failures or traces):
            _print_servers(records)
        for trace in traces:
            say(f"{trace.store.name}: {trace.problem} {trace.action}")
    _raise_first(failures)
    if name is not None and (not records or records[0].live_state != "READY"):
        sys.exit(NotRunningError.exit_code)


@click.command()
@name_option
@json_option
def restart(*, name: str, as_json: bool) -> None:
    """Stop a server and start it again with its recorded configuration."""
    from launcher.cli.display import starting  # noqa: PLC0415
    from launcher.engines.launch import Launch  # noqa: PLC0415
    from launcher.models.download.request import OnPullEvent  # noqa: PLC0415
    from launcher.preflight import checks, prepare  # noqa: PLC0415
    from launcher.supervision.stop import clear_up  # noqa: PLC0415
    from launcher.system.hardware import probe_hardware  # noqa: PLC0415

    store = RunStore(name)
    record = require_record(store)
    config = record.read_config()
    if record.elsewhere is not None:
        raise already_running(record, name)
    if record.is_running:
        checks.check_files(config)
    if record.is_supervised:
        starting.restart_supervised(record, config, store, as_json=as_json)
        return
    # What a killed supervisor left behind holds the port.
    clear_up(store)

    def check(report: OnPullEvent) -> Launch:
        return prepare.prepare(
            config,
            probe_hardware(),
            secrets_file=store.secrets_file,
            detached=True,
            report=report,
            commit=record.model_commit,
        )

    starting.run_detached(config, store, check, starting.StartOptions(as_json=as_json))


def _set_aside(store: RunStore) -> None:
    """Move a broken record out of the way, where nobody is at work there."""
    with contextlib.suppress(LauncherError):
        store.read_or_set_aside()
    tell_set_aside(store)


def _raise_first(failures: list[LauncherError]) -> None:
    """Show all failures but the first, and raise that one."""
    for error in failures[1:]:
        show_failure(error, as_json=False)
    if failures:
        raise failures[0]


def _print_servers(records: list[RunRecord]) -> None:
    """One line per server."""
    if not records:
        say("No server has been started here yet. Start one: python -m launcher up")
        return
    rows = [("NAME", "STATE", "MODEL", "ENDPOINT", "PID", "STARTED", "RESTARTS")]
    for record in records:
        age = _age(max(0.0, time.time() - record.started_at.timestamp()))
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
    states = [None, *(record.live_state for record in records)]

    def colour(row: int, column: int) -> str | None:
        return STATE_COLOURS.get(states[row] or "") if column == 1 else None

    print_table(rows, colour)
    for record in records:
        if (note := _note(record)) is not None:
            say(f"\n{record.name}: {note}")
    for record in records:
        if record.is_running and record.speculation_alarm:
            say(f"\n{record.name}: {record.speculation_alarm}")
    for record in records:
        if record.is_running and record.is_unread:
            say(
                f"\n{record.name}: nobody reads what the server prints, since its log's collector "
                "has ended; another takes its place within seconds, or with the next restart"
            )
    for record in records:
        if record.is_running and (stand_by := record.stand_by) is not None:
            takes = "" if stand_by.memory_bytes is None else human_bytes(stand_by.memory_bytes)
            how = f"is ready, {takes}" if stand_by.ready else "is getting ready"
            say(
                f"\n{record.name}: process {stand_by.process.pid} stands by for a restart; it {how}"
            )


def _age(seconds: float) -> str:
    """A duration in its largest unit alone, which is enough for a table."""
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size or (unit != "days" and seconds >= size):
            return f"{seconds // size:.0f} {unit}"
    return human_seconds(seconds)


def _as_json(record: RunRecord) -> dict[str, Any]:
    since = record.unwritten_since
    return record.model_dump(mode="json") | {
        "state": record.live_state,
        "elsewhere": record.elsewhere,
        "unwritten_since": None if since is None else since.isoformat(),
    }


def _trace_as_json(trace: Trace) -> dict[str, Any]:
    return {
        "name": trace.store.name,
        "supervisor_pid": trace.holder.pid if trace.holder and trace.holder.is_here else None,
        "pids": trace.pids,
        "problem": trace.problem,
        "action": trace.action,
    }


def _note(record: RunRecord) -> str | None:
    """What a person should know of a server that is not simply well."""
    if record.elsewhere is not None:
        return (
            f"runs {record.elsewhere}: its lock is held. `up`, `down` and `restart` work there, "
            "where it was started."
        )
    if (since := record.unwritten_since) is not None:
        return (
            f"its record could not be written since {since:%Y-%m-%d %H:%M:%S} UTC (is the disk of "
            f"{record.events_file.parent} full?), so this may be out of date."
        )
    if record.live_state == "ORPHANED":
        how = "takes it over" if record.can_be_adopted else "starts it anew"
        gave_up = record.state == "FATAL" and record.last_failure
        why = record.last_failure if gave_up else "its supervisor was killed."
        return f"{why} `python -m launcher up --name {record.name}` {how}, `down` stops it."
    if record.is_supervised and record.supervisor.is_stopped():
        return _stands_still(record.supervisor)
    if record.state in {"BACKOFF", "FATAL", "EXITED"}:
        return record.last_failure
    return _past_failure(record)


def _stands_still(supervisor: ProcessIdentity) -> str:
    if supervisor.is_traced():
        return f"a debugger holds its supervisor (process {supervisor.pid}), so nobody watches it."
    return (
        "its supervisor stands still (SIGSTOP), so nobody watches it: "
        f"`kill -CONT {supervisor.pid}`."
    )


def _past_failure(record: RunRecord) -> str | None:
    """The last failure of a server that is past it, and when that was; None where there is none."""
    if not record.last_failure:
        return None
    if (at := record.last_failure_at) is None:
        return f"last failure: {record.last_failure}"
    at = at.astimezone(UTC)
    day = "" if at.date() == datetime.now(UTC).date() else f"{at:%Y-%m-%d} "
    return f"last failure, {day}{at:%H:%M:%S} UTC: {record.last_failure}"

"""`up`: a configuration becomes a server."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from launcher.cli.common import EXIT_INTERRUPTED, json_option, print_json, say, tell_set_aside
from launcher.cli.display import starting
from launcher.cli.options.fields import config_options, resolve_options, resolve_untaken
from launcher.cli.options.spellings import ConfigCommand
from launcher.config.keys import read_keys
from launcher.config.server_config import ServerConfig
from launcher.config.sources import ResolvedConfig
from launcher.config.untaken import UntakenPreset, describe_untaken
from launcher.engines.launch import Launch
from launcher.engines.select import engine_of
from launcher.errors import AlreadyRunningError
from launcher.models.download.request import OnPullEvent
from launcher.preflight import prepare
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.state.store import RunStore
from launcher.supervision.stop import clear_up
from launcher.system.hardware import probe_hardware


@click.command(cls=ConfigCommand)
@config_options
@click.option("--detach", "-d", is_flag=True, help="Leave it running in the background.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Print the command and environment; start nothing. The file of --config, with the keys, "
    "is there only while a server starts.",
)
@click.option("--log-json", is_flag=True, help="Events as JSON lines on standard error.")
@json_option
def up(*, detach: bool, dry_run: bool, log_json: bool, as_json: bool, **options: Any) -> None:
    """Start a server and wait until it has generated a token.

    Where a server of that name runs whose supervisor was killed, it is taken over as it is.
    Arguments after `--` go to SGLang, checked against its own parser.
    """
    hardware = probe_hardware()
    resolved = resolve_options(options, probe=lambda: hardware)
    config = resolved.config
    untaken = resolve_untaken(options, resolved, probe=lambda: hardware)
    _warn_of_code(config)
    _tell_unread(config)
    store = RunStore(config.name)
    if dry_run:
        # What a start refuses for its keys is told here, too.
        read_keys(config, os.environ)
        command = prepare.plan_command(config, hardware, secrets_file=store.secrets_file)
        if as_json:
            print_json(
                {
                    "argv": command.argv,
                    "environment": dict(command.environment),
                    "preset": config.preset,
                    "preset_reason": resolved.preset_reason,
                    "preset_not_taken": untaken.as_json() if untaken else None,
                }
            )
        else:
            _say_preset(resolved, untaken)
            say(command.shell())
        return
    _say_preset(resolved, untaken)
    record = store.read_or_set_aside()
    tell_set_aside(store)
    adopted = None
    if record is not None and record.can_be_adopted:
        adopted = _same_configuration(record, config)
    else:
        make_way(store, record)

    def check(report: OnPullEvent) -> Launch:
        if adopted is not None:
            return prepare.prepare_adoption(
                adopted, hardware, secrets_file=store.secrets_file, detached=detach
            )
        return prepare.prepare(
            config, hardware, secrets_file=store.secrets_file, detached=detach, report=report
        )

    how = starting.StartOptions(as_json=as_json, log_json=log_json, adopted=adopted)
    if detach:
        starting.run_detached(config, store, check, how)
    elif not starting.run_in_foreground(config, store, check, how):
        sys.exit(EXIT_INTERRUPTED)


def _say_preset(resolved: ResolvedConfig, untaken: UntakenPreset | None) -> None:
    if resolved.sources["preset"].startswith("preset"):
        say(f"Preset {resolved.config.preset}: {resolved.preset_reason}.", err=True)
    if untaken is not None:
        say(describe_untaken(untaken), err=True)
    if resolved.taken:
        fields = ", ".join(f"{one.spelled} sets {one.field}" for one in resolved.taken)
        name, port = resolved.config.served_model_name, resolved.config.port
        say(f"Taken over: {fields}. Clients ask for model {name!r} at port {port}.", err=True)


def _warn_of_code(config: ServerConfig) -> None:
    """Whoever serves a model so may have the option from somebody else's definition."""
    if config.trust_remote_code:
        say(
            f"trust_remote_code is on: Python code that comes with {config.model_path} will run, "
            "with all that you may do on this machine.",
            err=True,
        )


def _tell_unread(config: ServerConfig) -> None:
    """Name variables that look like the engine's and do nothing: people copy them for years."""
    engine = engine_of(config)
    for name in sorted({*os.environ, *config.variables}):
        if (reason := engine.why_unread(name)) is not None:
            say(f"{name} is set, and {reason}.", err=True)


def _same_configuration(record: RunRecord, config: ServerConfig) -> RunRecord:
    """The record of a server that can be taken over, where it is the one that is asked for.

    Raises:
        AlreadyRunningError: it is another one.
    """
    known = record.read_config()
    differences = [
        field
        for field in ServerConfig.model_fields
        if getattr(known, field) != getattr(config, field)
    ]
    if differences:
        raise AlreadyRunningError(
            f"The server {record.name!r} runs at {record.base_url}, its supervisor was killed, and "
            f"its configuration is another one: {', '.join(differences)} differ.",
            action=f"Stop it with `python -m launcher down --name {record.name}`, or ask for it as "
            "it is to take it over.",
        )
    say(
        f"Server {record.name!r} runs at {record.base_url} although its supervisor was killed; "
        "taking it over.",
        err=True,
    )
    return record


def make_way(store: RunStore, record: RunRecord | None) -> None:
    """End what is left of a former run, and take back what its supervisor could not.

    Raises:
        AlreadyRunningError: its supervisor lives.
        StopError: a process does not die, so nothing new is started beside it.
    """
    if record is not None and record.is_supervised:
        raise already_running(record, store.name)
    if record is not None and record.is_orphaned:
        say(f"Ending what is left of server {store.name!r}, whose supervisor was killed.", err=True)
    if clear_up(store) and record is None:
        say(f"Ended what was left of server {store.name!r}, which had no record.", err=True)

"""The command line: arguments become calls, results become output, errors become exit codes.

What is heavy is imported by the command that needs it, so that `status` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Final

import click

from launcher.cli.common import name_option
from launcher.cli.shell import LazyGroup, run_command_line
from launcher.state.store import RunStore

LAZY_COMMANDS: Final[Mapping[str, str]] = {
    "doctor": "launcher.cli.checks.doctor",
    "diagnose": "launcher.cli.checks.diagnose",
    "plan": "launcher.cli.checks.plan",
    "pull": "launcher.cli.models",
    "models": "launcher.cli.models",
    "up": "launcher.cli.running.up",
    "down": "launcher.cli.running.servers",
    "restart": "launcher.cli.running.servers",
    "status": "launcher.cli.running.servers",
    "logs": "launcher.cli.running.logs",
    "top": "launcher.cli.running.top",
    "config": "launcher.cli.config",
    "engine": "launcher.cli.engines",
    "service": "launcher.cli.service.command",
    "export": "launcher.cli.service.export",
    "fleet": "launcher.cli.fleet",
}


@click.group(cls=LazyGroup, modules=LAZY_COMMANDS)
@click.version_option(package_name="specserve", prog_name="specserve")
def cli() -> None:
    """Serve a large language model with SGLang and speculative decoding.

    Exit codes: 2 usage, 10 to 19 configuration, 20 to 36 this machine,
    39 doctor found something red, 40 to 49 the server, 50 to 52 state folder, 53 and 54 a fleet,
    55 output, 60 to 68 the model hub, 130 interrupted.
    """


@cli.command(hidden=True)
@name_option
@click.option("--adopt", is_flag=True)
def supervise(*, name: str, adopt: bool) -> None:
    """Supervise in the background; `up --detach` starts this."""
    from launcher.cli.display.starting import events_writer  # noqa: PLC0415
    from launcher.engines.launch import Launch  # noqa: PLC0415
    from launcher.errors import LauncherError  # noqa: PLC0415
    from launcher.supervision.detached import say_last_word  # noqa: PLC0415
    from launcher.supervision.supervisor import Supervisor  # noqa: PLC0415

    launch = Launch.from_json(sys.stdin.read())
    store = RunStore(name)
    # The lock came with a descriptor, and is held for as long as this process lives.
    adopted = store.read() if adopt else None
    supervisor = Supervisor(launch, store, events_writer(store), adopted=adopted)
    supervisor.handle_signals()
    try:
        supervisor.run()
    except LauncherError as error:
        say_last_word(error)
        raise


def main() -> None:
    """Run the command line; every failure becomes a message and an exit code."""
    run_command_line(cli, script="specserve", module="python -m launcher")

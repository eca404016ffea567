"""The command line: arguments become calls, results become output, errors become exit codes.

What is heavy is imported by the command that needs it, so that `status` answers at once.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from launcher.cli.common import (
    EXIT_INTERRUPTED,
    name_option,
    show_failure,
)
from launcher.errors import LauncherError
from launcher.state.store import RunStore

SCRIPT_NAME: Final = "specserve"
MODULE_NAME: Final = "python -m launcher"
COMPLETION_VARIABLE: Final = "_SPECSERVE_COMPLETE"
LAZY_COMMANDS: Final[Mapping[str, str]] = {
    "down": "launcher.cli.servers",
    "status": "launcher.cli.servers",
    "restart": "launcher.cli.servers",
    "up": "launcher.cli.up",
    "config": "launcher.cli.up",
    "plan": "launcher.cli.plan",
    "doctor": "launcher.cli.doctor",
    "logs": "launcher.cli.logs",
    "models": "launcher.cli.models",
    "pull": "launcher.cli.models",
    "service": "launcher.cli.service.command",
}


class LazyGroup(click.Group):
    """Imports a command when it is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, for `--help` and completion."""
        return [
            *("doctor", "plan", "pull", "models", "up", "down", "restart", "status"),
            *super().list_commands(ctx),
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


@cli.command(hidden=True)
@name_option
@click.option("--adopt", is_flag=True)
def supervise(*, name: str, adopt: bool) -> None:
    """Supervise in the background; `up --detach` starts this."""
    from launcher.cli.display.starting import events_writer  # noqa: PLC0415
    from launcher.engines.launch import Launch  # noqa: PLC0415
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


def _program_name() -> str:
    """What people typed. Completion goes by the name of the installed script."""
    installed = Path(sys.argv[0]).name == SCRIPT_NAME
    return SCRIPT_NAME if installed or COMPLETION_VARIABLE in os.environ else MODULE_NAME

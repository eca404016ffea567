"""The command line: arguments become calls, results become output, errors become exit codes."""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click

from benchmarks.errors import BenchmarkError
from launcher.cli.common import EXIT_INTERRUPTED, show_failure
from launcher.errors import LauncherError

SCRIPT_NAME: Final = "specserve-bench"
MODULE_NAME: Final = "python -m benchmarks"
COMPLETION_VARIABLE: Final = "_SPECSERVE_BENCH_COMPLETE"
LAZY_COMMANDS: Final[Mapping[str, str]] = {
    "run": "benchmarks.cli.run",
    "tune": "benchmarks.cli.tune",
    "report": "benchmarks.cli.report",
    "compare": "benchmarks.cli.report",
    "workloads": "benchmarks.cli.report",
}


class LazyGroup(click.Group):
    """Imports a command when it is called: plots and arrays cost a second."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands, for `--help` and completion."""
        del ctx
        return list(LAZY_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, imported where need be."""
        del ctx
        if cmd_name not in LAZY_COMMANDS:
            return None
        command = getattr(importlib.import_module(LAZY_COMMANDS[cmd_name]), cmd_name)
        return command if isinstance(command, click.Command) else None


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="specserve", prog_name=SCRIPT_NAME)
def cli() -> None:
    """Measure speculative decoding against plain decoding, so that the figures stand up.

    Exit codes: 2 usage, 70 plan, 71 workload, 72 to 74 a server, 75 storage, 76 report,
    77 regression, 78 another benchmark, 130 interrupted; the launcher's own are below 70.
    """


def main() -> None:
    """Run the command line; every failure becomes a message and an exit code."""
    # A scheduler that ends a job does not want its servers to live on.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    arguments = sys.argv[1:]
    as_json = "--json" in arguments
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
    except (BenchmarkError, LauncherError) as error:
        show_failure(error, as_json=as_json)
        sys.exit(error.exit_code)


def _program_name() -> str:
    """What people typed. Completion goes by the name of the installed script."""
    installed = Path(sys.argv[0]).name == SCRIPT_NAME
    return SCRIPT_NAME if installed or COMPLETION_VARIABLE in os.environ else MODULE_NAME

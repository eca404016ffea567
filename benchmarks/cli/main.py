"""The command line: arguments become calls, results become output, errors become exit codes.

A command is imported when it is called: plots and arrays cost a second.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Final

import click

from launcher.cli.shell import LazyGroup, run_command_line

SCRIPT_NAME: Final = "specserve-bench"
LAZY_COMMANDS: Final[Mapping[str, str]] = {
    "run": "benchmarks.cli.run",
    "tune": "benchmarks.cli.tune",
    "report": "benchmarks.cli.report",
    "compare": "benchmarks.cli.report",
    "workloads": "benchmarks.cli.report",
}


@click.group(cls=LazyGroup, modules=LAZY_COMMANDS)
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
    run_command_line(cli, script=SCRIPT_NAME, module="python -m benchmarks")

"""`up` in the foreground over a stand-in, as a process of its own.

Usage: `python -m tests.unit.launcher.cli.display.foreground up BEHAVIOUR... [--json]`. The state
folder is that of `XDG_STATE_HOME`; `SPECSERVE_TEST_DEAF` makes it deaf to SIGTERM and SIGUSR1.
"""

from __future__ import annotations

import os
import signal
import sys

import click

from launcher.cli.common import EXIT_INTERRUPTED
from launcher.cli.display import starting
from launcher.cli.shell import LazyGroup, run_command_line
from launcher.engines.launch import Launch
from launcher.state.store import RunStore
from launcher.supervision.supervisor import Supervisor
from tests.unit.launcher.scenes import make_launch

# Nobody has to wait for a minute to see that it is one.
starting.ENDED_SECONDS = 1.0  # type: ignore[misc]

cli = LazyGroup(modules={})


@cli.command()
@click.argument("behaviour", nargs=-1)
@click.option("--json", "as_json", is_flag=True)
def up(*, behaviour: tuple[str, ...], as_json: bool) -> None:
    made = make_launch(
        *behaviour, restart_delay_seconds=0.05, drain_timeout_seconds=0.0, stop_timeout_seconds=1.0
    )
    fields = {field: getattr(made, field) for field in Launch.__slots__}
    launch = Launch(**{**fields, "detached": False})
    if os.environ.get("SPECSERVE_TEST_DEAF"):
        Supervisor.handle_signals = deafen  # type: ignore[method-assign,assignment]
    options = starting.StartOptions(as_json=as_json)
    store = RunStore("default")
    if not starting.run_in_foreground(launch.config, store, lambda _: launch, options):
        sys.exit(EXIT_INTERRUPTED)


def deafen(_: Supervisor) -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    run_command_line(cli, script="foreground", module="foreground")

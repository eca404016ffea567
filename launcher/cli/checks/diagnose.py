"""`diagnose`: why a server failed, from a log that anybody has."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from typing import Final

import click

from launcher.cli.checks.log_lines import last_lines
from launcher.cli.common import json_option, print_json
from launcher.cli.display import consoles
from launcher.cli.display.findings import show_diagnosis
from launcher.diagnosis.foreign import Diagnosis, diagnose_output
from launcher.engines.select import engine_of_output
from launcher.errors import InvalidValueError

# Of a larger file the end is read: more than is kept, since long lines are cut.
LARGEST_FILE_BYTES: Final = 64 * 2**20


@click.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
@click.option(
    "--exit-code",
    type=click.IntRange(-64, 255),
    help="Of the server's first process or container; 137 is SIGKILL.",
)
@click.option(
    "--oom-killed", is_flag=True, help="The kernel killed it for want of memory (OOMKilled: true)."
)
@json_option
def diagnose(*, file: Path, exit_code: int | None, oom_killed: bool, as_json: bool) -> None:
    """Say why an SGLang server failed, from its log.

    FILE is the log of any server, started by whomever, or - for standard input: prefixes of docker,
    compose, Kubernetes and journald are taken off, and only its last start counts. The advice is in
    SGLang's own flags. Exit code 0 whatever it finds.
    """
    lines = _read(file)
    found = diagnose_output(
        lines, engine_of_output(lines), exit_code=exit_code, oom_killed=oom_killed
    )
    if as_json:
        print_json(as_fields(found))
    else:
        show_diagnosis(consoles.out(), found)


def as_fields(found: Diagnosis) -> dict[str, object]:
    """A diagnosis as programs read it."""
    return {
        "cause": found.cause,
        "confidence": found.confidence.value,
        "problem": found.problem,
        "action": found.action,
        "evidence": list(found.evidence),
        "retry": found.retry.value if found.retry else None,
    }


def _read(file: Path) -> list[str]:
    """The last lines of a log.

    Raises:
        InvalidValueError: it cannot be read, or is no file.
    """
    if str(file) == "-":
        return last_lines(sys.stdin.buffer)
    try:
        # A FIFO without a writer would hold the command for ever.
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as log:
            found = os.fstat(log.fileno())
            if stat.S_ISDIR(found.st_mode):
                raise _unreadable(file, "it is a folder")
            if stat.S_ISREG(found.st_mode):
                log.seek(max(0, found.st_size - LARGEST_FILE_BYTES))
            else:
                os.set_blocking(log.fileno(), True)
            return last_lines(log)
    except OSError as error:
        raise _unreadable(file, error.strerror or type(error).__name__) from error


def _unreadable(file: Path, why: str) -> InvalidValueError:
    return InvalidValueError(
        f"The log {file} cannot be read: {why}.",
        action="Name a file, or - for standard input, as in `docker logs NAME 2>&1 | python -m "
        "launcher diagnose -`.",
    )

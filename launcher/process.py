"""Processes that cannot be mistaken for others, and the first process of a server. Linux only.

A process is ours by pid *and* start time *and* boot, so that a reused pid is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from pydantic import BaseModel, ConfigDict

from launcher import bind
from launcher.names import API_KEY_VARIABLE, RUN_ID_VARIABLE

if TYPE_CHECKING:
    from launcher.command import Command

_POLL_SECONDS: Final = 0.02
# Where in /proc/PID/stat, counted after the command's closing parenthesis, the start time stands
# (field 22 of proc(5), whose first field after the parenthesis is 3).
_START_TIME_FIELD: Final = 22 - 3


class ProcessIdentity(BaseModel):
    """A process that cannot be mistaken for a later one with the same pid.

    `start_ticks` counts clock ticks from boot to the start of the process: unlike a time of day it
    does not move when the clock is set.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The identity of a living process.

        Raises:
            ProcessLookupError: there is none.
        """
        ticks = start_ticks_of(pid)
        if ticks is None:
            raise ProcessLookupError(pid)
        return cls(pid=pid, start_ticks=ticks, boot_id=boot_id())

    def is_alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return boot_id() == self.boot_id and start_ticks_of(self.pid) == self.start_ticks

    def send_signal(self, number: signal.Signals) -> bool:
        """Signal this very process, or nobody; says whether it was there to be signalled."""
        # Asked first, since the pid of a forged record may be one that no call takes.
        if not self.is_alive():
            return False
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.pid)
            try:
                # The descriptor pins the process: from here on its pid cannot be reused.
                if self.is_alive():
                    signal.pidfd_send_signal(descriptor, number)
                    return True
            finally:
                os.close(descriptor)
        return False


class ServerProcess(Protocol):
    """The first process of a server."""

    @property
    def identity(self) -> ProcessIdentity:
        """Which it is."""

    def wait(self) -> int | None:
        """Wait for its end; returns the code as in `subprocess`, or None where nobody may know."""


@dataclass(frozen=True, slots=True)
class ChildProcess:
    """A server that this process started."""

    popen: subprocess.Popen[bytes]
    identity: ProcessIdentity

    def wait(self) -> int:
        """Wait for its end and reap it."""
        return self.popen.wait()


@dataclass(frozen=True, slots=True)
class AdoptedProcess:
    """A server that a supervisor started which has died since; its exit code goes to `init`."""

    identity: ProcessIdentity

    def wait(self) -> None:
        """Wait for its end."""
        with contextlib.suppress(ProcessLookupError):
            descriptor = os.pidfd_open(self.identity.pid)
            try:
                # The descriptor pins whatever has the pid now; only the server is waited for.
                if self.identity.is_alive():
                    select.select([descriptor], [], [])
            finally:
                os.close(descriptor)


def spawn(
    command: Command, *, run_id: str, cwd: Path, output: int, die_with_parent: bool
) -> ChildProcess:
    """Start the server in a session, and so a process group, of its own.

    Args:
        command: what to run.
        run_id: goes into the environment of each of its processes, and says whose they are.
        cwd: its working folder.
        output: descriptor that takes what it prints.
        die_with_parent: let the kernel kill it as soon as the calling thread has ended, however
            that ends.
    """
    environment = {**os.environ, **command.environment, RUN_ID_VARIABLE: run_id}
    # It comes to the server by a file, and is nobody else's.
    environment.pop(API_KEY_VARIABLE, None)
    bound = [sys.executable, "-I", "-S", bind.__file__, str(os.getpid())] if die_with_parent else []
    popen = subprocess.Popen(
        [*bound, *command.argv],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        # It may have ended already; being ours to reap, it still has its place in /proc.
        _, ticks = _read_stat(popen.pid)
        identity = ProcessIdentity(pid=popen.pid, start_ticks=ticks, boot_id=boot_id())
    except OSError:
        popen.kill()
        popen.wait()
        raise
    return ChildProcess(popen, identity)


def wait_until_gone(identity: ProcessIdentity, *, timeout_seconds: float) -> bool:
    """Wait for a process that may not be our child; says whether it is gone."""
    deadline = time.monotonic() + timeout_seconds
    while identity.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def boot_id() -> str:
    """An id that changes with every boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def describe_exit(returncode: int) -> str:
    """How a process ended, as a clause: 'exit code 3', 'killed by SIGKILL'."""
    if returncode >= 0:
        return f"exit code {returncode}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-returncode).name}"
    return f"killed by signal {-returncode}"


def start_ticks_of(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None for a zombie and for nobody."""
    try:
        state, ticks = _read_stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in {"Z", "X"} else ticks


def _read_stat(pid: int) -> tuple[str, int]:
    """State and start time, in clock ticks since the boot."""
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    # The command in parentheses may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return fields[0], int(fields[_START_TIME_FIELD])

"""The first process of a server: started here, or taken over from a supervisor that was killed."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from launcher.engines.launch import Command
from launcher.names import KEY_VARIABLES, RUN_ID_VARIABLE
from launcher.supervision.server import bind
from launcher.system.proc_stat import read_stat
from launcher.system.process import ProcessIdentity, boot_id

# SGLang's processes take pickled objects from each other through sockets that they make in the
# folder for temporary files (srt/utils/network.py, managers/io_struct.py). Whoever can write to
# such a socket can run code in the server; with this mask nobody else can.
UMASK: Final = 0o077


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
    command: Command,
    *,
    run_id: str,
    cwd: Path,
    output: int,
    die_with_parent: bool,
    passed: Collection[int] = (),
) -> ChildProcess:
    """Start the server in a session, and so a process group, of its own.

    Args:
        command: what to run.
        run_id: goes into the environment of each of its processes, and says whose they are.
        cwd: its working folder.
        output: descriptor that takes what it prints.
        die_with_parent: let the kernel kill it as soon as the calling thread has ended, however
            that ends.
        passed: descriptors that it inherits besides.
    """
    environment = {**os.environ, **command.environment, RUN_ID_VARIABLE: run_id}
    # They come to the server by a file, and are nobody else's.
    for variable in KEY_VARIABLES:
        environment.pop(variable, None)
    bound = [sys.executable, "-I", "-S", bind.__file__, str(os.getpid())] if die_with_parent else []
    popen = subprocess.Popen(
        [*bound, *command.argv],
        env=environment,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        pass_fds=tuple(passed),
        umask=UMASK,
    )
    try:
        # It may have ended already; being ours to reap, it still has its place in /proc.
        ticks = read_stat(popen.pid).start_ticks
        identity = ProcessIdentity(pid=popen.pid, start_ticks=ticks, boot_id=boot_id())
    except OSError:
        popen.kill()
        popen.wait()
        raise
    return ChildProcess(popen, identity)

"""A process that has imported the engine already, and becomes the server of the next run.

It is started with the command and the environment of that run, its run id included, once the server
serves. At rest it costs memory, and nothing else; a restart then takes the time of an import less.
Its other end is `launcher.engines.sglang.plugins.sharing.stand_by`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import psutil

from launcher.diagnosis import failures
from launcher.engines.launch import Command, Launch
from launcher.names import STAND_BY_GO, STAND_BY_GOING, STAND_BY_READY, STAND_BY_VARIABLE
from launcher.state.record import StandByRecord
from launcher.supervision.server.process import ChildProcess, spawn
from launcher.supervision.server.scratch import remove_scratch, with_scratch
from launcher.system.hardware import MIB, available_memory_bytes
from launcher.system.members import kill_members
from launcher.system.process import ProcessIdentity, freezer_of

# One that was stopped (SIGSTOP), or is swapped out, must not hold up a restart.
ANSWER_SECONDS: Final = 2.0
KILL_SECONDS: Final = 10.0
# A server that runs out of memory is worse than one that starts ten seconds later.
LEAST_FREE_BYTES: Final = 2048 * MIB
# What it prints while it imports, at most; the end of it.
_OUTPUT_BYTES: Final = 32 * 1024


class Holder(Protocol):
    """What a run needs of a stand-by; `NOBODY` where there is none."""

    def next_run_id(self) -> str:
        """The id of the next run."""

    def prepare(self) -> None:
        """Have one, if one is wanted; replace one that has died; drop it where memory is short."""

    def take(self, environment: dict[str, str], output: int) -> ChildProcess | None:
        """Make it the server of the run whose id was told last; None: there is none that can."""

    def end(self) -> None:
        """End it and see that it has gone."""


class Nobody:
    """There is no stand-by."""

    def next_run_id(self) -> str:
        """Drawn anew."""
        return secrets.token_hex(8)

    def prepare(self) -> None:
        """Nothing to do."""

    def take(self, environment: dict[str, str], output: int) -> None:  # noqa: ARG002
        """There is none."""
        return

    def end(self) -> None:
        """Nothing to end."""


@dataclass(slots=True)
class _Resting:
    run_id: str
    process: ChildProcess
    control: socket.socket
    output: int
    environment: dict[str, str]
    is_ready: bool = False

    @property
    def pid(self) -> int:
        return self.process.identity.pid


class StandBy:
    """Holds at most one such process.

    Args:
        launch: of the server; another start has the same command.
        cwd: the server's working folder.
        die_with_parent: see `launcher.supervision.server.process.spawn`.
        note: told of each change, for the record.
        versions: of the packages that it has imported, as they are installed now.
        free_bytes: memory that is available.
    """

    def __init__(
        self,
        launch: Launch,
        cwd: Path,
        *,
        die_with_parent: bool,
        note: Callable[[StandByRecord | None], None],
        versions: Callable[[], dict[str, str]],
        free_bytes: Callable[[], int] = available_memory_bytes,
    ) -> None:
        self._launch = launch
        self._cwd = cwd
        self._die_with_parent = die_with_parent
        self._note = note
        self._versions = versions
        self._free_bytes = free_bytes
        self._resting: _Resting | None = None
        self._started_with: dict[str, str] = {}
        # One that cannot be started is not tried again: the next run is started as ever.
        self._gave_up = False

    def next_run_id(self) -> str:
        """The one that it was started with."""
        return secrets.token_hex(8) if self._resting is None else self._resting.run_id

    def prepare(self) -> None:
        """See to it that one rests, where there is memory for it."""
        resting = self._resting
        if resting is not None:
            ready = resting.is_ready or _says(resting.control, STAND_BY_READY, seconds=0)
            resting.is_ready = ready
            has_ended = resting.process.popen.poll() is not None
            if has_ended or self._free_bytes() < LEAST_FREE_BYTES:
                self._gave_up = has_ended and not ready
                self.end()
            else:
                self._tell(resting)
        if self._resting is None and not self._gave_up:
            # Its own share comes on top of what is to stay free.
            if self._free_bytes() < 2 * LEAST_FREE_BYTES:
                return
            self._start()

    def take(self, environment: dict[str, str], output: int) -> ChildProcess | None:
        """Let it go on as the server.

        Args:
            environment: added to the launcher's own for the run; another than it was started with
                is another server.
            output: descriptor that takes what the server prints.
        """
        resting, self._resting = self._resting, None
        if resting is None:
            return None
        self._note(None)
        try:
            fits = environment == resting.environment and self._versions() == self._started_with
            ready = resting.is_ready or _says(resting.control, STAND_BY_READY, seconds=0)
            if fits and ready and _go(resting, output):
                return resting.process
        finally:
            resting.control.close()
            os.close(resting.output)
        _end(resting)
        return None

    def end(self) -> None:
        """End it and see that it has gone.

        Raises:
            StopError: it has not.
        """
        resting, self._resting = self._resting, None
        if resting is None:
            return
        resting.control.close()
        os.close(resting.output)
        _end(resting)
        remove_scratch(resting.run_id, resting.environment)
        self._note(None)

    def _start(self) -> None:
        run_id = secrets.token_hex(8)
        command = self._launch.command
        environment = with_scratch(run_id, command.environment)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        output = os.memfd_create("specserve-stand-by")
        try:
            with theirs:
                started = {**environment, STAND_BY_VARIABLE: str(theirs.fileno())}
                process = spawn(
                    Command(command.argv, started),
                    run_id=run_id,
                    cwd=self._cwd,
                    output=output,
                    die_with_parent=self._die_with_parent,
                    passed=(theirs.fileno(),),
                )
        except (OSError, ValueError):
            ours.close()
            os.close(output)
            remove_scratch(run_id, environment)
            self._gave_up = True
            return
        self._started_with = self._versions()
        self._resting = _Resting(run_id, process, ours, output, environment)
        self._tell(self._resting)

    def _tell(self, resting: _Resting) -> None:
        self._note(
            StandByRecord(
                process=resting.process.identity,
                run_id=resting.run_id,
                ready=resting.is_ready,
                memory_bytes=_own_bytes(resting.pid),
            )
        )


def _go(resting: _Resting, output: int) -> bool:
    """Say what it has printed, and let it go on; False where it does not answer."""
    with contextlib.suppress(OSError):
        size = os.fstat(resting.output).st_size
        said = os.pread(resting.output, _OUTPUT_BYTES, max(0, size - _OUTPUT_BYTES))
        # The collector reads the other end.
        os.write(output, said)
        socket.send_fds(resting.control, [STAND_BY_GO], [output])
        return _says(resting.control, STAND_BY_GOING, seconds=ANSWER_SECONDS)
    return False


def _says(control: socket.socket, word: bytes, *, seconds: float) -> bool:
    if not select.select([control], [], [], seconds)[0]:
        return False
    with contextlib.suppress(OSError):
        return control.recv(len(word)) == word
    return False


def _end(resting: _Resting) -> None:
    _kill(resting.process.identity, resting.run_id)
    with contextlib.suppress(subprocess.TimeoutExpired):
        resting.process.popen.wait(KILL_SECONDS)


def _kill(process: ProcessIdentity, run_id: str) -> None:
    left = kill_members(process, run_id, timeout_seconds=KILL_SECONDS)
    if left:
        pids = [one.pid for one in left]
        raise failures.survived(pids, seconds=KILL_SECONDS, freezer=freezer_of(*pids))


def _own_bytes(pid: int) -> int | None:
    """The memory that only it holds, and its part of what it shares; None where it has gone."""
    with contextlib.suppress(psutil.Error, OSError):
        return int(psutil.Process(pid).memory_full_info().pss)
    return None

"""Processes that cannot be mistaken for others. Linux only.

A process is ours by pid *and* start time *and* boot, so that a reused pid is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict

from launcher.system.proc_stat import read_stat

_POLL_SECONDS: Final = 0.02
# Ignored on purpose where they are: by `nohup`, and by a shell for what it puts in the background.
_KEPT_IGNORED: Final = ("SIGHUP", "SIGINT", "SIGQUIT")
# Python itself ignores these.
_PYTHONS: Final = ("SIGPIPE", "SIGXFSZ")


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
        ticks = _start_ticks_of(pid)
        if ticks is None:
            raise ProcessLookupError(pid)
        return cls(pid=pid, start_ticks=ticks, boot_id=boot_id())

    def is_alive(self) -> bool:
        """Whether this very process still runs. A zombie does not."""
        return boot_id() == self.boot_id and _start_ticks_of(self.pid) == self.start_ticks

    def is_unreaped(self) -> bool:
        """Whether this very process is in the table of processes still, be it as a zombie."""
        return boot_id() == self.boot_id and bool(self._state())

    def is_stopped(self) -> bool:
        """Whether this very process stands still: SIGSTOP, or a debugger that holds it."""
        return self._state() in {"T", "t"}

    def is_traced(self) -> bool:
        """Whether a debugger holds this very process, so that SIGCONT does nothing."""
        return self._state() == "t"

    def _state(self) -> str:
        try:
            stat = read_stat(self.pid)
        except OSError:
            return ""
        return stat.state if stat.start_ticks == self.start_ticks else ""

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


def wait_until_gone(identity: ProcessIdentity, *, timeout_seconds: float) -> bool:
    """Wait for a process that may not be our child; says whether it is gone."""
    deadline = time.monotonic() + timeout_seconds
    while identity.is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def hear_signals() -> None:
    """Hear every signal that whoever started this process has blocked, or set to be ignored.

    Both are inherited, by what this process starts as well: a supervisor would not hear `down`, a
    server not SIGTERM, and where SIGCHLD is ignored nobody learns an exit code. SIGHUP, SIGINT and
    SIGQUIT stay ignored where they are. Main thread only.
    """
    kept = {getattr(signal, name, None) for name in (*_KEPT_IGNORED, *_PYTHONS)}
    for number in signal.valid_signals() - kept:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    # Last: one that waits is delivered at once.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def freezer_of(*pids: int) -> Path | None:
    """The folder of a cgroup that holds one of these processes frozen; None where none does.

    Source: the kernel's cgroup-v1/freezer-subsystem.rst and cgroup-v2.rst. In one of version 1 not
    even SIGKILL takes effect before it is thawed.
    """
    lines: list[str] = []
    for pid in pids:
        with contextlib.suppress(OSError):
            lines += Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    for line in lines:
        _, controllers, path = line.split(":", 2)
        root, file = (
            (Path("/sys/fs/cgroup/freezer"), "freezer.state")
            if "freezer" in controllers.split(",")
            else (Path("/sys/fs/cgroup"), "cgroup.freeze")
        )
        folder = root / path.lstrip("/")
        with contextlib.suppress(OSError):
            if (folder / file).read_text().strip() in {"FROZEN", "FREEZING", "1"}:
                return folder
    return None


def command_line(pid: int) -> list[str]:
    """The words of a process's command; none where it has gone. Waits for the process's memory."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return []
    return [os.fsdecode(word) for word in words]


def forbid_core_dumps() -> None:
    """Let neither this process nor what it starts leave its memory, with the keys, on a disk.

    One byte, not none: the kernel takes that as the only limit that also holds where a program
    collects the dumps (core(5), a pattern that begins with a bar), and as too little for a file.
    Only the soft limit is set, so a process that wants dumps can still ask for them.
    """
    # Imported here: Windows has none, and imports this module all the same.
    import resource  # noqa: PLC0415

    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    allowed = 1 if hard == resource.RLIM_INFINITY or hard >= 1 else 0
    resource.setrlimit(resource.RLIMIT_CORE, (allowed, hard))


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


def _start_ticks_of(pid: int) -> int | None:
    """When a process started, in clock ticks since the boot; None for a zombie and for nobody."""
    try:
        stat = read_stat(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if stat.has_ended else stat.start_ticks

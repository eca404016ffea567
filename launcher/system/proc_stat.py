"""What the kernel says of a process: `/proc/PID/stat`, read once and as a frozen value. Linux only.

It waits for no lock of the process, unlike `cmdline` or `maps`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_READ_BYTES: Final = 65536
_FIRST_FIELD: Final = 3  # of proc(5)'s stat, after the command's closing parenthesis


@dataclass(frozen=True, slots=True)
class ProcessStat:
    """A process or a thread at one moment; the fields are those of proc(5).

    Attributes:
        name: of the command, its first 15 bytes.
        state: one letter; Z and X have ended.
        flags: the kernel's flags of a task, PF_*.
        major_faults: page faults that waited for a disk, with those of children that were reaped.
        cpu_ticks: time on a processor in user and kernel mode, with that of children that were
            reaped; in clock ticks.
        start_ticks: clock ticks from boot to its start.
    """

    name: str
    state: str
    flags: int
    major_faults: int
    cpu_ticks: int
    start_ticks: int

    @property
    def has_ended(self) -> bool:
        """Whether it is a zombie, or less."""
        return self.state in {"Z", "X"}


def read_stat(task: int | str) -> ProcessStat:
    """Look at a task.

    Args:
        task: its name below /proc: `PID`, or `PID/task/TID` for a thread.

    Raises:
        OSError: it has gone.
    """
    # The command in parentheses may itself hold spaces and parentheses.
    head, _, rest = read_proc(f"{task}/stat").decode(errors="replace").rpartition(")")
    fields = rest.split()
    if not fields:
        raise ProcessLookupError(task)

    def total(first: int, last: int) -> int:
        return sum(map(int, fields[first - _FIRST_FIELD : last + 1 - _FIRST_FIELD]))

    return ProcessStat(
        name=head.partition("(")[2],
        state=fields[0],
        flags=total(9, 9),
        major_faults=total(12, 13),
        cpu_ticks=total(14, 17),
        start_ticks=total(22, 22),
    )


def all_pids() -> list[int]:
    """The processes that are there now."""
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]


def read_proc(name: str) -> bytes:
    """A short file of /proc, in one call: thousands of threads are read in one look."""
    descriptor = os.open(f"/proc/{name}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _READ_BYTES)
    finally:
        os.close(descriptor)

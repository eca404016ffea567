"""What the processes of a server are doing, read from /proc.

Linux only. `read_activity` reads `stat` and `io` and nothing that waits for the memory lock of a
process (`cmdline`, `maps`), since it looks at processes that may hang with that lock held.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from launcher.system.proc_stat import ProcessStat, read_proc, read_stat
from launcher.system.process import ProcessIdentity

# What torch's extensions, Triton, FlashInfer and TVM run, by the name that the kernel keeps of
# them (15 bytes). Debian's carry a version: g++-12.
_COMPILER: Final = re.compile(
    r"(nvcc|cicc|ptxas|ptxas-blackwell|cudafe\+\+|fatbinary|nvlink|hipcc|ninja|cmake|make"
    r"|cc1plus|cc1|c\+\+|g\+\+|gcc|cc|clang|clang\+\+|as|ld|ld\.lld|lld|ld\.gold|mold|collect2)"
    r"(-[\d.]+)?"
)
EngineChild: TypeAlias = tuple[ProcessIdentity, str]

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
_IO_COUNTERS: Final = re.compile(rb"^(rchar|wchar|read_bytes|write_bytes): (\d+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """What a group of processes had done up to one moment.

    The counts run since the start of each process. One that is reaped hands its own on to its
    parent; where the parent is not of the group they are lost, so a sum can fall.

    Attributes:
        at_seconds: the moment, by the monotonic clock.
        processes: how many live.
        cpu_seconds_by_pid: time on a processor of each, in user and kernel mode, with that of its
            children that were reaped.
        read_bytes: taken from files and pipes, by calls or by page faults; 0 where unreadable.
        written_bytes: likewise given to files and pipes.
        major_faults: page faults that waited for a disk; the only trace of a file that is mapped
            from a FUSE mount.
        compilers: names of the compilers, assemblers and linkers that run among them, sorted.
        stopped: pids in state T or t: SIGSTOP, or a debugger.
        blocked: pids with a thread in state D: it waits in the kernel, usually for a disk.
    """

    at_seconds: float
    processes: int = 0
    cpu_seconds_by_pid: Mapping[int, float] = field(default_factory=dict)
    read_bytes: int = 0
    written_bytes: int = 0
    major_faults: int = 0
    compilers: tuple[str, ...] = ()
    stopped: tuple[int, ...] = ()
    blocked: tuple[int, ...] = ()

    @property
    def cpu_seconds(self) -> float:
        """Time on a processor, of all."""
        return sum(self.cpu_seconds_by_pid.values())


def read_activity(members: Iterable[ProcessIdentity], *, now: float) -> Activity:
    """Look at processes; those that have gone count for nothing.

    Args:
        members: the processes, as `launcher.system.members.find_members` finds them.
        now: the moment, by the monotonic clock, in seconds.
    """
    stats = {member.pid: stat for member in members if (stat := _stat_of(member)) is not None}
    alive = {pid: stat for pid, stat in stats.items() if not stat.has_ended}
    stopped = tuple(pid for pid, stat in alive.items() if stat.state in {"T", "t"})
    moving = {pid: stat.name for pid, stat in alive.items() if pid not in stopped}
    moved_bytes = [_io_bytes(pid) for pid in alive]
    return Activity(
        at_seconds=now,
        processes=len(alive),
        # A zombie counts until it is reaped, lest its parent's sum leap from nothing.
        cpu_seconds_by_pid={pid: stat.cpu_ticks / _TICKS_PER_SECOND for pid, stat in stats.items()},
        read_bytes=sum(read for read, _ in moved_bytes),
        written_bytes=sum(written for _, written in moved_bytes),
        major_faults=sum(stat.major_faults for stat in stats.values()),
        compilers=tuple(sorted({name for name in moving.values() if _COMPILER.fullmatch(name)})),
        stopped=stopped,
        blocked=tuple(pid for pid in moving if _has_blocked_thread(pid)),
    )


def titled(members: Iterable[ProcessIdentity], prefix: str) -> tuple[EngineChild, ...]:
    """Those processes whose title begins so, with their titles."""
    candidates = tuple(members)
    known = titles(candidates)
    return tuple(
        (member, known[member.pid])
        for member in candidates
        if known.get(member.pid, "").startswith(prefix)
    )


def titles(members: Iterable[ProcessIdentity]) -> dict[int, str]:
    """What each process calls itself, by pid: the first word of its command line or its title."""
    found = {}
    for member in members:
        try:
            words = read_proc(f"{member.pid}/cmdline")
        except OSError:
            continue
        # setproctitle pads its title with blanks or zero bytes.
        title = words.partition(b"\0")[0].decode(errors="replace").strip()
        # Asked afterwards: had the pid been reused before the reading, this would say so.
        if title and member.is_alive():
            found[member.pid] = title
    return found


def _stat_of(member: ProcessIdentity) -> ProcessStat | None:
    """Its line in /proc, or None where it has gone; a zombie has not."""
    try:
        stat = read_stat(member.pid)
    except OSError:
        return None
    return stat if stat.start_ticks == member.start_ticks else None


def _io_bytes(pid: int) -> tuple[int, int]:
    """Bytes read and written.

    The first counter of each pair knows calls, cached or not; the second what reached a disk,
    page faults included. Much of the traffic is in both, so the larger stands for the pair.
    """
    try:
        counters = dict(_IO_COUNTERS.findall(read_proc(f"{pid}/io")))
    except OSError:
        return 0, 0
    return (
        max(int(counters.get(b"rchar", 0)), int(counters.get(b"read_bytes", 0))),
        max(int(counters.get(b"wchar", 0)), int(counters.get(b"write_bytes", 0))),
    )


def _has_blocked_thread(pid: int) -> bool:
    """Whether a thread is in state D; SGLang loads weights in threads of their own."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208  # names alone, many, often
    except OSError:
        return False
    for thread in threads:
        with contextlib.suppress(OSError):
            if read_stat(f"{pid}/task/{thread}").state == "D":
                return True
    return False

"""How `doctor` looks at this machine's processors and limits. Reads only."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from launcher.system.hardware import free_disk_bytes

_CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Readers:
    """How the host is looked at; a test puts other readers in their place.

    Attributes:
        flags: the processor's feature flags, as `/proc/cpuinfo` names them.
        quota: processors' worth of time that the cgroup allows; None without a limit.
        memory_limit_bytes: of the cgroup; None without one.
        free_disk_bytes: bytes free where a path lies or would lie.
        limit: soft and hard limit of a resource, by its name in `resource`; -1 is unlimited.
        processes_left: how many more processes and threads may be started; None without a limit.
    """

    flags: Callable[[], frozenset[str]]
    quota: Callable[[], float | None]
    memory_limit_bytes: Callable[[], int | None]
    free_disk_bytes: Callable[[Path], int]
    limit: Callable[[str], tuple[int, int]]
    processes_left: Callable[[], int | None]


def host_readers() -> Readers:
    """The readers of this machine."""
    return Readers(
        flags=cpu_flags,
        quota=cpu_quota,
        memory_limit_bytes=memory_limit_bytes,
        free_disk_bytes=free_disk_bytes,
        limit=resource_limit,
        processes_left=processes_left,
    )


def cpu_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """The feature flags of the first processor: all of them are alike."""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        if line.startswith("flags"):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def cpu_quota(root: Path = _CGROUP) -> float | None:
    """Processors' worth of time that the cgroup (version 2) allows, or None without a limit.

    Formula: quota / period, both in microseconds; source: the kernel's cgroup-v2.rst, cpu.max.
    """
    words = _words(root / "cpu.max")
    if len(words) != 2 or words[0] == "max":
        return None
    return int(words[0]) / int(words[1])


def memory_limit_bytes(root: Path = _CGROUP) -> int | None:
    """The cgroup's limit (version 2), or None without one."""
    return _number(root / "memory.max")


def resource_limit(name: str) -> tuple[int, int]:
    """Soft and hard limit of a resource; -1 is unlimited."""
    # Imported here: Windows has none.
    import resource  # noqa: PLC0415

    return resource.getrlimit(getattr(resource, name))


def processes_left(root: Path = _CGROUP) -> int | None:
    """Processes and threads that user and cgroup may still start; None without a limit."""
    left = []
    soft, _ = resource_limit("RLIMIT_NPROC")
    # Root is not held to it: setrlimit(2).
    if soft >= 0 and os.geteuid() != 0:
        left.append(soft - _threads_of(os.getuid()))
    most, now = _number(root / "pids.max"), _number(root / "pids.current")
    if most is not None and now is not None:
        left.append(most - now)
    return min(left, default=None)


def _threads_of(uid: int) -> int:
    """Threads of a user, as the limit counts them."""
    return sum(
        process.info["num_threads"] or 0
        for process in psutil.process_iter(["uids", "num_threads"])
        if process.info["uids"] and process.info["uids"].real == uid
    )


def _number(file: Path) -> int | None:
    words = _words(file)
    return int(words[0]) if words and words[0] != "max" else None


def _words(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8").split()
    except OSError:
        return []

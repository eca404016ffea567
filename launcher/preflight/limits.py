"""What the system lets a server have: limits of the shell, the service or the container.

A server under such a limit fails minutes into its start, with the words of whatever library met it
first: "failed to map segment", "can't start new thread", a reinstall proposed for a sound engine.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from launcher.errors import ResourceLimitError
from launcher.preflight.facts import ServingFacts
from launcher.system.hardware import GIB, MIB
from launcher.text import human_bytes, human_seconds

UNLIMITED: Final = -1
# Measured with the nano model on 2 cores (sglang 0.5.23): its scheduler has 7.0 GiB of addresses
# and 3.7 GiB of data at its peak, 82 files open, and all processes together some 50 threads.
ADDRESS_BYTES: Final = 8 * GIB
DATA_BYTES: Final = 4 * GIB
OPEN_FILES: Final = 256
PROCESSES: Final = 128
# A start takes one of a processor or more; whoever sets less means another kind of program.
CPU_SECONDS: Final = 3_600
# unix(7): the path of a socket. SGLang makes its sockets in the temporary folder, named by
# `tempfile`: "/tmp12345678" (srt/server_args.py, `PortArgs.init_new`).
SOCKET_PATH_BYTES: Final = 107
_SOCKET_NAME_BYTES: Final = 12
# Sockets, and the little that libraries put beside them.
TEMPORARY_BYTES: Final = 16 * MIB
TEMPORARY_FILES: Final = 64
_CGROUP: Final = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Need:
    """What a server needs of one resource.

    Args:
        resource: its name in `resource`.
        what: the same for people.
        least: the least limit that lets a server start.
        show: writes a limit for people.
        letter: of `ulimit`.
        service: the setting of a systemd unit.
        hard: the engine raises the soft limit itself, so that the hard one counts.
    """

    resource: str
    what: str
    least: int
    show: Callable[[float], str]
    letter: str
    service: str
    hard: bool = False


def check_limits(facts: ServingFacts) -> None:
    """Hold the limits of this process, which a server inherits, against what it needs.

    Raises:
        ResourceLimitError: one is too low; it says which, both figures, and how to lift it.
    """
    for need in needs_of(facts):
        soft, hard = resource_limit(need.resource)
        limit = hard if need.hard else soft
        if limit != UNLIMITED and limit < need.least:
            raise ResourceLimitError(
                f"The limit on {need.what} is {need.show(limit)}; a server needs "
                f"{need.show(need.least)} or more.",
                action=f"Lift it before the start: `ulimit -{need.letter} unlimited`, or "
                f"{need.service} of a service.",
            )
    left = processes_left()
    if left is not None and left < PROCESSES:
        raise ResourceLimitError(
            f"{max(left, 0):,} more processes and threads may be started; a server needs "
            f"{PROCESSES:,} or more.",
            action="Raise it: `ulimit -u`, LimitNPROC= of a service, `docker run --pids-limit -1`.",
        )


def check_temporary_folder() -> None:
    """Hold the temporary folder, in which the server makes its sockets, against what it needs.

    A folder that is not there or cannot be written is passed over for the next one, as Python does
    (`tempfile.gettempdir`). That programs may not run from it matters to compiled kernels alone.

    Raises:
        ResourceLimitError: there is none, its path is too long for a socket, or it is full.
    """
    try:
        folder = Path(tempfile.gettempdir())
    except OSError as error:
        raise ResourceLimitError(
            "No temporary folder can be written: neither TMPDIR nor /tmp, /var/tmp or the current "
            f"folder ({error.strerror}).",
            action="Set TMPDIR to a folder that you can write, on a disk with room.",
        ) from error
    length, most = len(os.fsencode(folder)), SOCKET_PATH_BYTES - _SOCKET_NAME_BYTES
    if length > most:
        raise ResourceLimitError(
            f"The path of the temporary folder is too long for a socket: {length} bytes, and "
            f"{most} are allowed ({folder}).",
            action="Set TMPDIR to a folder with a shorter path, such as /tmp.",
        )
    room = os.statvfs(folder)
    free_bytes = room.f_bavail * room.f_frsize
    if free_bytes < TEMPORARY_BYTES:
        raise ResourceLimitError(
            f"The temporary folder {folder} has {human_bytes(free_bytes)} free; a server needs "
            f"{human_bytes(TEMPORARY_BYTES)} or more.",
            action="Free space there, or set TMPDIR to a folder on another disk.",
        )
    # A file system that counts none says 0 of 0.
    if room.f_files and room.f_favail < TEMPORARY_FILES:
        raise ResourceLimitError(
            f"The temporary folder {folder} has room for {room.f_favail:,} more files; a server "
            f"needs {TEMPORARY_FILES:,} or more.",
            action="Remove files there, or set TMPDIR to a folder on another disk.",
        )


def needs_of(facts: ServingFacts) -> tuple[Need, ...]:
    """What a configuration needs, resource by resource."""
    # CUDA gives all memory of all GPUs an address: CUDA C++ Programming Guide, "Unified Virtual
    # Address Space".
    mapped_bytes = sum(gpu.total_bytes for gpu in facts.hardware.gpus) if facts.on_gpu else 0
    file_bytes = facts.config.log_rotate_mib * MIB
    return (
        Need(
            "RLIMIT_AS",
            "addresses",
            ADDRESS_BYTES + mapped_bytes,
            human_bytes,
            "v",
            "LimitAS=infinity",
        ),
        Need("RLIMIT_DATA", "data", DATA_BYTES, human_bytes, "d", "LimitDATA=infinity"),
        Need("RLIMIT_FSIZE", "a file", file_bytes, human_bytes, "f", "LimitFSIZE=infinity"),
        Need(
            "RLIMIT_NOFILE", "open files", OPEN_FILES, _count, "n", "LimitNOFILE=65535", hard=True
        ),
        Need(
            "RLIMIT_CPU",
            "processor time",
            CPU_SECONDS,
            human_seconds,
            "t",
            "LimitCPU=infinity",
        ),
    )


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
    most, now = cgroup_number(root / "pids.max"), cgroup_number(root / "pids.current")
    if most is not None and now is not None:
        left.append(most - now)
    return min(left, default=None)


def _count(number: float) -> str:
    return f"{number:,.0f}"


def _threads_of(uid: int) -> int:
    """Threads of a user, as the limit counts them."""
    return sum(
        process.info["num_threads"] or 0
        for process in psutil.process_iter(["uids", "num_threads"])
        if process.info["uids"] and process.info["uids"].real == uid
    )


def cgroup_number(file: Path) -> int | None:
    """A limit or a count of a cgroup (version 2); None where there is none, or "max"."""
    try:
        words = file.read_text(encoding="utf-8").split()
    except OSError:
        return None
    return int(words[0]) if words and words[0] != "max" else None

"""Probes of what the system lets a process have: files, shared memory, processes, locked memory."""

from __future__ import annotations

from typing import Final

from launcher.doctor.needs import Needs
from launcher.doctor.probes import Probe, Row
from launcher.doctor.readers import Readers
from launcher.preflight.checks import shared_bytes_needed
from launcher.system import shared_memory
from launcher.system.hardware import GIB
from launcher.text import human_bytes

# SGLang raises the soft limit to it as far as the hard one lets it.
# Source: sglang 0.5.23, srt/utils/common.py, set_ulimit.
OPEN_FILES: Final = 65_535
# Source: NCCL user guide, "Troubleshooting", "Docker": `--shm-size=1g --ulimit memlock=-1`.
NCCL_SHARED_BYTES: Final = 1 * GIB
# Ours: a server on 2 cores has some 150 threads, and each further core adds a few to each process.
PROCESSES_LEFT: Final = 1_024
_UNLIMITED: Final = -1
_BIG: Final = 1 << 60


def limit_probes(needs: Needs, readers: Readers) -> tuple[Probe, ...]:
    """The probes of the group limits."""
    return (
        Probe(
            "open-files",
            "limits",
            lambda: [_open_files(readers)],
            amber=f"the hard limit is below {OPEN_FILES:,}",
            remedy="`docker run --ulimit nofile=65535`, limits.conf(5)",
            source="sglang 0.5.23, `set_ulimit`",
        ),
        Probe(
            "shared-memory",
            "limits",
            lambda: [_shared_memory(needs, readers)],
            amber=f"tensor parallel on GPUs, and less than {human_bytes(NCCL_SHARED_BYTES)} free",
            red="less free than the server takes",
            remedy="`docker run --shm-size 16g`, or remount `/dev/shm`",
            source="`launcher.preflight.checks.shared_bytes_needed`, which `up` asks as well; "
            "NCCL's guide, Docker",
        ),
        Probe(
            "processes",
            "limits",
            lambda: [_processes(readers)],
            amber=f"fewer than {PROCESSES_LEFT:,} more may be started",
            remedy="`ulimit -u`, `docker run --pids-limit -1`",
            source="ours; `RLIMIT_NPROC` and cgroup `pids.max`",
        ),
        Probe(
            "locked-memory",
            "limits",
            lambda: [_locked_memory(needs, readers)],
            amber="tensor parallel on GPUs, and not unlimited",
            remedy="`ulimit -l unlimited`, `docker run --ulimit memlock=-1`",
            source="NCCL's guide, Docker",
        ),
    )


def _open_files(readers: Readers) -> Row:
    soft, hard = map(_endless, readers.limit("RLIMIT_NOFILE"))
    measured = f"{_count(soft)}, raised up to {_count(hard)}"
    wanted = f"{OPEN_FILES:,} or more"
    if hard < OPEN_FILES:
        action = "Raise it: `docker run --ulimit nofile=65535`, or limits.conf(5)."
        return Row("open files", "amber", measured, wanted, action)
    return Row("open files", "green", measured, wanted)


def _shared_memory(needs: Needs, readers: Readers) -> Row:
    free = readers.free_disk_bytes(shared_memory.ROOT)
    needed = shared_bytes_needed(needs.config)
    nccl = needs.on_gpu and needs.config.tp_size > 1
    measured = f"{human_bytes(free)} free in {shared_memory.ROOT}"
    wanted = human_bytes(max(needed, NCCL_SHARED_BYTES) if nccl else needed)
    action = "Enlarge it: `docker run --shm-size 16g`, `mount -o remount,size=16g /dev/shm`."
    if free < needed:
        return Row("shared memory", "red", measured, wanted, action)
    if nccl and free < NCCL_SHARED_BYTES:
        return Row("shared memory", "amber", measured, f"{wanted}, for NCCL", action)
    return Row("shared memory", "green", measured, wanted)


def _processes(readers: Readers) -> Row:
    left = readers.processes_left()
    wanted = f"{PROCESSES_LEFT:,} more"
    if left is None:
        return Row("processes", "green", "no limit", wanted)
    measured = f"{left:,} more may be started"
    if left < PROCESSES_LEFT:
        action = "Raise it: `ulimit -u`, `docker run --pids-limit -1`."
        return Row("processes", "amber", measured, wanted, action)
    return Row("processes", "green", measured, wanted)


def _locked_memory(needs: Needs, readers: Readers) -> Row:
    soft = _endless(readers.limit("RLIMIT_MEMLOCK")[0])
    measured = "unlimited" if soft == _BIG else human_bytes(soft)
    if not needs.on_gpu or needs.config.tp_size == 1:
        return Row("locked memory", "green", measured, "any")
    if soft < _BIG:
        action = "Lift it: `ulimit -l unlimited`, `docker run --ulimit memlock=-1`."
        return Row("locked memory", "amber", measured, "unlimited, for NCCL", action)
    return Row("locked memory", "green", measured, "unlimited, for NCCL")


def _endless(limit: int) -> int:
    return _BIG if limit == _UNLIMITED else limit


def _count(number: int) -> str:
    return "unlimited" if number == _BIG else f"{number:,}"

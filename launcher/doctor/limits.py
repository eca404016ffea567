"""Probes of what the system lets a process have: files, shared memory, processes, locked memory."""

from __future__ import annotations

from functools import partial
from typing import Final

from launcher.config.ranks import ranks_of
from launcher.doctor.probes import Row, probe
from launcher.doctor.readers import Readers
from launcher.doctor.target import ServingTarget
from launcher.preflight.checks import shared_bytes_needed
from launcher.system import shared_memory
from launcher.system.hardware import GIB
from launcher.text import human_bytes

# SGLang raises the soft limit to it as far as the hard one lets it.
# Source: sglang, srt/utils/common.py, set_ulimit.
OPEN_FILES: Final = 65_535
# Source: NCCL user guide, "Troubleshooting", "Docker": `--shm-size=1g --ulimit memlock=-1`.
NCCL_SHARED_BYTES: Final = 1 * GIB
# Ours: a server on 2 cores has some 150 threads, and each further core adds a few to each process.
PROCESSES_LEFT: Final = 1_024
_UNLIMITED: Final = -1
_BIG: Final = 1 << 60
_probe = partial(probe, "limits")


@_probe(
    "open-files",
    amber=f"the hard limit is below {OPEN_FILES:,}",
    remedy="`docker run --ulimit nofile=65535`, limits.conf(5)",
    source="sglang, `set_ulimit`",
)
def _open_files(_: ServingTarget, readers: Readers) -> Row:
    soft, hard = map(_endless, readers.limit("RLIMIT_NOFILE"))
    measured = f"{_count(soft)}, raised up to {_count(hard)}"
    wanted = f"{OPEN_FILES:,} or more"
    action = "Raise it: `docker run --ulimit nofile=65535`, or limits.conf(5)."
    return Row.judged("open files", measured, wanted, amber=hard < OPEN_FILES, action=action)


@_probe(
    "shared-memory",
    amber=f"tensor parallel on GPUs, and less than {human_bytes(NCCL_SHARED_BYTES)} free",
    red="less free than the server takes",
    remedy="`docker run --shm-size 16g`, or remount `/dev/shm`",
    source="`launcher.preflight.checks.shared_bytes_needed`, which `up` asks as well; NCCL's "
    "guide, Docker",
)
def _shared_memory(target: ServingTarget, readers: Readers) -> Row:
    free = readers.free_disk_bytes(shared_memory.ROOT)
    needed = shared_bytes_needed(target.config)
    wanted_bytes = max(needed, NCCL_SHARED_BYTES) if _has_nccl(target) else needed
    is_slow = needed <= free < wanted_bytes
    return Row.judged(
        "shared memory",
        f"{human_bytes(free)} free in {shared_memory.ROOT}",
        f"{human_bytes(wanted_bytes)}{', for NCCL' if is_slow else ''}",
        red=free < needed,
        amber=is_slow,
        action="Enlarge it: `docker run --shm-size 16g`, `mount -o remount,size=16g /dev/shm`.",
    )


@_probe(
    "processes",
    amber=f"fewer than {PROCESSES_LEFT:,} more may be started",
    remedy="`ulimit -u`, `docker run --pids-limit -1`",
    source="ours; `RLIMIT_NPROC` and cgroup `pids.max`",
)
def _processes(_: ServingTarget, readers: Readers) -> Row:
    left = readers.processes_left()
    return Row.judged(
        "processes",
        "no limit" if left is None else f"{left:,} more may be started",
        f"{PROCESSES_LEFT:,} more",
        amber=left is not None and left < PROCESSES_LEFT,
        action="Raise it: `ulimit -u`, `docker run --pids-limit -1`.",
    )


@_probe(
    "locked-memory",
    amber="tensor parallel on GPUs, and not unlimited",
    remedy="`ulimit -l unlimited`, `docker run --ulimit memlock=-1`",
    source="NCCL's guide, Docker",
)
def _locked_memory(target: ServingTarget, readers: Readers) -> Row:
    soft = _endless(readers.limit("RLIMIT_MEMLOCK")[0])
    return Row.judged(
        "locked memory",
        "unlimited" if soft == _BIG else human_bytes(soft),
        "unlimited, for NCCL" if _has_nccl(target) else "any",
        amber=_has_nccl(target) and soft < _BIG,
        action="Lift it: `ulimit -l unlimited`, `docker run --ulimit memlock=-1`.",
    )


def _has_nccl(target: ServingTarget) -> bool:
    return target.on_gpu and ranks_of(target.config).count > 1


def _endless(limit: int) -> int:
    return _BIG if limit == _UNLIMITED else limit


def _count(number: int) -> str:
    return "unlimited" if number == _BIG else f"{number:,}"


PROBES: Final = (_open_files, _shared_memory, _processes, _locked_memory)

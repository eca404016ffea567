"""What this machine lacks: installed packages, memory, disk space, and what its limits allow."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry
from launcher.engines.sglang.causes.advice import fewer_tokens


def _shared_memory(match: LogMatch) -> str:
    if "bus error" in match.found[0].lower():
        return "A page of shared memory could not be had (bus error); most often /dev/shm is full."
    return "The shared memory of this machine, /dev/shm, is too small or full."


def _memory_allocation(match: LogMatch) -> str:
    asked = f" {int(match['bytes']) / 2**30:.1f} GiB at once" if match["bytes"] else " more"
    return f"The machine did not give the server{asked} of memory."


ERRORS: Final = {
    "import-failed": LogCause(
        broken_engine=True,
        pattern=r"^(?:ImportError|ModuleNotFoundError): (?P<what>.+)"
        r"|^OSError: (?P<library>lib\S+): ",
        applies=lambda match: not match.end.served,
        sample="ImportError: libzmq.so.5: cannot open shared object file\n"
        "ModuleNotFoundError: No module named 'zmq'\nOSError: libnuma.so.1: cannot open",
        summary=lambda match: f"SGLang cannot be imported: {match['what'].strip()}.",
        action="Reinstall the engine: `uv sync --reinstall-package sglang`.",
    ),
    "package-too-old": LogCause(
        broken_engine=True,
        pattern=r"^Exception: (?P<package>\S+) (?:is installed with version .* minimum required "
        r"version|with minimum required version) (?P<least>[\w.]*\w)",
        sample="Exception: sglang-kernel is installed with version 0.3.21, which is less than the "
        "minimum required version 0.4.9.",
        summary="The package {package} is too old or missing: {least} is needed.",
        action=lambda match: (
            f"Reinstall it: `uv sync --reinstall-package {match['package'].replace('_', '-')}`."
        ),
        remedy="Reinstall that package.",
    ),
    "shared-memory-full": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"(?:failed to extend|creating shared memory segment|shm_open|ftruncate)"
        r".*No space left on device|No space left on device.*/dev/shm|/dev/shm.*No space left"
        r"|Unexpected bus error encountered|Fatal Python error: Bus error"
        r"|unable to (?:write to|resize|allocate) (?:file|shared memory).*shm",
        sample="Error: failed to extend /dev/shm/nccl-WU88OE, error: No space left on device (28)\n"
        "Fatal Python error: Bus error",
        summary=_shared_memory,
        action="Enlarge it (`docker run --shm-size 16g`, `mount -o remount,size=16g /dev/shm`) or "
        "remove what dead processes left in it.",
    ),
    "disk-full": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"No space left on device(?: \(os error 28\))?(?:: '(?P<file>[^']*)')?"
        r"|Disk quota exceeded",
        sample="OSError: [Errno 28] No space left on device: '/scratch/tmp_yvsdk7m'",
        summary=lambda match: f"No space is left on the disk of {match['file'] or 'a disk'}.",
        action="Free space there (`df -h` and `df -i`), or point HF_HUB_CACHE or TMPDIR at a "
        "larger disk.",
    ),
    "too-many-open-files": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Too many open files",
        sample="OSError: [Errno 24] Too many open files: '/proc/17990/stat'",
        summary="The server may not open more files.",
        action="Raise the limit before the start, `ulimit -n 65535`, or LimitNOFILE= of the "
        "service.",
    ),
    "no-more-processes": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"can't start new thread|pthread_create failed|Thread creation failed"
        r"|\[Errno 11\] Resource temporarily unavailable"
        r"|Resource temporarily unavailable \(src/thread\.cpp"
        r"|fork: (?:retry: )?Resource temporarily unavailable",
        sample="RuntimeError: can't start new thread\n"
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        summary="The system refuses the server another process or thread.",
        action="Raise `ulimit -u` or the pids limit of the container, or end other processes.",
    ),
    "host-memory-allocation": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes|^MemoryError\b"
        r"|\[Errno 12\] Cannot allocate memory|std::bad_alloc",
        sample="MemoryError\n"
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1024000512 bytes.",
        summary=_memory_allocation,
        action=lambda match: f"Lower {fewer_tokens(match.config)}, or stop other programs.",
        remedy="**Lower** `--max-total-tokens`.",
    ),
}

# Below that line the kernels say why, which may be a cause of its own.
ECHOES: Final = {
    "kernels-unloadable": LogCause(
        broken_engine=True,
        pattern=r"\[sgl_kernel\] CRITICAL: Could not load any common_ops library",
        sample="[sgl_kernel] CRITICAL: Could not load any common_ops library!",
        summary="The engine's kernels (sgl_kernel) cannot be loaded.",
        action="Reinstall them: `uv sync --reinstall-package sglang-kernel`.",
    ),
}

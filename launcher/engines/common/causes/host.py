"""What a machine lacks: shared memory, disk space, and what its limits allow."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry
from launcher.engines.common.causes.folders import moved_by


def _shared_memory(match: LogMatch) -> str:
    if "bus error" in match.found[0].lower():
        return "A page of shared memory could not be had (bus error); most often /dev/shm is full."
    return "The shared memory of this machine, /dev/shm, is too small or full."


def _more_disk(match: LogMatch) -> str:
    file = match["file"]
    moved = "HF_HUB_CACHE or TMPDIR"
    if not file and (error := match.error) is not None:
        # Which cache it was, by the package that wrote.
        file = next(
            (frame.path for frame in reversed(error.frames) if moved_by(frame.path) != "HOME"), ""
        )
    if file and not file.startswith(("/scratch/tmp", "/tmp/tmp")):  # noqa: S108  # in a log
        moved = moved_by(file)
    return f"Free space there (`df -h` and `df -i`), or point {moved} at a larger disk."


ERRORS: Final = {
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
        summary=lambda match: (
            "The quota of this user is used up."
            if "quota" in match.found[0]
            else f"No space is left on the disk of {match['file']}."
            if match["file"]
            else "No space is left on a disk."
        ),
        action=_more_disk,
        remedy="Free space there, or point that cache's variable (HF_HUB_CACHE, TMPDIR) at a "
        "larger disk.",
    ),
    "too-many-open-files": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Too many open files",
        # vLLM warns of a limit in these words at each start.
        applies=lambda match: "ulimit -n" not in match.found.string,
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
}

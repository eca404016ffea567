"""Causes that lie with this machine: its memory, limits, disks, ports, and signals from outside."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from typing import Final

from launcher.engines.causes import Ending, Entry, Finding, Retry, SilentEntry, Words, sglang_option

# entrypoints/engine.py, managers/tokenizer_manager.py and utils/common.py of sglang 0.5.23.
_OWN_END: Final = (
    "include_parent=True",
    "Received sigquit",
    "SIGQUIT received",
    "hit an exception",
)
_SERVER_ERROR: Final = r"^(?:[\w.]*(?:Error|Exception)|\s*what\(\)): "


def _memory_allocation(finding: Finding) -> Words:
    asked = f" {int(finding['bytes']) / 2**30:.1f} GiB at once" if finding["bytes"] else " more"
    tokens = finding.config.max_total_tokens
    lower = f"from {tokens} to {max(1, tokens // 2)}" if tokens else "below what SGLang chose"
    return Words(
        f"The machine did not give the server{asked} of memory.",
        f"Lower --max-total-tokens {lower}, or stop other programs.",
    )


def _shared_memory(finding: Finding) -> Words:
    guess = "bus error" in finding.match[0].lower()
    return Words(
        "A page of shared memory could not be had (bus error); most often /dev/shm is full."
        if guess
        else "The shared memory of this machine, /dev/shm, is too small or full.",
        "Enlarge it (`docker run --shm-size 16g`, `mount -o remount,size=16g /dev/shm`) or remove "
        "what dead processes left in it.",
    )


def _disk_full(finding: Finding) -> Words:
    where = finding["file"] or "a disk"
    return Words(
        f"No space is left on the disk of {where}.",
        "Free space there (`df -h` and `df -i`), or point HF_HUB_CACHE or TMPDIR at a larger disk.",
    )


def _open_files(_: Finding) -> Words:
    return Words(
        "The server may not open more files.",
        "Raise the limit before the start, `ulimit -n 65535`, or LimitNOFILE= of the service.",
    )


def _processes(_: Finding) -> Words:
    return Words(
        "The system refuses the server another process or thread.",
        "Raise `ulimit -u` or the pids limit of the container, or end other processes.",
    )


def _http_port(finding: Finding) -> Words:
    port = finding["port"] or str(finding.config.port)
    return Words(
        f"Somebody else took port {port} while the model was loaded.",
        f"Stop that process (`ss -ltnp 'sport = :{port}'`), or choose another --port.",
    )


def _internal_port(finding: Finding) -> Words:
    port = finding["port"] or finding["derived"] or finding["zmq"]
    which = f"Port {port}" if port else "A port"
    chosen = [
        flag
        for flag in ("--nccl-port", "--dist-init-addr")
        if sglang_option(finding.config, flag) is not None
    ]
    if chosen:
        action = f"Choose another {chosen[0]}, or leave it out."
    elif finding["derived"]:
        action = "Choose another --port: SGLang counts its own ports from it."
    else:
        action = "Start again: SGLang looks for a free port each time."
    return Words(f"{which}, where the server's processes meet, is taken by another one.", action)


def _rendezvous(_: Finding) -> Words:
    return Words(
        "The ranks did not find each other in time.",
        "Look for a rank that ended or hangs further up; `-- --dist-timeout 1800` waits longer.",
    )


def _watchdog(finding: Finding) -> Words:
    seconds = float(finding["seconds"])
    who = (finding["who"] or "scheduler").strip().lower()
    doubled = max(600, round(2 * seconds))
    return Words(
        f"SGLang's own watchdog saw no progress of the {who} for {seconds:g} s and "
        "ended the server.",
        f"If kernels were being compiled then, `-- --watchdog-timeout {doubled}`; else the server "
        "hung, and the stacks above say where.",
    )


def _worker_killed(finding: Finding) -> Words:
    return Words(
        f"Somebody outside killed the {_process(finding)}.",
        "Nothing in the configuration is to blame; `dmesg -T` may tell who it was.",
    )


def _worker_killed_for_memory(finding: Finding) -> Words:
    return Words(
        f"The kernel killed the {_process(finding)} for want of memory.",
        _free_memory(finding.ending),
    )


def _killed_for_memory(ending: Ending) -> Words:
    return Words(
        f"The kernel killed {ending.oom_kills} of the processes here for want of memory.",
        _free_memory(ending),
    )


def _free_memory(ending: Ending) -> str:
    tokens = ending.config.max_total_tokens
    lower = f"from {tokens} to {max(1, tokens // 2)}" if tokens else "below what SGLang chose"
    return (
        "Raise the memory limit of the container or service, stop other programs, or lower "
        f"--max-total-tokens {lower}."
    )


def _killed(_: Ending) -> Words:
    return Words(
        "Somebody outside killed the server with SIGKILL.",
        "Nothing in the configuration is to blame; `dmesg -T` may tell who it was.",
    )


def _stopped(ending: Ending) -> Words:
    return Words(
        f"Somebody outside stopped the server with {_signal_name(ending)}.",
        "Stop it with `python -m launcher down`, which it is not started again after.",
    )


def _crashed_silently(ending: Ending) -> Words:
    return Words(
        f"The server's first process crashed in native code ({_signal_name(ending)}).",
        "Should it repeat, decode without a draft model, --no-speculation.",
    )


def _signal_name(ending: Ending) -> str:
    return signal.Signals(-(ending.returncode or 0)).name


def _ended_by(*numbers: signal.Signals) -> Callable[[Ending], bool]:
    return lambda ending: ending.returncode in {-number for number in numbers}


def _ended_itself(ending: Ending) -> bool:
    """Whether SGLang killed its own tree, which looks like a SIGKILL from outside."""
    return any(sign in line for line in ending.lines for sign in _OWN_END)


def _process(finding: Finding) -> str:
    name = finding["name"] or f"scheduler_{finding['rank'] or 0}"
    kind, _, rank = name.partition("_")
    return f"{kind} of rank {rank}" if rank else kind


def _worker_crashed(finding: Finding) -> Words:
    return Words(
        f"The {_process(finding)} crashed in native code (signal {finding['signal']}).",
        "Look for `Fatal Python error` and its stack further up; should it repeat, decode without "
        "a draft model, --no-speculation.",
    )


def _rank_lost(_: Finding) -> Words:
    return Words(
        "One of the ranks ended without a word, and the others lost their connection to it.",
        "Look for it in `dmesg -T`; a rank that the kernel kills for want of memory says nothing.",
    )


def _crashed(finding: Finding) -> Words:
    return Words(
        f"The server crashed in native code: {finding['what']}.",
        "Read the stack under that line; should it repeat, decode without a draft model, "
        "--no-speculation.",
    )


def _kernels_broken(_: Finding) -> Words:
    return Words(
        "The engine's kernels (sgl_kernel) cannot be loaded.",
        "Reinstall them: `uv sync --reinstall-package sglang-kernel`.",
    )


def _import_failed(finding: Finding) -> Words:
    return Words(
        f"SGLang cannot be imported: {finding['what'].strip()}.",
        "Reinstall the engine: `uv sync --reinstall-package sglang`.",
    )


def _old_package(finding: Finding) -> Words:
    return Words(
        f"The package {finding['package']} is too old or missing: {finding['least']} is needed.",
        f"Reinstall it: `uv sync --reinstall-package {finding['package'].replace('_', '-')}`.",
    )


ENTRIES: Final[tuple[Entry, ...]] = (
    Entry(
        name="import-failed",
        retry=Retry.NEVER,
        looks="`ImportError`, `ModuleNotFoundError`, `OSError: lib…` at the start of a line",
        remedy="reinstall `sglang`",
        pattern=re.compile(
            r"^(?:ImportError|ModuleNotFoundError): (?P<what>.+)|^OSError: (?P<library>lib\S+): "
        ),
        applies=lambda finding: not finding.ending.served,
        explain=_import_failed,
    ),
    Entry(
        name="package-too-old",
        retry=Retry.NEVER,
        looks="`is less than the minimum required version`",
        remedy="reinstall that package",
        pattern=re.compile(
            r"^Exception: (?P<package>\S+) (?:is installed with version .* minimum required "
            r"version|with minimum required version) (?P<least>[\w.]*\w)"
        ),
        explain=_old_package,
    ),
    Entry(
        name="shared-memory-full",
        retry=Retry.ONCE_SERVED,
        looks="`No space left on device` or `Bus error` on `/dev/shm`",
        remedy="enlarge `/dev/shm`, or empty it",
        pattern=re.compile(
            r"(?:failed to extend|creating shared memory segment|shm_open|ftruncate)"
            r".*No space left on device|No space left on device.*/dev/shm|/dev/shm.*No space left"
            r"|Unexpected bus error encountered|Fatal Python error: Bus error"
            r"|unable to (?:write to|resize|allocate) (?:file|shared memory).*shm"
        ),
        explain=_shared_memory,
    ),
    Entry(
        name="disk-full",
        retry=Retry.ONCE_SERVED,
        looks="`No space left on device`",
        remedy="free space, or `HF_HUB_CACHE` on another disk",
        pattern=re.compile(
            r"No space left on device(?: \(os error 28\))?(?:: '(?P<file>[^']*)')?"
            r"|Disk quota exceeded"
        ),
        explain=_disk_full,
    ),
    Entry(
        name="too-many-open-files",
        retry=Retry.ONCE_SERVED,
        looks="`Too many open files`",
        remedy="**raise** `ulimit -n`",
        pattern=re.compile(r"Too many open files"),
        explain=_open_files,
    ),
    Entry(
        name="no-more-processes",
        retry=Retry.ONCE_SERVED,
        looks="`can't start new thread`, `Resource temporarily unavailable`",
        remedy="**raise** `ulimit -u` or the pids limit",
        pattern=re.compile(
            r"can't start new thread|pthread_create failed|Thread creation failed"
            r"|\[Errno 11\] Resource temporarily unavailable"
            r"|Resource temporarily unavailable \(src/thread\.cpp"
            r"|fork: (?:retry: )?Resource temporarily unavailable"
        ),
        explain=_processes,
    ),
    Entry(
        name="host-memory-allocation",
        retry=Retry.ONCE_SERVED,
        looks="`DefaultCPUAllocator: can't allocate memory`, `MemoryError`",
        remedy="**lower** `--max-total-tokens`",
        pattern=re.compile(
            r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes|^MemoryError\b"
            r"|\[Errno 12\] Cannot allocate memory|std::bad_alloc"
        ),
        explain=_memory_allocation,
    ),
    Entry(
        name="http-port-taken",
        retry=Retry.ALWAYS,
        looks="`error while attempting to bind on address`",
        remedy="stop the other process, or another `--port`",
        pattern=re.compile(r"error while attempting to bind on address \('[^']*', (?P<port>\d+)"),
        explain=_http_port,
    ),
    Entry(
        name="internal-port-taken",
        retry=Retry.ALWAYS,
        looks="`EADDRINUSE`, `Address already in use`, `nccl_port at … is not available`",
        remedy="start again, or another `--nccl-port`",
        pattern=re.compile(
            r"port: (?P<port>\d+), .*EADDRINUSE|EADDRINUSE"
            rf"|{_SERVER_ERROR}\w+ at (?P<derived>\d+) is not available in \d+ seconds"
            r"|ZMQError: Address already in use(?: \(addr='[^']*:(?P<zmq>\d+)'\))?"
        ),
        explain=_internal_port,
    ),
    Entry(
        name="rendezvous-timeout",
        retry=Retry.ONCE_SERVED,
        looks="`DistStoreError: Timed out after … waiting for clients`",
        remedy="look for the rank that is missing",
        pattern=re.compile(
            r"(?:DistStoreError|DistNetworkError|TimeoutError|RuntimeError): .*"
            r"(?:[Tt]imed out after \d+ seconds|client socket has timed out|Timed out waiting)"
            r"|wait timeout after \d+ms"
        ),
        explain=_rendezvous,
    ),
    Entry(
        name="watchdog-timeout",
        retry=Retry.ONCE_SERVED,
        looks="`watchdog timeout (self.watchdog_timeout=300, self.soft=False)`",
        remedy="**raise** `--watchdog-timeout` if kernels were compiling",
        pattern=re.compile(
            r"(?P<who>\b\w{1,40} |)[Ww]atchdog timeout "
            r"\(self\.watchdog_timeout=(?P<seconds>[\d.]+), self\.soft=False\)"
        ),
        explain=_watchdog,
    ),
    Entry(
        name="crashed-natively",
        retry=Retry.ONCE_SERVED,
        looks="`Fatal Python error: Segmentation fault`",
        remedy="read the stack; `--no-speculation` should it repeat",
        pattern=re.compile(
            r"Fatal Python error: (?P<what>Segmentation fault|Aborted|Illegal instruction"
            r"|Floating[ -]point exception)"
        ),
        explain=_crashed,
    ),
)

# Below that line the kernels say why, which may be a cause of its own; and what the server's first
# process says of a child that said nothing itself.
_CHILD_ENDED: Final = (
    r"(?:Subprocess (?P<name>\w+) \(pid=\d+\) crashed with exit code "
    r"|Rank (?P<rank>\d+) scheduler died during initialization \(exit code: )"
)
FALLOUT: Final[tuple[Entry, ...]] = (
    Entry(
        name="kernels-unloadable",
        retry=Retry.NEVER,
        looks="`[sgl_kernel] CRITICAL: Could not load any common_ops library`",
        remedy="reinstall `sglang-kernel`",
        pattern=re.compile(r"\[sgl_kernel\] CRITICAL: Could not load any common_ops library"),
        explain=_kernels_broken,
    ),
    Entry(
        name="host-memory-kill",
        retry=Retry.ONCE_SERVED,
        looks="a child's `exit code -9`, and the kernel's count of kills grew",
        remedy="more memory, or **lower** `--max-total-tokens`",
        pattern=re.compile(rf"{_CHILD_ENDED}-9\b"),
        applies=lambda finding: finding.ending.oom_kills > 0,
        explain=_worker_killed_for_memory,
    ),
    Entry(
        name="worker-killed",
        retry=Retry.ALWAYS,
        looks="`Subprocess scheduler_0 … crashed with exit code -9`, and no other word",
        remedy="nothing; `dmesg` may tell who",
        pattern=re.compile(rf"{_CHILD_ENDED}-(?:9|15)\b"),
        explain=_worker_killed,
    ),
    Entry(
        name="worker-crashed",
        retry=Retry.ONCE_SERVED,
        looks="`Subprocess scheduler_0 … crashed with exit code -11`",
        remedy="read the stack; `--no-speculation` should it repeat",
        pattern=re.compile(rf"{_CHILD_ENDED}-(?P<signal>\d+)\b"),
        explain=_worker_crashed,
    ),
    Entry(
        name="rank-lost",
        retry=Retry.ONCE_SERVED,
        looks="`Connection closed by peer`, `remote process exited or there was a network error`",
        remedy="look for the rank that ended first",
        pattern=re.compile(
            r"^[\w.]*Error: .*(?:Connection (?:closed|reset) by peer"
            r"|remote process exited or there was a network error)"
        ),
        explain=_rank_lost,
    ),
)

# Concluded from the way it ended alone, in this order.
SILENT: Final[tuple[SilentEntry, ...]] = (
    SilentEntry(
        name="host-memory-kill",
        retry=Retry.ONCE_SERVED,
        looks="SIGKILL, and the kernel's count of kills grew",
        remedy="more memory, or **lower** `--max-total-tokens`",
        # A rank that lost another may have said something first, and its tree be killed for it.
        applies=lambda ending: (
            ending.oom_kills > 0 and ending.returncode in {None, -signal.SIGKILL}
        ),
        explain=_killed_for_memory,
    ),
    SilentEntry(
        name="killed-from-outside",
        retry=Retry.ALWAYS,
        looks="SIGKILL, and no error in the output",
        remedy="nothing; `dmesg` may tell who",
        applies=lambda ending: _ended_by(signal.SIGKILL)(ending) and not _ended_itself(ending),
        explain=_killed,
    ),
    SilentEntry(
        name="stopped-from-outside",
        retry=Retry.ALWAYS,
        looks="SIGTERM, SIGINT or SIGHUP that the launcher did not send",
        remedy="stop it with `python -m launcher down`",
        applies=_ended_by(signal.SIGTERM, signal.SIGINT, signal.SIGHUP),
        explain=_stopped,
    ),
    SilentEntry(
        name="crashed-natively",
        retry=Retry.ONCE_SERVED,
        looks="SIGSEGV, SIGABRT, SIGBUS, SIGILL or SIGFPE",
        remedy="`--no-speculation` should it repeat",
        applies=_ended_by(
            signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE
        ),
        explain=_crashed_silently,
    ),
)

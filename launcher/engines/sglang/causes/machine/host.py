"""What this machine lacks: installed packages, memory, disk space, and what its limits allow."""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry
from launcher.engines.common.causes import host
from launcher.engines.sglang.causes.advice import fewer_tokens, sglang_option
from launcher.text import whole_number


def _memory_allocation(match: LogMatch) -> str:
    asked = (
        f" {whole_number(match['bytes']) / 2**30:.1f} GiB at once" if match["bytes"] else " more"
    )
    return f"The machine did not give the server{asked} of memory."


def _less_host_memory(match: LogMatch) -> str:
    asked = sglang_option(match.config, "--enable-hierarchical-cache") is not None
    if asked or match.came_through_path("memory_pool_host", "hiradix", "hicache"):
        size = sglang_option(match.config, "--hicache-size")
        given = f" from {size}" if size else ""
        return (
            f"Lower `-- --hicache-size`{given} (GB for each rank) or `-- --hicache-ratio`: the "
            "hierarchical cache is in the host's memory; or give the machine more."
        )
    tokens = fewer_tokens(match.config)
    return f"Lower {tokens}, stop other programs, or lift a limit (`ulimit -v`)."


def _killed_by_kernel(match: LogMatch) -> str:
    name = f" ({match['name']})" if match["name"] else ""
    return f"The kernel killed a process of the server{name} for want of the host's memory."


ERRORS: Final = {
    "host-memory-kill": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"(?:Out of memory|out of memory): Killed process \d+ \((?P<name>[^)]{1,40})\)"
        r"|\boom-kill:|Killed process \d+ \((?P<other>(?:sglang|python)[^)]{0,40})\)"
        r"|\bOOMKilled\b(?:: ?true|=true)?|killed by the OOM killer|result 'oom-kill'",
        sample="Memory cgroup out of memory: Killed process 48390 (sglang::schedul) "
        "total-vm:98112344kB, anon-rss:31200112kB",
        summary=_killed_by_kernel,
        action=lambda match: (
            "Raise the memory limit of the container or service, stop other programs, or lower "
            f"{fewer_tokens(match.config)} on a CPU, `-- --hicache-size` with a hierarchical cache."
        ),
        remedy="Take more memory, or **lower** `--max-total-tokens`.",
    ),
    **host.ERRORS,
    "host-memory-allocation": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"can't allocate memory: you tried to allocate (?P<bytes>\d+) bytes|^MemoryError\b"
        r"|\[Errno 12\] Cannot allocate memory|std::bad_alloc",
        sample="MemoryError\n"
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 1024000512 bytes.",
        summary=_memory_allocation,
        action=_less_host_memory,
        remedy="**Lower** `--max-total-tokens`.",
    ),
}

"""What the scheduler counts itself: request slots, tokens of the pool, its check of both.

None of these wants a lower static fraction: the pool is not what is too large. The texts are those
of mem_cache/, managers/schedule_batch.py and managers/scheduler_components/.
"""

from __future__ import annotations

import math
import re
from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry, raised
from launcher.engines.sglang.causes.advice import lower_requests, sglang_option
from launcher.text import decimal_number


def _host_cache(match: LogMatch) -> str:
    if not match["wanted"]:
        return "The host's memory is too small for the hierarchical cache."
    return (
        f"The hierarchical cache wants {decimal_number(match['wanted']):g} GB of the host's memory "
        f"and {decimal_number(match['free']):g} GB are free."
    )


def _smaller_host_cache(match: LogMatch) -> str:
    size = sglang_option(match.config, "--hicache-size")
    ratio = sglang_option(match.config, "--hicache-ratio")
    if size:
        change = f"Lower `-- --hicache-size` from {size}"
    else:
        change = f"Lower `-- --hicache-ratio`{f' from {ratio}' if ratio else ' (2 by default)'}"
    if match["wanted"] and match["free"]:
        # Each rank takes its share, and something has to stay free for the machine.
        share = math.floor(0.8 * decimal_number(match["free"]))
        change += f", or set `-- --hicache-size {max(1, share)}` (GB for each rank)"
    return f"{change}, give the machine more memory, or leave --enable-hierarchical-cache out."


def _more_pool(match: LogMatch) -> str:
    conservative = sglang_option(match.config, "--schedule-conservativeness")
    number = decimal_number(conservative) if conservative and _is_number(conservative) else 1.0
    return (
        f"Lower {lower_requests(match.config)}, or have fewer requests retract each other with "
        f"`-- --schedule-conservativeness {number + 0.3:g}`; a larger pool helps as well "
        "(--kv-cache-dtype fp8_e4m3, a higher --mem-fraction-static, more GPUs)."
    )


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(?:\.\d+)?", text) is not None


def _slots(match: LogMatch) -> str:
    given = match.config.max_running_requests
    return "The scheduler has no free request slot left" + (
        f": --max-running-requests is {given}." if given else "."
    )


ERRORS: Final = {
    "cache-check-failed": LogCause(
        retry=Retry.ALWAYS,
        pattern=raised(r".*(?:memory leak detected|mem(?:ory)? leak|leak detected)")
        + r"|pool memory leak detected",
        sample="ValueError: pool memory leak detected! [full] total=1000, available=2, "
        "evictable=990, protected=0, session_held=0, uncached=0",
        summary="SGLang's own check of its KV cache failed: its books do not add up, which is a "
        "fault of SGLang and not of this machine.",
        action="Start it again; should it return, set SGLANG_ENABLE_STRICT_MEM_CHECK_DURING_IDLE=0 "
        "or use `-- --disable-radix-cache`, and report it to SGLang.",
    ),
    "request-slots": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"alloc_req_slots runs out of memory|req_to_token_pool.*(?:full|exhausted)",
        sample="RuntimeError: alloc_req_slots runs out of memory. Please set a smaller number for "
        "`--max-running-requests`. req_to_token_pool.available_size()=0, num_reqs=1,",
        summary=_slots,
        action=lambda match: (
            f"Lower {lower_requests(match.config)}, as SGLang itself advises; less GPU memory for "
            "the rest does not help."
        ),
        remedy="**Lower** `--max-running-requests`.",
    ),
    "kv-cache-exhausted": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=raised(
            r".*(?:(?:[Pp]refill|[Dd]ecode|[Vv]erify|[Dd]raft|Extend) out of memory"
            r"|[Tt]ry to lower your batch size|alloc\w*token\w* (?:runs out|out of)"
            r"|token_to_kv_pool\w*.*(?:is full|exhausted|out of)|KV cache pool is full"
            r"|[Ff]ailed to allocate .{0,20}(?:KV|token|page|slot)s?)"
        ),
        sample="RuntimeError: Prefill out of memory. Try to lower your batch size.",
        summary="The KV cache has no room left for the requests that were let in.",
        action=_more_pool,
        remedy="**Lower** `--max-running-requests`, or make the pool larger; a lower fraction "
        "makes it worse.",
    ),
    "host-cache-memory": LogCause(
        pattern=r"cudaHost(?:Register|Alloc) failed|Not enough host memory available\."
        r"(?: Requesting (?P<wanted>[\d.]+) GB but only have (?P<free>[\d.]+) GB)?",
        sample="ValueError: Not enough host memory available. Requesting 64.00 GB but only have "
        "20.50 GB free. Please reduce the size of the hierarchical cache.",
        summary=_host_cache,
        action=_smaller_host_cache,
        remedy="**Lower** `--hicache-ratio` or `--hicache-size`.",
    ),
}

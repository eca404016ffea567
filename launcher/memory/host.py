"""What a server on a CPU takes of the host's memory, in all its processes. Pure."""

from __future__ import annotations

from typing import Final

from launcher.memory.lines import CPU_DRIFT_BYTES, CPU_ENGINE_BYTES, CPU_FURTHER_RANK_BYTES
from launcher.memory.plan import MemoryPlan
from launcher.system.hardware import GIB

# What the first requests add to what the processes hold once the KV cache is there: 0.44 GiB,
# measured: launcher/engines/sglang/plugins/cpu/README.md, "Memory".
REQUESTS_BYTES: Final = int(0.47 * GIB)


def engine_host_bytes(ranks: int = 1) -> int:
    """All processes without weights and KV cache, after some requests, in bytes, at most.

    Where they share one import they take less, and up to this where their pages part in time.

    Formula: engine + further ranks + imports of each rank + requests, of `launcher.memory.lines`.
    """
    return (
        CPU_ENGINE_BYTES
        + (ranks - 1) * CPU_FURTHER_RANK_BYTES
        + ranks * CPU_DRIFT_BYTES
        + REQUESTS_BYTES
    )


def planned_host_bytes(plan: MemoryPlan) -> int:
    """What a planned server takes, in bytes.

    Formula: engine + ranks x (target weights + draft weights + KV cache asked for). It is asked for
    in bytes, or in tokens; where it is not, it takes what is left, so that nothing is asked for.
    """
    tokens = plan.settings.max_total_tokens or 0
    ranks = plan.settings.ranks_here
    cache = plan.settings.kv_cache_bytes or tokens * plan.bytes_per_token
    of_a_rank = plan.weights_bytes + plan.draft_bytes + cache
    engine = plan.host_engine_bytes or engine_host_bytes(ranks)
    return engine + ranks * of_a_rank


def unplanned_host_bytes(ranks: int, files_bytes: int, *, wide: bool) -> int:
    """What a server takes whose model cannot be planned, by its files; without its KV cache.

    Args:
        ranks: of this machine.
        files_bytes: of the weights, in 16 bits as files have them.
        wide: they are served in 32 bits.
    """
    return engine_host_bytes(ranks) + files_bytes * (2 if wide else 1)

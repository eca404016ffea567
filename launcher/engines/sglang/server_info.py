"""What SGLang says of its own memory at `/server_info`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from launcher.memory.report import ReportedMemory
from launcher.system.hardware import GIB


class _MemoryUsage(BaseModel):
    """Source: sglang, managers/scheduler_components/memory_usage.py; sizes are in GiB."""

    weight: float
    kvcache: float
    token_capacity: int
    startup_available: float | None = None
    graph: dict[str, float] = {}


def read_server_info(info: Mapping[str, Any]) -> ReportedMemory | None:
    """The memory figures of an answer to `/server_info`; None where it has none that we know."""
    states = info.get("internal_states")
    state = states[0] if isinstance(states, list) and states else None
    if not isinstance(state, Mapping):
        return None
    try:
        usage = _MemoryUsage.model_validate(state.get("memory_usage"))
        return ReportedMemory(
            mem_fraction_static=info.get("mem_fraction_static"),
            weights_bytes=round(usage.weight * GIB),
            kv_cache_bytes=round(usage.kvcache * GIB),
            kv_cache_tokens=usage.token_capacity,
            graph_bytes=round(sum(usage.graph.values()) * GIB),
            free_bytes=_bytes(usage.startup_available),
            max_running_requests=info.get("max_running_requests"),
        )
    except ValidationError:
        return None


def _bytes(gib: float | None) -> int | None:
    return None if gib is None else round(gib * GIB)

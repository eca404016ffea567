"""The memory of one rank under vLLM, planned line by line before anything is loaded. Pure.

vLLM takes a share of all memory, also of what others hold. It loads target and draft weights, runs
the largest step that it may get, and what neither these nor the driver took becomes the KV cache
(`v1/worker/gpu_worker.py`, `determine_available_memory`). On a CPU nothing is profiled: the KV
cache has the size that is asked for. Files named as a source are those of the verified version:
`launcher.engines.vllm.version`.
"""

from __future__ import annotations

import math

from launcher.memory.gpu.baseline import Spread
from launcher.memory.lines import Device, Line, Settings
from launcher.memory.plan import MemoryPlan, kv_bytes_per_token
from launcher.memory.shape import ModelShape
from launcher.memory.vllm.lines import (
    CPU_BLOCK_TOKENS,
    CPU_PROCESSES_BYTES,
    CPU_WORKER,
    DEFAULT_UTILIZATION,
    GPU_BLOCK_TOKENS,
    GRAPHS,
    NON_TORCH,
    activation_bytes,
    batch_sizes,
    draft_lines,
    fragmentation_line,
    reserved_spread,
    weight_lines,
)
from launcher.system.hardware import GIB
from launcher.text import human_bytes

_NOTHING = Spread(0, 0, 0)


def plan_memory(model: str, shape: ModelShape, device: Device, settings: Settings) -> MemoryPlan:
    """Plan one rank.

    Formula: KV cache = utilization x total - target weights - draft weights - activations -
    non-torch - graphs, or what is asked for; tokens: see `reported_tokens`.
    Source: v1/worker/gpu_worker.py (`determine_available_memory`), v1/worker/cpu_worker.py,
    v1/core/kv_cache_utils.py (`get_kv_cache_config_from_groups`).
    """
    weight_type = settings.weight_type or shape.served_type
    utilization = settings.gpu_memory_utilization or DEFAULT_UTILIZATION
    main, draft = (
        lines(shape, device, settings, weight_type) for lines in (weight_lines, draft_lines)
    )
    weights_bytes, draft_bytes = (sum(line.size_bytes for line in part) for part in (main, draft))
    reserved = reserved_spread(device) if device.kind == "cuda" else _NOTHING
    total_bytes = device.total_bytes - reserved.usual_bytes
    others = _other_lines(shape, device, settings, weight_type)
    slack_bytes = total_bytes - math.ceil(utilization * total_bytes)
    lines = (
        *_total_lines(device, reserved),
        Line(
            "outside the utilization",
            slack_bytes,
            f"(1 - {utilization:g}) x {total_bytes / GIB:.1f} GiB",
            "v1/worker/utils.py, request_memory",
        ),
        *main,
        *draft,
        *others,
    )
    pool_bytes = sum(line.sign * line.size_bytes for line in lines)
    free_at_pool = pool_bytes + slack_bytes
    spread = _pool_spread(device, settings, utilization, reserved)
    asked_bytes = settings.kv_cache_bytes
    bytes_per_token = kv_bytes_per_token(shape, settings, settings.kv_type or weight_type)
    context = settings.context_length_tokens or shape.max_positions
    low, usual, high = (
        reported_tokens(
            pool_bytes + spread.usual_bytes - taken_bytes if asked_bytes is None else asked_bytes,
            bytes_per_token,
            context,
            block_tokens(device, settings),
        )
        for taken_bytes in (spread.most_bytes, spread.usual_bytes, spread.least_bytes)
    )
    if asked_bytes is not None:
        # Nothing of it is looked at: whoever asks knows that there is room.
        pool_bytes, lines = asked_bytes, (*main, *draft)
    explained = "what is asked for" if asked_bytes is not None else "what is left"
    return MemoryPlan(
        model=model,
        shape=shape,
        device=device,
        settings=settings,
        fraction=utilization,
        lines=(*lines, Line("KV cache", pool_bytes, explained, "v1/core/kv_cache_utils.py", 0)),
        baseline_bytes=total_bytes,
        weights_bytes=weights_bytes,
        draft_bytes=draft_bytes,
        pool_bytes=pool_bytes,
        bytes_per_token=bytes_per_token,
        kv_cache_tokens=usual,
        kv_cache_tokens_low=low,
        kv_cache_tokens_high=high,
        wanted_context_tokens=context,
        max_running_requests=batch_sizes(device, settings)[1],
        own_fraction=DEFAULT_UTILIZATION,
        least_fraction=1 - free_at_pool / total_bytes if total_bytes > 0 else 1.0,
        planner=plan_memory,
        fraction_field="gpu_memory_utilization",
        host_engine_bytes=CPU_PROCESSES_BYTES + settings.tp_size * CPU_WORKER.most_bytes,
        whole_context=True,
        obstacle=_obstacle(device, math.ceil(utilization * total_bytes), settings),
    )


def block_tokens(device: Device, settings: Settings) -> int:
    """Tokens that share a block of the KV cache."""
    own = CPU_BLOCK_TOKENS if device.kind == "cpu" else GPU_BLOCK_TOKENS
    return settings.kv_block_tokens or own


def reported_tokens(
    pool_bytes: int, bytes_per_token: int, context_tokens: int, tokens_per_block: int
) -> int:
    """What vLLM says that a KV cache has room for.

    Formula: blocks / blocks of a request of the whole context x that context, in whole tokens.
    Source: v1/core/kv_cache_utils.py, `get_max_concurrency_for_kv_cache_config`,
    `get_kv_cache_capacity`.
    """
    blocks = max(0, pool_bytes) // (bytes_per_token * tokens_per_block)
    return int(blocks / math.ceil(context_tokens / tokens_per_block) * context_tokens)


def _total_lines(device: Device, reserved: Spread) -> tuple[Line, ...]:
    if device.kind == "cpu":
        return (Line("the host's memory", device.total_bytes, "as the kernel reports it", "", 1),)
    known = "" if device.reserved_bytes else f", {_band(reserved)}"
    return (
        Line("the card's memory", device.total_bytes, "all of it, free or not", "", 1),
        Line(
            "kept by the driver",
            reserved.usual_bytes,
            f"what CUDA does not give out{known}",
            "docs/plan-vllm.md",
        ),
    )


def _other_lines(
    shape: ModelShape, device: Device, settings: Settings, weight_type: str
) -> tuple[Line, ...]:
    """What is neither weights nor KV cache."""
    if device.kind == "cpu":
        return (
            Line(
                "worker process",
                CPU_WORKER.usual_bytes,
                _band(CPU_WORKER),
                "measured, docs/plan-vllm.md",
            ),
        )
    tokens, requests = batch_sizes(device, settings)
    activations = Line(
        "activations",
        activation_bytes(shape, device, settings),
        f"peak of a step of {tokens:,} tokens, {requests:,} requests",
        "v1/worker/gpu_model_runner.py, profile_run",
    )
    kernels = Line(
        "kernels, workspaces", NON_TORCH.usual_bytes, _band(NON_TORCH), "docs/plan-vllm.md"
    )
    estimate = f"estimated by vLLM, {_band(GRAPHS)}"
    graphs = Line("CUDA graphs", GRAPHS.usual_bytes, estimate, "docs/plan-vllm.md")
    gaps = fragmentation_line(shape, device, settings, weight_type)
    there = (gaps, activations, kernels, graphs if settings.graphs else None)
    return tuple(line for line in there if line is not None)


def _band(spread: Spread) -> str:
    return f"{spread.least_bytes / GIB:.2f} to {spread.most_bytes / GIB:.2f} GiB"


def _pool_spread(
    device: Device, settings: Settings, utilization: float, reserved: Spread
) -> Spread:
    """How much less the KV cache may have, by all that is known as a range only.

    Formula: the sum of the ranges; of what the driver keeps, the utilization's share.
    """
    if device.kind == "cpu":
        return CPU_WORKER
    graphs = GRAPHS if settings.graphs else _NOTHING
    return Spread(
        *(
            int(utilization * kept) + kernels + graph
            for kept, kernels, graph in (
                (reserved.least_bytes, NON_TORCH.least_bytes, graphs.least_bytes),
                (reserved.usual_bytes, NON_TORCH.usual_bytes, graphs.usual_bytes),
                (reserved.most_bytes, NON_TORCH.most_bytes, graphs.most_bytes),
            )
        )
    )


def _obstacle(device: Device, requested_bytes: int, settings: Settings) -> str:
    """Why vLLM would not start at all, whatever the sum: others hold too much of the memory.

    Source: v1/worker/utils.py, `request_memory`; v1/worker/cpu_worker.py.
    """
    if not device.is_here:
        return ""
    asked_bytes = settings.kv_cache_bytes
    if asked_bytes is not None:
        if device.free_bytes >= asked_bytes:
            return ""
        return (
            f"The KV cache is to have {human_bytes(asked_bytes)}, and "
            f"{human_bytes(device.free_bytes)} are free."
        )
    if device.free_bytes >= requested_bytes:
        return ""
    return (
        f"vLLM wants {human_bytes(requested_bytes)} to be free when it starts, and "
        f"{human_bytes(device.free_bytes)} are: others hold the rest."
    )

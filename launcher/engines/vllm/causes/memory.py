"""Memory that runs out: of the GPU, or of the host where the model runs there.

vLLM takes a share of all memory for everything, so advice has two directions: what is planned too
small wants a larger share, what others hold wants a smaller one.
Source: vllm 0.32.0, v1/worker/utils.py, v1/core/kv_cache_utils.py, v1/worker/gpu_model_runner.py.
"""

from __future__ import annotations

import math
from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry
from launcher.engines.phases import Phase
from launcher.text import decimal_number, whole_number

# Of vllm 0.32.0, config/cache.py: what it takes where nobody says otherwise.
DEFAULT_SHARE: Final = 0.92
_LARGEST_SHARE: Final = 0.97
_SMALLEST_SHARE: Final = 0.3
_STEP: Final = 0.05
_FEW_REQUESTS: Final = 64
_SAYS: Final = r"(?:Error: |Value error, )"


def _share(match: LogMatch) -> float:
    return match.config.gpu_memory_utilization or DEFAULT_SHARE


def _lower_share(match: LogMatch) -> str:
    """The clause that leaves more memory to what is not planned."""
    return f"lower --gpu-memory-utilization from {_share(match):g} to {_below(_share(match)):g}"


def _below(share: float) -> float:
    return max(_SMALLEST_SHARE, round(share - _STEP, 2))


def _raise_share(match: LogMatch) -> str:
    """The clause that plans with more memory, or with more GPUs where there is no more."""
    share = _share(match)
    if share < _LARGEST_SHARE - 0.005:
        target = min(_LARGEST_SHARE, round(share + _STEP, 2))
        return f"raise --gpu-memory-utilization from {share:g} to {target:g}"
    return f"raise --tp-size from {match.config.tp_size} to {2 * match.config.tp_size}"


def _taken(match: LogMatch) -> str:
    free, total = decimal_number(match["free"]), decimal_number(match["total"])
    gpu = f"GPU {match['gpu']}" if match["gpu"] else "A GPU"
    return (
        f"{gpu} has {free:g} of {total:g} GiB free, and the share {match['share']} of it, "
        f"{match['wanted']} GiB, is to be free at the start."
    )


def _free_it(match: LogMatch) -> str:
    free, total = decimal_number(match["free"]), decimal_number(match["total"])
    held = f"End what holds {total - free:.1f} GiB of it (`nvidia-smi` shows who)"
    fits = math.floor(free / total * 100) / 100 - 0.01 if total else 0.0
    if fits < _SMALLEST_SHARE:
        return f"{held}, or choose other GPUs with --gpu-ids."
    return f"{held}, or lower --gpu-memory-utilization from {match['share']} to {fits:.2f}."


def _too_long(match: LogMatch) -> str:
    length = match["length"] or match["older"]
    if match["needed"]:
        return (
            f"One request of {length} tokens needs {match['needed']} GiB of KV cache, and "
            f"{match['available']} GiB are left for it."
        )
    return f"One request of {length} tokens does not fit the KV cache of {match['stored']} tokens."


def _shorter(match: LogMatch) -> str:
    length = whole_number(match["length"] or match["older"])
    fits = whole_number(match["fits"] or match["stored"] or "0")
    if not fits and match["needed"]:
        share = decimal_number(match["available"]) / (decimal_number(match["needed"]) or 1.0)
        fits = int(length * share)
    shorter = f"Set --context-length {max(1, fits)}" if fits else "Lower --context-length"
    return f"{shorter}, or {_raise_share(match)}; --kv-cache-dtype fp8_e4m3 doubles what fits."


def _fewer_requests(match: LogMatch) -> str:
    now = match.config.max_running_requests or whole_number(match["requests"] or "0")
    fewer = min(_FEW_REQUESTS, max(1, now // 2)) if now else _FEW_REQUESTS
    return f"Lower --max-running-requests to {fewer}, or {_lower_share(match)}."


def _doing(match: LogMatch) -> str:
    """What vLLM did when it ran out, by the traceback, else by the phase."""
    if match.came_through("", "capture"):
        return "while graphs were captured"
    if match.came_through("", "load_model") or match.came_through("", "load_weights"):
        return "while weights were loaded"
    if match.came_through("", "initialize_kv_cache"):
        return "while the KV cache was allocated"
    if match.end.served:
        return "while it served"
    loading = {Phase.WEIGHTS, Phase.DRAFT_WEIGHTS}
    return "while weights were loaded" if match.end.phase in loading else "during the start"


def _ran_out(match: LogMatch) -> str:
    gpu = f"GPU {match['gpu']}" if match["gpu"] else "A GPU"
    figures = (
        f": {match['wanted']} were asked for, {match['free']} of {match['total']} were free"
        if match["free"]
        else ""
    )
    return f"{gpu} ran out of memory {_doing(match)}{figures}."


def _make_room(match: LogMatch) -> str:
    doing = _doing(match)
    if "weights" in doing:
        tp_size = match.config.tp_size
        return (
            f"Raise --tp-size from {tp_size} to {2 * tp_size}, or serve a checkpoint with fewer "
            "bits: the share does not help here."
        )
    change = _lower_share(match)
    if "graphs" in doing:
        return f"{change[0].upper()}{change[1:]}, or leave graphs out: `-- --enforce-eager`."
    return (
        f"{change[0].upper()}{change[1:]}, or compute fewer tokens at once: "
        "`-- --max-num-batched-tokens 4096`."
    )


ERRORS: Final = {
    "gpu-memory-taken": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Free memory on device (?:cuda:(?P<gpu>\d+) )?\((?P<free>[\d.]+)/(?P<total>[\d.]+)"
        r" GiB\) on startup is less than desired GPU memory utilization \((?P<share>[\d.]+), "
        r"(?P<wanted>[\d.]+) GiB\)",
        sample="ValueError: Free memory on device cuda:0 (12.5/79.1 GiB) on startup is less than "
        "desired GPU memory utilization (0.9, 71.19 GiB).",
        summary=_taken,
        action=_free_it,
        remedy="End what holds it, or **lower** `--gpu-memory-utilization`.",
    ),
    "kv-cache-too-small": LogCause(
        pattern=r"max seq len \((?P<length>\d+)\), \((?P<needed>[\d.]+) GiB KV ?cache is needed, "
        r"which is larger than the available KV cache memory \((?P<available>[\d.]+) GiB\)"
        r"(?:.*estimated maximum model length is (?P<fits>\d+))?"
        r"|max seq len \((?P<older>\d+)\) is larger than the maximum number of tokens that can be "
        r"stored in KV cache \((?P<stored>\d+)\)",
        sample="ValueError: To serve at least one request with the model's max seq len (131072), "
        "(12.0 GiB KV cache is needed, which is larger than the available KV cache memory (3.5 "
        "GiB).",
        summary=_too_long,
        action=_shorter,
        remedy="**Lower** `--context-length`, or **raise** `--gpu-memory-utilization`.",
    ),
    "gpu-memory-pool-init": LogCause(
        pattern=rf"{_SAYS}No available memory for the cache blocks",
        sample="ValueError: No available memory for the cache blocks. Try increasing "
        "`gpu_memory_utilization`",
        summary="The weights and what is computed beside them leave no room for the KV cache.",
        action=lambda match: (
            f"{_raise_share(match)[0].upper()}{_raise_share(match)[1:]}, or serve "
            "a checkpoint with fewer bits."
        ),
        remedy="**Raise** `--gpu-memory-utilization`; if that is not enough, take more GPUs.",
    ),
    "gpu-memory-warm-up": LogCause(
        pattern=r"out of memory occurred when warming up sampler with (?P<requests>\d+) dummy",
        sample="RuntimeError: CUDA out of memory occurred when warming up sampler with 256 dummy "
        "requests. Please try lowering `max_num_seqs`",
        summary="A GPU ran out of memory when {requests} requests were tried at once.",
        action=_fewer_requests,
        remedy="**Lower** `--max-running-requests` or `--gpu-memory-utilization`.",
    ),
    "gpu-memory-changed": LogCause(
        retry=Retry.ALWAYS,
        pattern=r"Error in memory profiling\. Initial free memory (?P<before>[\d.]+) GiB, current "
        r"free memory (?P<after>[\d.]+) GiB",
        sample="AssertionError: Error in memory profiling. Initial free memory 61.2 GiB, current "
        "free memory 70.9 GiB.",
        summary="Another process gave GPU memory back while vLLM measured its own: {before} GiB "
        "were free before, {after} GiB after.",
        action="Start it again; start servers that share a GPU one after the other.",
    ),
    "host-kv-cache": LogCause(
        pattern=r"Available memory on node (?P<node>\d+) \((?P<free>[\d.]+)/(?P<total>[\d.]+) GiB\)"
        r" on kv cache allocation is less than requested memory for kv \((?P<wanted>[\d.]+) GiB\)",
        sample="ValueError: Available memory on node 0 (2.1/15.3 GiB) on kv cache allocation is "
        "less than requested memory for kv (4.0 GiB).",
        summary="The host has {free} of {total} GiB available, and the KV cache takes {wanted}.",
        action="Stop other programs, or take a smaller one: `-- --kv-cache-memory-bytes "
        "1073741824`.",
    ),
    "gpu-memory": LogCause(
        pattern=r"^(?:[\w.]+: |\s*what\(\):\s+)?CUDA (?:error: )?out of memory"
        r"(?:.*?Tried to allocate (?P<wanted>[\d.]+ \w+))?"
        r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ \w+)"
        r" of which (?P<free>[\d.]+ \w+) is free)?",
        sample="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB.",
        retry=Retry.ONCE_SERVED,
        summary=_ran_out,
        action=_make_room,
        remedy="**Lower** `--gpu-memory-utilization`; where weights do not fit, take more GPUs.",
    ),
}

"""Memory of the GPU that runs out: for weights, KV cache, graphs or activations.

Advice has two directions. What is *planned* too small wants a larger static fraction; what runs out
*besides* the static part (graphs, activations) wants a smaller one.
"""

from __future__ import annotations

import math
import re
from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry
from launcher.engines.phases import Phase
from launcher.engines.sglang.causes.advice import sglang_option, value_of
from launcher.text import decimal_number, whole_number

# mem_cache/kv_cache_configurator.py and model_executor/pool_configurator.py print it; so does the
# line `server_args=` at the start, where it is not our choice but SGLang's.
_FRACTION: Final = re.compile(r"\bmem[_-]fraction[_-]static'?[=:] ?(?P<value>0\.\d+)")
_LARGEST_FRACTION: Final = 0.95
_SMALLEST_FRACTION: Final = 0.3
_RAISE_BY: Final = 0.1
_LOWER_BY: Final = 0.08
_ABOVE_MINIMUM: Final = 0.025
# Above it graphs of SGLang's own sizes may no longer fit: arg_groups/memory_hook.py.
_TIGHT_FRACTION: Final = 0.92
# A CUDA context, NCCL and libraries: what a process holds besides PyTorch's own allocations.
_CONTEXT_GIB: Final = 3.0
_GRAPH_FLAG: Final = "--cuda-graph-max-bs-decode"
_SMALL_GRAPH_BATCH: Final = 8
_USEFUL_TOKENS: Final = 8_192

_OUT_OF_MEMORY: Final = (
    r"^(?:[\w.]+: |\s*what\(\):\s+)?(?:Capture [\w ]+ failed: )?CUDA (?:error: )?out of memory"
    r"(?:.*?Tried to allocate (?P<wanted>[\d.]+ \w+))?"
    r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ \w+)"
    r" of which (?P<free>[\d.]+ \w+) is free)?"
)


def _fraction(match: LogMatch) -> float | None:
    """The static fraction in force, where it is known."""
    if match.config.mem_fraction_static is not None:
        return match.config.mem_fraction_static
    for line in reversed(match.end.lines):
        found = _FRACTION.search(line)
        if found is not None:
            return decimal_number(found["value"])
    return None


def _raise_fraction(match: LogMatch, minimum: float = 0.0) -> str:
    """The clause that makes the static part larger, or what to do where it cannot be.

    A step up, but never past the largest fraction that leaves graphs and activations something; a
    named minimum that the step would overshoot leads to a little above it.
    """
    current = _fraction(match)
    if current is None and not minimum:
        return (
            f"Raise --mem-fraction-static by {_RAISE_BY:g} above what SGLang chose, which its line "
            "`server_args=` names."
        )
    target = _up(max((current or 0.0) + _RAISE_BY, minimum + _ABOVE_MINIMUM))
    if target > _LARGEST_FRACTION:
        target = min(_up(max(current or 0.0, minimum) + _ABOVE_MINIMUM), _LARGEST_FRACTION)
    if target <= max(current or 0.0, minimum):
        more = _more_gpus(match)
        return (
            f"{more[0].upper()}{more[1:]}, or serve a checkpoint with fewer bits: no fraction is "
            "large enough here."
        )
    change = "" if current is None else f"from {current:g} "
    graphs = f", with {_smaller_graphs(match)}" if target > _TIGHT_FRACTION else ""
    return f"Raise --mem-fraction-static {change}to {target:g}{graphs}."


def _up(fraction: float) -> float:
    """A fraction in hundredths, rounded up."""
    return math.ceil(round(fraction * 100, 6)) / 100


def _least_fraction(match: LogMatch) -> float:
    """Below it the weights leave no KV cache, by the free memory that SGLang logged; 0: unknown.

    Formula: 1 - free after the load / free before it. Source: mem_cache/kv_cache_configurator.py.
    """
    before = after = 0.0
    for line in match.end.lines:
        found = re.search(r"Load weight (begin|end)\.? .*?avail mem=([\d]+(?:\.\d+)?) GB", line)
        if found is None:
            continue
        if found[1] == "begin":
            before = before or decimal_number(found[2])
        else:
            after = decimal_number(found[2])
    return 1 - after / before if before and after else 0.0


def _instead_of_lower(match: LogMatch) -> str:
    """The sentence for graphs without room where the fraction cannot be lowered, or ''."""
    current, least = _fraction(match), _least_fraction(match)
    if current is None or not least or current - _LOWER_BY > least + 0.005:
        return ""
    prefill = match.came_through("prefill")
    backend = f"`-- --cuda-graph-backend-{'prefill' if prefill else 'decode'} disabled`"
    return (
        f"Leave graphs out, {backend}, or capture {_smaller_graphs(match)}: the fraction cannot be "
        f"lowered, since the weights alone need {least:.3f}. More GPUs or a checkpoint with fewer "
        "bits give room."
    )


def _lower_fraction(match: LogMatch) -> str:
    """The clause that makes the static part smaller, by what was missing where that is known."""
    current = _fraction(match)
    if current is None:
        return "Set --mem-fraction-static to 0.7, below what SGLang chose"
    missing = (_gib(match["wanted"]) - _gib(match["free"])) / (_gib(match["total"]) or math.inf)
    step = max(_LOWER_BY, math.ceil(missing * 100) / 100 + 0.01)
    target = max(_SMALLEST_FRACTION, round(current - step, 2))
    return f"Lower --mem-fraction-static from {current:g} to {target:g}"


def _gib(size: str) -> float:
    """The GiB of '310.81 MiB'; 0 for what is no size."""
    number, _, unit = size.partition(" ")
    if not re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", number):
        return 0.0
    return decimal_number(number) / {"KiB": 2.0**20, "MiB": 2.0**10, "GiB": 1.0}.get(unit, 2.0**30)


def _own_gib(match: LogMatch) -> float:
    """What the process that ran out holds itself, by the allocator's figures; 0 where unknown.

    torch names its own process in words or, in a container, by its number like any other; then what
    PyTorch allocated and reserved is the least that is its own.
    """
    if own := re.search(r"this process has ([\d.]+ \w+) memory in use", match.text):
        return _gib(own[1])
    allocated = re.search(r"([\d.]+ \w+) is allocated by PyTorch", match.text)
    reserved = re.search(r"([\d.]+ \w+) is reserved by PyTorch but", match.text)
    if allocated is None:
        return 0.0
    return _gib(allocated[1]) + (_gib(reserved[1]) if reserved else 0.0) + _CONTEXT_GIB


def _others_gib(match: LogMatch) -> float:
    """What other processes hold of the GPU; 0 where the allocator does not tell."""
    own = _own_gib(match)
    if not own or not match["total"]:
        return 0.0
    return max(0.0, _gib(match["total"]) - _gib(match["free"]) - own)


def _named_processes(match: LogMatch) -> list[tuple[float, str]]:
    """The processes that the allocator names, with the GiB of each; the largest first."""
    found = re.findall(r"\b[Pp]rocess (\d+) has ([\d.]+ \w+) memory in use", match.text)
    others = _others_gib(match)
    named = ((_gib(size), pid) for pid, size in found)
    # Its own process may be among them: the one that is no other's is left out.
    return sorted((one for one in named if one[0] <= others + _CONTEXT_GIB), reverse=True)


def _is_taken(match: LogMatch) -> bool:
    """Whether others hold so much that the server would have had room without them."""
    return _others_gib(match) > max(_gib(match["wanted"]), 0.05 * _gib(match["total"]), 1.0)


def _taken(match: LogMatch) -> str:
    named = _named_processes(match)
    who = f"process {named[0][1]} holds" if named else "other processes hold"
    return _short_of(match, "").replace(" : ", ": ").rstrip(".") + (
        f"; {who} {_others_gib(match):.1f} GiB of it."
    )


def _room_for_weights(match: LogMatch) -> str:
    more = _more_gpus(match)
    free = "Free that GPU (`nvidia-smi` shows who uses it), "
    if _own_gib(match):  # and nobody else's is much, or it were another cause
        free, more = "", f"{more[0].upper()}{more[1:]}"
    return (
        f"{free}{more}, or serve a checkpoint with fewer bits: --mem-fraction-static does not help "
        "here."
    )


def _in_vision(match: LogMatch) -> bool:
    return match.came_through_path("multimodal", "vision", "vit.py", "_vl.py", "siglip", "clip")


def _less_at_run_time(match: LogMatch) -> str:
    if _in_vision(match):
        return (
            f"{_lower_fraction(match)}, or let fewer and smaller images in (max_pixels of the "
            "processor, `-- --limit-mm-data-per-request`): the vision encoder ran out."
        )
    return f"{_lower_fraction(match)}, or {_smaller_prefill(match)}."


def _smaller_pool(match: LogMatch) -> str:
    tokens = match.config.max_total_tokens
    if tokens:
        return (
            f"Leave --max-total-tokens {tokens} out, so that SGLang measures what fits, or lower "
            "it: the pool was asked for by number."
        )
    return f"{_lower_fraction(match)}, or free that GPU: somebody else took memory meanwhile."


def _more_gpus(match: LogMatch) -> str:
    """The clause that spreads the model over twice the GPUs."""
    return f"raise --tp-size from {match.config.tp_size} to {2 * match.config.tp_size}"


def _smaller_graphs(match: LogMatch) -> str:
    """The clause that captures graphs for fewer requests at once."""
    given = sglang_option(match.config, _GRAPH_FLAG) or ""
    current = whole_number(given) if given.isdecimal() else match.config.max_running_requests
    batch = min(_SMALL_GRAPH_BATCH, max(1, (current or 2 * _SMALL_GRAPH_BATCH) // 2))
    return f"smaller graphs, `-- {_GRAPH_FLAG} {batch}`"


def _smaller_prefill(match: LogMatch) -> str:
    """The clause that computes fewer tokens of a prompt at once."""
    given = value_of(match.config, "--chunked-prefill-size") or ""
    # 8192 is what SGLang takes on cards of 60 to 90 GB: arg_groups/memory_hook.py.
    chunk = whole_number(given) if given.isdecimal() and whole_number(given) > 1 else 8192
    return f"halve the prefill chunks with `--chunked-prefill-size {chunk // 2}`"


def _larger_pool(match: LogMatch) -> str:
    """The sentence that makes room for a request of a useful length."""
    tokens, requests = match.config.max_total_tokens, match.config.max_running_requests
    groups = value_of(match.config, "--dp-size") or ""
    if requests and groups.isdecimal() and whole_number(groups) > requests:
        return (
            f"Raise --max-running-requests from {requests} to at least {groups}: each of the "
            f"{groups} data parallel ranks gets its share of them."
        )
    if tokens is None:
        return _raise_fraction(match)
    target = max(2 * tokens, match.config.context_length or _USEFUL_TOKENS)
    return f"Raise --max-total-tokens from {tokens} to {target}, or leave it out."


def _tokens_given(match: LogMatch) -> str:
    tokens = match.config.max_total_tokens
    given = "" if tokens is None else f": --max-total-tokens is {tokens}"
    return f"The KV cache is too small for a single request{given}."


def _no_room_for_pool(match: LogMatch) -> str:
    minimum, current = decimal_number(match["minimum"]), _fraction(match)
    least = f" at least {minimum:g} is needed" if minimum else " no token fits"
    share = "the static fraction" if current is None else f"the static fraction {current:g}"
    return f"The weights leave no room for the KV cache within {share}:{least}."


def _short_of(match: LogMatch, doing: str) -> str:
    """The sentence with the allocator's own numbers."""
    if not match["free"]:
        asked = f": {match['wanted']} were asked for" if match["wanted"] else ""
        return f"A GPU ran out of memory {doing}{asked}."
    return (
        f"GPU {match['gpu']} ran out of memory {doing}: {match['wanted']} were asked for, "
        f"{match['free']} of {match['total']} were free."
    )


def _in_graph_capture(match: LogMatch) -> bool:
    if "Capture " in match.found[0] or match.came_through("graph_runner", "capture"):
        return True
    return not any(match.frames()) and match.end.phase is Phase.GRAPHS


def _in_loading(match: LogMatch) -> bool:
    if any(match.frames()):
        return match.came_through("", "load_model")
    return match.end.phase in {Phase.WEIGHTS, Phase.DRAFT_WEIGHTS}


def _in_pool(match: LogMatch) -> bool:
    if any(match.frames()):
        return match.came_through("memory_pool") or match.came_through("kv_cache_configurator")
    return match.end.phase is Phase.KV_CACHE


ERRORS: Final = {
    "gpu-memory-pool-init": LogCause(
        pattern=r"Not enough memory\. Please try to increase --mem-fraction-static"
        r"|Loaded weights leave no GPU memory for the KV cache"
        r"(?:.*?Raise --mem-fraction-static above (?P<minimum>0\.\d+))?",
        sample="Not enough memory. Please try to increase --mem-fraction-static.\n"
        "ValueError: Loaded weights leave no GPU memory for the KV cache",
        summary=_no_room_for_pool,
        action=lambda match: _raise_fraction(match, decimal_number(match["minimum"])),
        remedy="**Raise** `--mem-fraction-static`; if that is not enough, take more GPUs.",
    ),
    "kv-cache-too-small": LogCause(
        pattern=r"^AssertionError: max_running_request is zero",
        sample="AssertionError: max_running_request is zero",
        summary=_tokens_given,
        action=_larger_pool,
        remedy="**Raise** `--max-total-tokens` or `--mem-fraction-static`.",
    ),
    "gpu-memory-taken": LogCause(
        pattern=_OUT_OF_MEMORY,
        applies=_is_taken,
        sample="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 384.00 MiB. GPU 0 "
        "has a total capacity of 79.10 GiB of which 161.12 MiB is free. Process 31337 has 58.70 "
        "GiB memory in use. Including non-PyTorch memory, this process has 20.10 GiB memory in "
        "use.",
        retry=Retry.ONCE_SERVED,
        summary=_taken,
        action="End what holds it (`nvidia-smi` shows who; a server that died may have left "
        "processes), or choose other GPUs with CUDA_VISIBLE_DEVICES; --mem-fraction-static is not "
        "to blame.",
    ),
    "gpu-memory-graphs": LogCause(
        pattern=_OUT_OF_MEMORY,
        applies=_in_graph_capture,
        sample="Exception: Capture cuda graph failed: CUDA out of memory.",
        summary=lambda match: _short_of(match, "while graphs were captured"),
        action=lambda match: (
            _instead_of_lower(match)
            or f"{_lower_fraction(match)}, or capture {_smaller_graphs(match)}."
        ),
        looks="`CUDA out of memory` during capture, `Capture cuda graph failed`",
        remedy=f"**Lower** `--mem-fraction-static` or `{_GRAPH_FLAG}`.",
    ),
    "gpu-memory-pool-allocation": LogCause(
        pattern=_OUT_OF_MEMORY,
        applies=_in_pool,
        sample="Traceback (most recent call last):\n"
        '  File "mem_cache/memory_pool.py", line 1020, in _create_buffers\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.61 GiB.",
        summary=lambda match: _short_of(match, "while the KV cache was allocated"),
        action=_smaller_pool,
        looks="`CUDA out of memory` below `memory_pool.py`",
        remedy="**Lower** `--mem-fraction-static`, or free the GPU.",
    ),
    "gpu-memory-weights": LogCause(
        pattern=_OUT_OF_MEMORY,
        applies=_in_loading,
        sample="Traceback (most recent call last):\n"
        '  File "model_executor/model_runner.py", line 1312, in load_model\n'
        "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.38 GiB.",
        summary=lambda match: _short_of(match, "while weights were loaded"),
        action=_room_for_weights,
        looks="`CUDA out of memory` below `load_model`",
        remedy="Take more GPUs, or fewer bits; `--mem-fraction-static` does not matter.",
    ),
    "gpu-memory-run-time": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_OUT_OF_MEMORY,
        sample="torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.31 GiB.",
        summary=lambda match: _short_of(match, "while it worked on requests"),
        action=_less_at_run_time,
        looks="`CUDA out of memory` anywhere else",
        remedy="**Lower** `--mem-fraction-static` or `--chunked-prefill-size`.",
    ),
}

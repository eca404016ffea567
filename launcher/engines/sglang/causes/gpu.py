"""Causes that lie with GPUs: memory, kernels, drivers, the links between them.

The texts are those of sglang 0.5.23 and of what it runs on: torch, triton, NCCL, the CUDA driver.
Advice on memory has two directions. What is *planned* too small wants a larger static fraction;
what runs out *besides* the static part (graphs, activations) wants a smaller one.
"""

from __future__ import annotations

import math
import re
from typing import Final

from launcher.engines.causes import Entry, Finding, Retry, Words, more_gpus, sglang_option
from launcher.engines.phases import Phase

# mem_cache/kv_cache_configurator.py and model_executor/pool_configurator.py print it; so does the
# line `server_args=` at the start, where it is not our choice but SGLang's.
_FRACTION: Final = re.compile(r"\bmem[_-]fraction[_-]static'?[=:] ?(?P<value>0\.\d+)")
_LARGEST_FRACTION: Final = 0.95
_SMALLEST_FRACTION: Final = 0.3
_RAISE_BY: Final = 0.1
_LOWER_BY: Final = 0.08
_ABOVE_MINIMUM: Final = 0.03
GRAPH_FLAG: Final = "--cuda-graph-max-bs-decode"
NO_GRAPHS: Final = "-- --cuda-graph-backend-decode disabled"
_SMALL_GRAPH_BATCH: Final = 8
_USEFUL_TOKENS: Final = 8_192
_FP8_LEAST_CAPABILITY: Final = 89

_OUT_OF_MEMORY: Final = re.compile(
    r"^(?:[\w.]+: |\s*what\(\):\s+)?(?:Capture [\w ]+ failed: )?CUDA (?:error: )?out of memory"
    r"(?:.*?Tried to allocate (?P<wanted>[\d.]+ \w+))?"
    r"(?:.*?GPU (?P<gpu>\d+) has a total capacity of (?P<total>[\d.]+ \w+)"
    r" of which (?P<free>[\d.]+ \w+) is free)?"
)


def _fraction(finding: Finding) -> float | None:
    """The static fraction in force, where it is known."""
    if finding.config.mem_fraction_static is not None:
        return finding.config.mem_fraction_static
    for line in reversed(finding.ending.lines):
        found = _FRACTION.search(line)
        if found is not None:
            return float(found["value"])
    return None


def _raise_fraction(finding: Finding, minimum: float = 0.0) -> str:
    """The clause that makes the static part larger, or what to do where it cannot be."""
    current = _fraction(finding)
    target = max((current or 0.0) + _RAISE_BY, minimum + _ABOVE_MINIMUM)
    target = math.ceil(round(target * 100, 6)) / 100
    if target > _LARGEST_FRACTION:
        return f"{more_gpus(finding.config).capitalize()}: no fraction is large enough here."
    return f"Raise --mem-fraction-static {_from(current)}to {target:g}."


def _lower_fraction(finding: Finding) -> str:
    """The clause that makes the static part smaller."""
    current = _fraction(finding)
    if current is None:
        return "Set --mem-fraction-static to 0.7, below what SGLang chose"
    target = max(_SMALLEST_FRACTION, round(current - _LOWER_BY, 2))
    return f"Lower --mem-fraction-static {_from(current)}to {target:g}"


def _from(current: float | None) -> str:
    return "" if current is None else f"from {current:g} "


def _smaller_graphs(finding: Finding) -> str:
    """The clause that captures graphs for fewer requests at once."""
    given = sglang_option(finding.config, GRAPH_FLAG) or ""
    current = int(given) if given.isdecimal() else finding.config.max_running_requests
    batch = min(_SMALL_GRAPH_BATCH, max(1, (current or 2 * _SMALL_GRAPH_BATCH) // 2))
    return f"shrink the graphs with `-- {GRAPH_FLAG} {batch}`"


def _short_of(finding: Finding, doing: str) -> str:
    """The sentence with the allocator's own numbers."""
    if not finding["free"]:
        asked = f": {finding['wanted']} were asked for" if finding["wanted"] else ""
        return f"A GPU ran out of memory {doing}{asked}."
    return (
        f"GPU {finding['gpu']} ran out of memory {doing}: {finding['wanted']} were asked for, "
        f"{finding['free']} of {finding['total']} were free."
    )


def _in_graph_capture(finding: Finding) -> bool:
    if finding.match[0].find("Capture ") >= 0 or finding.came_through("graph_runner", "capture"):
        return True
    return not any(finding.frames()) and finding.ending.phase is Phase.GRAPHS


def _in_loading(finding: Finding) -> bool:
    if any(finding.frames()):
        return finding.came_through("", "load_model")
    return finding.ending.phase in {Phase.WEIGHTS, Phase.DRAFT_WEIGHTS}


def _in_pool(finding: Finding) -> bool:
    if any(finding.frames()):
        return finding.came_through("memory_pool") or finding.came_through("kv_cache_configurator")
    return finding.ending.phase is Phase.KV_CACHE


def _in_draft_graph(finding: Finding) -> bool:
    """CUDA reports such a fault late, so the traceback often names another place."""
    if finding.came_through("draft") and finding.came_through("graph_runner"):
        return True
    return finding.config.speculative_algorithm is not None and finding.ending.served


def _no_room_for_pool(finding: Finding) -> Words:
    minimum = float(finding["minimum"] or 0.0)
    least = f" at least {minimum:g} is needed" if minimum else " no token fits"
    current = _fraction(finding)
    share = "the static fraction" if current is None else f"the static fraction {current:g}"
    return Words(
        f"The weights leave no room for the KV cache within {share}:{least}.",
        _raise_fraction(finding, minimum),
    )


def _no_request_fits(finding: Finding) -> Words:
    tokens = finding.config.max_total_tokens
    summary = "The KV cache is too small for a single request"
    if tokens is None:
        return Words(f"{summary}.", _raise_fraction(finding))
    target = max(2 * tokens, finding.config.context_length or _USEFUL_TOKENS)
    return Words(
        f"{summary}: --max-total-tokens is {tokens}.",
        f"Raise --max-total-tokens from {tokens} to {target}, or leave it out.",
    )


def _graph_memory(finding: Finding) -> Words:
    return Words(
        _short_of(finding, "while graphs were captured"),
        f"{_lower_fraction(finding)}, or {_smaller_graphs(finding)}.",
    )


def _weight_memory(finding: Finding) -> Words:
    return Words(
        _short_of(finding, "while weights were loaded"),
        f"Free that GPU (`nvidia-smi` shows who uses it), {more_gpus(finding.config)}, or serve a "
        "checkpoint with fewer bits: --mem-fraction-static does not help here.",
    )


def _pool_memory(finding: Finding) -> Words:
    return Words(
        _short_of(finding, "while the KV cache was allocated"),
        f"{_lower_fraction(finding)}, or free that GPU: somebody else took memory meanwhile.",
    )


def _run_time_memory(finding: Finding) -> Words:
    given = sglang_option(finding.config, "--chunked-prefill-size") or ""
    # 8192 is what sglang 0.5.23 takes on cards of 60 to 90 GB: arg_groups/memory_hook.py.
    chunk = int(given) if given.isdecimal() and int(given) > 1 else 8192
    return Words(
        _short_of(finding, "while it worked on requests"),
        f"{_lower_fraction(finding)}, or halve the prefill chunks with "
        f"`-- --chunked-prefill-size {chunk // 2}`.",
    )


def _kernel_shared_memory(finding: Finding) -> Words:
    required, limit = int(finding["required"]), int(finding["limit"])
    return Words(
        f"A Triton kernel needs {required:,} bytes of the GPU's shared memory and the hardware has "
        f"{limit:,}.",
        "Serve on a GPU with more (H100: 232,448 bytes), serve the checkpoint without FP8, or "
        "point SGLANG_MOE_CONFIG_DIR at a kernel configuration with smaller blocks.",
    )


def _draft_graph_access(_: Finding) -> Words:
    return Words(
        "A kernel touched GPU memory that is not its own; under speculation it is most often the "
        "draft model's CUDA graph.",
        f"Decode without graphs, `{NO_GRAPHS}`, or without a draft model, --no-speculation.",
    )


def _illegal_access(_: Finding) -> Words:
    return Words(
        "A kernel touched GPU memory that is not its own.",
        f"Decode without graphs, `{NO_GRAPHS}`; CUDA_LAUNCH_BLOCKING=1 shows the kernel.",
    )


def _too_old_gpu(finding: Finding) -> Words:
    least, here = int(finding["least"]), int(finding["here"])
    fp8 = "FP8 needs Ada, Hopper or newer; " if least >= _FP8_LEAST_CAPABILITY else ""
    return Words(
        f"Quantization {finding['method']} needs compute capability {_capability(least)} and this "
        f"GPU has {_capability(here)}.",
        f"Take a newer GPU, or --model-path of an unquantized checkpoint ({fp8}BF16 runs here).",
    )


def _capability(number: int) -> str:
    """'8.9' of SGLang's 89."""
    return f"{number // 10}.{number % 10}"


def _no_kernel(_: Finding) -> Words:
    return Words(
        "The installed kernels were not built for this GPU.",
        "Install torch and sglang-kernel for this GPU's compute capability, or take another GPU.",
    )


def _old_driver(finding: Finding) -> Words:
    number = int(finding["version"] or 0)
    found = f" (it speaks CUDA {number // 1000}.{number % 1000 // 10})" if number else ""
    return Words(
        f"The NVIDIA driver is too old for the CUDA that torch was built with{found}.",
        "Update the driver (`nvidia-smi` shows its version), or install a torch for this CUDA.",
    )


def _no_gpu(_: Finding) -> Words:
    return Words(
        "SGLang finds no GPU.",
        "Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, or serve with --device cpu.",
    )


def _no_driver(_: Finding) -> Words:
    return Words(
        "There is no NVIDIA driver here, or a container does not see it (libcuda.so.1).",
        "Install the driver, start the container with `--gpus all`, or serve with --device cpu.",
    )


def _hardware(_: Finding) -> Words:
    return Words(
        "A GPU reported a fault of its hardware.",
        "Read `dmesg | grep -i xid`, and reset or replace that GPU; "
        "CUDA_VISIBLE_DEVICES can leave it out.",
    )


def _collective_timeout(finding: Finding) -> Words:
    seconds = int(finding["milliseconds"]) / 1000
    return Words(
        f"The ranks waited {seconds:.0f} s for each other in {finding['operation']}.",
        "Look in the log for the rank that fell behind; with NCCL_DEBUG=INFO it says where.",
    )


def _nccl(finding: Finding) -> Words:
    return Words(
        f"NCCL, which joins the GPUs, failed: {finding['what'].strip().rstrip('.,')}.",
        "Start once more with NCCL_DEBUG=WARN for its reason; NCCL_P2P_DISABLE=1 goes round a "
        "broken link between GPUs.",
    )


def _compiler_missing(finding: Finding) -> Words:
    tool = finding["tool"] or finding["program"] or "the CUDA toolkit"
    return Words(
        f"A kernel has to be compiled and {tool} is not here.",
        "Install the CUDA toolkit and ninja, and set CUDA_HOME.",
    )


def _compile_failed(_: Finding) -> Words:
    return Words(
        "A kernel could not be compiled.",
        "Read the compiler's error further up; a CUDA toolkit older than torch's is the usual one.",
    )


ENTRIES: Final[tuple[Entry, ...]] = (
    Entry(
        name="gpu-memory-pool-init",
        retry=Retry.NEVER,
        looks="`Not enough memory. Please try to increase --mem-fraction-static` or "
        "`Loaded weights leave no GPU memory for the KV cache`",
        remedy="**raise** `--mem-fraction-static`, else more GPUs",
        pattern=re.compile(
            r"Not enough memory\. Please try to increase --mem-fraction-static"
            r"|Loaded weights leave no GPU memory for the KV cache"
            r"(?:.*?Raise --mem-fraction-static above (?P<minimum>0\.\d+))?"
        ),
        explain=_no_room_for_pool,
    ),
    Entry(
        name="kv-cache-too-small",
        retry=Retry.NEVER,
        looks="`max_running_request is zero`",
        remedy="**raise** `--max-total-tokens` or `--mem-fraction-static`",
        pattern=re.compile(r"^AssertionError: max_running_request is zero"),
        explain=_no_request_fits,
    ),
    Entry(
        name="gpu-memory-graphs",
        retry=Retry.NEVER,
        looks="`CUDA out of memory` during capture, `Capture cuda graph failed`",
        remedy=f"**lower** `--mem-fraction-static`, or a smaller `{GRAPH_FLAG}`",
        pattern=_OUT_OF_MEMORY,
        applies=_in_graph_capture,
        explain=_graph_memory,
    ),
    Entry(
        name="gpu-memory-pool-allocation",
        retry=Retry.NEVER,
        looks="`CUDA out of memory` below `memory_pool.py`",
        remedy="**lower** `--mem-fraction-static`, or free the GPU",
        pattern=_OUT_OF_MEMORY,
        applies=_in_pool,
        explain=_pool_memory,
    ),
    Entry(
        name="gpu-memory-weights",
        retry=Retry.NEVER,
        looks="`CUDA out of memory` below `load_model`",
        remedy="more GPUs, or fewer bits; `--mem-fraction-static` does not matter",
        pattern=_OUT_OF_MEMORY,
        applies=_in_loading,
        explain=_weight_memory,
    ),
    Entry(
        name="gpu-memory-run-time",
        retry=Retry.ONCE_SERVED,
        looks="`CUDA out of memory` anywhere else",
        remedy="**lower** `--mem-fraction-static`, or a smaller `--chunked-prefill-size`",
        pattern=_OUT_OF_MEMORY,
        explain=_run_time_memory,
    ),
    Entry(
        name="kernel-shared-memory",
        retry=Retry.NEVER,
        looks="`out of resource: shared memory, Required: 147456, Hardware limit: 101376`",
        remedy="a GPU with more shared memory, or a checkpoint without FP8",
        pattern=re.compile(
            r"(?:out of resource: )?shared memory, Required: (?P<required>\d+), "
            r"Hardware limit: (?P<limit>\d+)"
        ),
        explain=_kernel_shared_memory,
    ),
    Entry(
        name="illegal-access-draft-graph",
        retry=Retry.ONCE_SERVED,
        looks="`an illegal memory access was encountered` while it served with speculation",
        remedy=f"`{NO_GRAPHS}`, or `--no-speculation`",
        pattern=re.compile(r"illegal memory access was encountered"),
        applies=_in_draft_graph,
        explain=_draft_graph_access,
    ),
    Entry(
        name="illegal-access",
        retry=Retry.ONCE_SERVED,
        looks="`an illegal memory access was encountered` anywhere else",
        remedy=f"`{NO_GRAPHS}`",
        pattern=re.compile(r"illegal memory access was encountered"),
        explain=_illegal_access,
    ),
    Entry(
        name="quantization-needs-newer-gpu",
        retry=Retry.NEVER,
        looks="`The quantization method … is not supported for the current GPU`",
        remedy="a newer GPU, or an unquantized checkpoint",
        pattern=re.compile(
            r"The quantization method (?P<method>\S+) is not supported for the current GPU\. "
            r"Minimum capability: (?P<least>\d+)\. Current capability: (?P<here>\d+)"
        ),
        explain=_too_old_gpu,
    ),
    Entry(
        name="no-kernel-for-gpu",
        retry=Retry.NEVER,
        looks="`no kernel image is available for execution on the device`",
        remedy="torch and kernels built for this GPU",
        pattern=re.compile(r"no kernel image is available for execution"),
        explain=_no_kernel,
    ),
    Entry(
        name="driver-too-old",
        retry=Retry.NEVER,
        looks="`The NVIDIA driver on your system is too old`",
        remedy="a newer driver",
        pattern=re.compile(
            r"NVIDIA driver on your system is too old(?: \(found version (?P<version>\d+)\))?"
            r"|CUDA driver version is insufficient for CUDA runtime version"
        ),
        explain=_old_driver,
    ),
    Entry(
        name="driver-missing",
        retry=Retry.NEVER,
        looks="`libcuda.so.1: cannot open shared object file`, `Found no NVIDIA driver`",
        remedy="install the driver, or give the container its GPUs",
        pattern=re.compile(r"libcuda\.so(?:\.1)?: cannot open|Found no NVIDIA driver on your"),
        explain=_no_driver,
    ),
    Entry(
        name="no-gpu",
        retry=Retry.NEVER,
        looks="`No CUDA GPUs are available`, `No accelerator … is available`",
        remedy="`nvidia-smi`, `CUDA_VISIBLE_DEVICES`, or `--device cpu`",
        # Anchored: SGLang warns in like words and goes on.
        pattern=re.compile(
            r"^\w*Error: (?:.*No CUDA GPUs are available|No accelerator \(|.*No CUDA devices found"
            r"|Torch not compiled with CUDA)"
        ),
        explain=_no_gpu,
    ),
    Entry(
        name="gpu-hardware",
        retry=Retry.ONCE_SERVED,
        looks="`uncorrectable ECC error`, `GPU is lost`, `hardware error`",
        remedy="`dmesg`, reset the GPU, or leave it out",
        pattern=re.compile(
            r"uncorrectable (?:ECC|NVLink) error|GPU is lost|fallen off the bus"
            r"|CUDA error: (?:hardware|unknown) (?:stack )?error"
        ),
        explain=_hardware,
    ),
    Entry(
        name="nccl-timeout",
        retry=Retry.ONCE_SERVED,
        looks="`Watchdog caught collective operation timeout`",
        remedy="find the rank that fell behind",
        pattern=re.compile(
            r"Watchdog caught collective operation timeout: .*?OpType=(?P<operation>\w+)"
            r".*?ran for (?P<milliseconds>\d+) milliseconds"
        ),
        explain=_collective_timeout,
    ),
    Entry(
        name="kernel-compiler-missing",
        retry=Retry.NEVER,
        looks="`nvcc: not found`, `No such file or directory: 'ninja'`",
        remedy="install the CUDA toolkit and ninja",
        pattern=re.compile(
            r"(?P<tool>nvcc|ninja):? (?:was )?not found|No such file or directory: "
            r"'(?:[^']*/)?(?P<program>nvcc|ninja)'|Could not find nvcc"
            r"|Could not find CUDA installation"
        ),
        explain=_compiler_missing,
    ),
)

# What ninja says of its compiler, and a rank of another one.
FALLOUT: Final[tuple[Entry, ...]] = (
    Entry(
        name="kernel-compile-failed",
        retry=Retry.NEVER,
        looks="`Ninja build failed`, `Error building extension`",
        remedy="read the compiler's error",
        pattern=re.compile(
            r"^\w*Error: (?:Ninja build failed|ninja exited with|Error building ext)"
        ),
        explain=_compile_failed,
    ),
    Entry(
        name="nccl-failure",
        retry=Retry.ONCE_SERVED,
        looks="`NCCL error: unhandled system error`, and nothing else",
        remedy="`NCCL_DEBUG=WARN` for the reason",
        pattern=re.compile(
            r"NCCL error(?: in)?: (?:\S+:\d+, )?"
            r"(?P<what>(?:unhandled|internal|invalid)[\w ]*)"
        ),
        explain=_nccl,
    ),
)

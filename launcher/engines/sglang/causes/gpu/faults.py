"""GPUs that fail at work: memory that is not theirs, indexes outside of tables, hardware.

The texts and numbers are those of the CUDA driver and runtime, as torch and others print them.
"""

from __future__ import annotations

import re
from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry
from launcher.engines.sglang.causes.advice import library_of, special_options

_NO_GRAPHS: Final = "-- --cuda-graph-backend-decode disabled"
_ILLEGAL_ACCESS: Final = (
    r"illegal memory access was encountered|CUDA_ERROR_ILLEGAL_ADDRESS|cudaErrorIllegalAddress"
)
_BAD_ACCESS: Final = (
    rf"{_ILLEGAL_ACCESS}|misaligned address|CUDA_ERROR_MISALIGNED_ADDRESS"
    r"|unspecified launch failure|CUDA_ERROR_LAUNCH_FAILED"
    r"|an illegal instruction was encountered|invalid program counter"
    r"|CUDA_ERROR_ILLEGAL_INSTRUCTION|CUBLAS_STATUS_EXECUTION_FAILED"
)


def _in_draft_graph(match: LogMatch) -> bool:
    """CUDA reports such a fault late, so the traceback often names another place."""
    if match.came_through("draft") and match.came_through("graph_runner"):
        return True
    return match.config.speculative_algorithm is not None and match.end.served


def _library(match: LogMatch) -> tuple[str, str] | None:
    """The library whose kernel it was and what goes round it, where the output names one."""
    error = match.error
    innermost = " ".join(frame.path for frame in error.frames[-3:]) if error else ""
    return library_of(match.found.string, match.text, innermost)


def _in_library(match: LogMatch) -> str:
    name, _ = _library(match) or ("a library", "")
    if "instruction" in match.found[0].lower():
        return f"A kernel of {name} ran an instruction that this GPU does not have."
    return f"A kernel of {name} touched GPU memory that is not its own."


def _go_round(match: LogMatch) -> str:
    _, way = _library(match) or ("", "leave that library out")
    return (
        f"{way[0].upper()}{way[1:]}, which goes round that library; decoding without graphs does "
        "not help. Should it go on, CUDA_LAUNCH_BLOCKING=1 shows the kernel."
    )


def _without_graphs(match: LogMatch) -> str:
    special = special_options(match.config)
    first = f"Leave out {special}, decode" if special else "Decode"
    return f"{first} without graphs, `{_NO_GRAPHS}`; CUDA_LAUNCH_BLOCKING=1 shows the kernel."


def _assertion(match: LogMatch) -> str:
    what = match["what"]
    if not what:
        what = next(
            (
                found["what"]
                for line in match.end.lines
                if (found := re.search(r"Assertion [`'](?P<what>[^`']{1,160})[`'] failed", line))
            ),
            "",
        )
    said = f": the assertion {what!r} failed" if what else ""
    index = re.search(r"[iI]ndex|[iI]dx|[sS]elect|[dD]im[sS]ize|bounds", what)
    kind = "An index lies outside of its table on the GPU" if index else "A check on the GPU failed"
    return f"{kind}{said}."


def _in_sampling(match: LogMatch) -> bool:
    """Whether the sampler noticed it: then it most often is no index, but what is no number."""
    return match.came_through("sampl")


def _look_for_index(match: LogMatch) -> str:
    if _in_sampling(match) and "ndex" not in _assertion(match):
        return (
            "The sampler noticed it: most often probabilities that are no numbers (nan). `-- "
            "--enable-nan-detection` names the request; try another --dtype, attention backend or "
            "quantization. CUDA_LAUNCH_BLOCKING=1 shows the kernel."
        )
    if match.config.speculative_algorithm is not None:
        return (
            "Serve without the draft model, --no-speculation, or with another one: its vocabulary "
            "most often does not fit the target's. CUDA_LAUNCH_BLOCKING=1 shows the kernel."
        )
    return (
        "Look for token ids or positions beyond the model's tables: a tokenizer with more words "
        "than the model's vocabulary, a --context-length above the model's own. "
        "CUDA_LAUNCH_BLOCKING=1 shows the kernel."
    )


def _fault(match: LogMatch) -> str:
    what = re.sub(r"^(?:an )?|^CUDA_ERROR_", "", match.found[0])
    if what.startswith("CUBLAS"):
        return "A kernel failed on the GPU; cuBLAS was the first to see it, and seldom to blame."
    return f"A kernel failed on the GPU: {what.replace('_', ' ').lower().strip(' .')}."


ERRORS: Final = {
    "nan-logits": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"probability tensor contains either|NaN in the (?:logits|probs)"
        r"|Detected errors during sampling",
        sample="RuntimeError: probability tensor contains either `inf`, `nan` or element < 0",
        summary="The model computed probabilities that are no numbers (nan or inf), so nothing "
        "could be sampled.",
        action="Another --dtype (bfloat16 instead of float16), --kv-cache-dtype auto, another "
        "attention backend or checkpoint, or leaving out a grammar or a logit bias usually ends "
        "it; `-- --enable-nan-detection` shows when it happens.",
    ),
    "device-assert": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"block: \[\d+,\d+,\d+\], thread: \[\d+,\d+,\d+\] Assertion [`']"
        r"(?P<what>[^`']{1,160})[`'] failed|device-side assert triggered|CUDA_ERROR_ASSERT\b",
        sample="/src/Indexing.cu:10: indexSelectLargeIndex: block: [1,0,0], thread: [2,0,0] "
        "Assertion `srcIndex < srcSelectDimSize` failed.\n"
        "torch.AcceleratorError: CUDA error: device-side assert triggered",
        summary=_assertion,
        action=_look_for_index,
        remedy="Serve without the draft model or with another one; look for token ids or positions "
        "beyond the model's tables.",
    ),
    "illegal-access-library": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ONCE_SERVED,
        pattern=_BAD_ACCESS,
        applies=lambda match: _library(match) is not None,
        sample="CUDA driver error (deepgemm/jit_kernels/runtime_utils.hpp:9): 700 "
        "(CUDA_ERROR_ILLEGAL_ADDRESS, an illegal memory access was encountered)",
        summary=_in_library,
        action=_go_round,
        remedy="Go round that library: SGLANG_ENABLE_JIT_DEEPGEMM=0, another "
        "`--attention-backend`, `--moe-runner-backend triton`.",
    ),
    "illegal-access-draft-graph": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_ILLEGAL_ACCESS,
        applies=_in_draft_graph,
        confidence=Confidence.LIKELY,
        sample="Traceback (most recent call last):\n"
        '  File "speculative/eagle_draft_cuda_graph_runner.py", line 1, in replay\n'
        "torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        summary="A kernel touched GPU memory that is not its own; under speculation it is most "
        "often the draft model's CUDA graph.",
        action=f"Decode without graphs, `{_NO_GRAPHS}`, or without a draft model, "
        "--no-speculation.",
        looks="`an illegal memory access was encountered` while it served with speculation",
    ),
    "illegal-access": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_ILLEGAL_ACCESS,
        sample="torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        summary="A kernel touched GPU memory that is not its own.",
        action=_without_graphs,
        remedy=f"Decode without graphs, `{_NO_GRAPHS}`, and without unusual options.",
        looks="`an illegal memory access was encountered` anywhere else",
    ),
    "kernel-fault": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_BAD_ACCESS,
        sample="torch.AcceleratorError: CUDA error: misaligned address\n"
        "torch.AcceleratorError: CUDA error: unspecified launch failure",
        summary=_fault,
        action="Start once more with CUDA_LAUNCH_BLOCKING=1, which shows the kernel; "
        f"`{_NO_GRAPHS}` or --no-speculation may go round it, and `dmesg | grep -i xid` tells "
        "whether the hardware is to blame.",
    ),
    "cublas": LogCause(
        retry=Retry.ONCE_SERVED,
        confidence=Confidence.LIKELY,
        pattern=r"CUBLAS_STATUS_(?P<status>ALLOC_FAILED|NOT_INITIALIZED|INTERNAL_ERROR)",
        sample="RuntimeError: CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling "
        "`cublasCreate(handle)`",
        summary="cuBLAS did not start ({status}): most often the GPU has no memory left beside the "
        "static part.",
        action="Lower --mem-fraction-static by 0.05, and look with `nvidia-smi` whether somebody "
        "else holds memory; if there is enough, the cuBLAS that is loaded is not torch's own "
        "(LD_LIBRARY_PATH).",
    ),
    "cublas-mixed": LogCause(
        retry=Retry.ONCE_SERVED,
        confidence=Confidence.LIKELY,
        pattern=r"CUBLAS_STATUS_(?P<status>INVALID_VALUE|NOT_SUPPORTED|ARCH_MISMATCH)",
        sample="RuntimeError: CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasGemmEx(`",
        summary="cuBLAS refused a call ({status}): most often another cuBLAS than torch's own was "
        "loaded.",
        action="Unset LD_LIBRARY_PATH, or put the folders site-packages/nvidia/*/lib first; "
        "install nvidia-cublas in the version that the installed torch pins. "
        "CUDA_LAUNCH_BLOCKING=1 tells whether an earlier kernel was to blame.",
    ),
    "gpu-hardware": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"uncorrectable (?:ECC|NVLink) error|GPU is lost|fallen off the bus"
        r"|CUDA error: (?:hardware|unknown) (?:stack )?error|GPU requires reset"
        r"|peer GPU memory over nvlink or a hardware error",
        sample="CUDA error: uncorrectable ECC error encountered\n"
        "CUDA error: hardware stack error\nGPU is lost",
        summary="A GPU reported a fault of its hardware.",
        action="Read `dmesg | grep -i xid`, and reset or replace that GPU; CUDA_VISIBLE_DEVICES "
        "can leave it out.",
    ),
}

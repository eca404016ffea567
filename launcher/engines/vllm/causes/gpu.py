"""A GPU that is too old for what is asked of it, and kernels that fail on one.

Source: vllm 0.32.0, platforms/cuda.py, config/vllm.py; the texts of CUDA and torch.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry


def _capability(text: str) -> str:
    """Compute capability 90 as people write it: 9.0."""
    return text if "." in text or len(text) < 2 else f"{text[:-1]}.{text[-1]}"


def _too_old(match: LogMatch) -> str:
    return (
        f"The quantization {match['method']} needs compute capability "
        f"{_capability(match['least'])} or newer, and this GPU has {_capability(match['here'])}."
    )


def _without(match: LogMatch) -> str:
    """What to leave out to find a kernel at fault."""
    leave = [] if match.config.speculative_algorithm is None else ["--no-speculation"]
    return " and ".join([*leave, "`-- --enforce-eager`"])


ERRORS: Final = {
    "dtype-needs-newer-gpu": LogCause(
        pattern=r"[Bb]float16 is only supported on GPUs with compute capability of at least "
        r"(?P<least>[\d.]+\d)(?:.*?Your (?P<gpu>.{1,60}?) GPU has compute capability "
        r"(?P<here>[\d.]+\d))?",
        sample="ValueError: Bfloat16 is only supported on GPUs with compute capability of at least "
        "8.0. Your Tesla T4 GPU has compute capability 7.5.",
        summary="bfloat16 needs compute capability {least} or newer; {gpu} has {here}.",
        action="Serve with --dtype float16.",
    ),
    "quantization-needs-newer-gpu": LogCause(
        pattern=r"quantization method (?P<method>[\w-]+) is not supported for the current GPU\. "
        r"Minimum capability: (?P<least>\d+)\. Current capability: (?P<here>\d+)",
        sample="ValueError: The quantization method fp8 is not supported for the current GPU. "
        "Minimum capability: 89. Current capability: 80.",
        summary=_too_old,
        action="Serve another checkpoint, quantized another way or not at all, or take a newer "
        "GPU.",
    ),
    "no-kernel-for-gpu": LogCause(
        broken_engine=True,
        pattern=r"no kernel image is available for execution|not compatible with the current "
        r"PyTorch installation",
        sample="torch.AcceleratorError: CUDA error: no kernel image is available for execution on "
        "the device",
        summary="The installed kernels were not built for this GPU.",
        action="Install a vLLM and a torch that are built for it: a GPU that is newer than they "
        "are needs newer ones.",
    ),
    "illegal-access": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"(?:Error: |what\(\): +)CUDA error: an illegal memory access was encountered"
        r"|CUDA_ERROR_ILLEGAL_ADDRESS",
        sample="torch.AcceleratorError: CUDA error: an illegal memory access was encountered",
        summary="A kernel touched GPU memory that is not its own.",
        action=lambda match: (
            f"Start again; should it return, leave out what is special: {_without(match)} first, "
            "then another --attention-backend or `-- --moe-backend triton`."
        ),
        remedy="Decode without graphs, `-- --enforce-eager`, and without a draft model.",
    ),
    "device-assert": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"CUDA error: device-side assert triggered"
        r"|Assertion [`'](?P<what>[^`']{1,160})[`'] failed",
        sample="torch.AcceleratorError: CUDA error: device-side assert triggered",
        summary="A kernel was given a number beyond its table: a token, a position or a block.",
        action=lambda match: (
            f"Start again; should it return, try {_without(match)}, and a checkpoint whose "
            "tokenizer and config.json are of the same revision."
        ),
        remedy="Serve without the draft model; take tokenizer and config.json of one revision.",
    ),
    "kernel-fault": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"CUDA error: (?P<what>misaligned address|unspecified launch failure|an illegal "
        r"instruction was encountered|invalid argument|invalid configuration argument)",
        sample="torch.AcceleratorError: CUDA error: unspecified launch failure",
        summary="A kernel failed on the GPU: {what}.",
        action="Start once more with CUDA_LAUNCH_BLOCKING=1, which shows the kernel; `dmesg | grep "
        "-i xid` tells whether the hardware is to blame.",
    ),
    "cublas": LogCause(
        retry=Retry.ONCE_SERVED,
        confidence=Confidence.LIKELY,
        pattern=r"CUBLAS_STATUS_(?P<status>\w+)",
        sample="RuntimeError: CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(",
        summary="cuBLAS refused a call ({status}): most often no memory is left beside vLLM's "
        "share, or another cuBLAS than torch's own was loaded.",
        action="Lower --gpu-memory-utilization by 0.05, and unset LD_LIBRARY_PATH.",
    ),
    "gpu-hardware": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"uncorrectable (?:ECC|NVLink) error|GPU is lost|fallen off the bus"
        r"|CUDA error: (?:hardware|unknown) error|GPU requires reset",
        sample="CUDA error: uncorrectable ECC error encountered",
        summary="A GPU reported a fault of its hardware.",
        action="Read `dmesg | grep -i xid`, and reset or replace that GPU; --gpu-ids can leave it "
        "out.",
    ),
}

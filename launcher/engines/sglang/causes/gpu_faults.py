"""GPUs that do not work: kernels, drivers, hardware, the links between GPUs.

The texts are those of what SGLang runs on: torch, triton, NCCL, the CUDA driver and runtime.
"""

from __future__ import annotations

from typing import Final

from launcher.engines.causes import LogCause, LogMatch, Retry

_NO_GRAPHS: Final = "-- --cuda-graph-backend-decode disabled"
_FP8_LEAST_CAPABILITY: Final = 89
_ILLEGAL_ACCESS: Final = r"illegal memory access was encountered"


def _in_draft_graph(match: LogMatch) -> bool:
    """CUDA reports such a fault late, so the traceback often names another place."""
    if match.came_through("draft") and match.came_through("graph_runner"):
        return True
    return match.config.speculative_algorithm is not None and match.end.served


def _kernel_shared_memory(match: LogMatch) -> str:
    required, limit = int(match["required"]), int(match["limit"])
    return (
        f"A Triton kernel needs {required:,} bytes of the GPU's shared memory and the hardware has "
        f"{limit:,}."
    )


def _capabilities(match: LogMatch) -> str:
    """The sentence that says '8.9' of SGLang's 89."""
    least, here = (
        f"{int(match[name]) // 10}.{int(match[name]) % 10}" for name in ("least", "here")
    )
    return (
        f"Quantization {match['method']} needs compute capability {least} and this GPU has {here}."
    )


def _newer_gpu(match: LogMatch) -> str:
    is_fp8 = int(match["least"]) >= _FP8_LEAST_CAPABILITY
    fp8 = "FP8 needs Ada, Hopper or newer; " if is_fp8 else ""
    return f"Take a newer GPU, or --model-path of an unquantized checkpoint ({fp8}BF16 runs here)."


def _old_driver(match: LogMatch) -> str:
    number = int(match["version"] or 0)
    found = f" (it speaks CUDA {number // 1000}.{number % 1000 // 10})" if number else ""
    return f"The NVIDIA driver is too old for the CUDA that torch was built with{found}."


def _compiler_missing(match: LogMatch) -> str:
    tool = match["tool"] or match["program"] or "the CUDA toolkit"
    return f"A kernel has to be compiled and {tool} is not here."


def _collective_timeout(match: LogMatch) -> str:
    seconds = int(match["milliseconds"]) / 1000
    return f"The ranks waited {seconds:.0f} s for each other in {match['operation']}."


ERRORS: Final = {
    "kernel-shared-memory": LogCause(
        pattern=r"(?:out of resource: )?shared memory, Required: (?P<required>\d+), "
        r"Hardware limit: (?P<limit>\d+)",
        sample="out of resource: shared memory, Required: 147456, Hardware limit: 101376.",
        summary=_kernel_shared_memory,
        action="Serve on a GPU with more (H100: 232,448 bytes), serve the checkpoint without FP8, "
        "or point SGLANG_MOE_CONFIG_DIR at a kernel configuration with smaller blocks.",
    ),
    "illegal-access-draft-graph": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_ILLEGAL_ACCESS,
        applies=_in_draft_graph,
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
        action=f"Decode without graphs, `{_NO_GRAPHS}`; CUDA_LAUNCH_BLOCKING=1 shows the kernel.",
        looks="`an illegal memory access was encountered` anywhere else",
    ),
    "quantization-needs-newer-gpu": LogCause(
        pattern=r"The quantization method (?P<method>\S+) is not supported for the current GPU\. "
        r"Minimum capability: (?P<least>\d+)\. Current capability: (?P<here>\d+)",
        sample="ValueError: The quantization method compressed-tensors is not supported for the "
        "current GPU. Minimum capability: 89. Current capability: 80.",
        summary=_capabilities,
        action=_newer_gpu,
        remedy="Take a newer GPU, or an unquantized checkpoint.",
    ),
    "no-kernel-for-gpu": LogCause(
        pattern=r"no kernel image is available for execution",
        sample="CUDA error: no kernel image is available for execution on the device",
        summary="The installed kernels were not built for this GPU.",
        action="Install torch and sglang-kernel for this GPU's compute capability, or take another "
        "GPU.",
    ),
    "driver-too-old": LogCause(
        pattern=r"NVIDIA driver on your system is too old(?: \(found version (?P<version>\d+)\))?"
        r"|CUDA driver version is insufficient for CUDA runtime version",
        sample="The NVIDIA driver on your system is too old (found version 12040).\n"
        "RuntimeError: CUDA driver version is insufficient for CUDA runtime version",
        summary=_old_driver,
        action="Update the driver (`nvidia-smi` shows its version), or install a torch for this "
        "CUDA.",
    ),
    "driver-missing": LogCause(
        pattern=r"libcuda\.so(?:\.1)?: cannot open|Found no NVIDIA driver on your",
        sample="RuntimeError: Found no NVIDIA driver on your system.\n"
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
        summary="There is no NVIDIA driver here, or a container does not see it (libcuda.so.1).",
        action="Install the driver, start the container with `--gpus all`, or serve with "
        "--device cpu.",
    ),
    "no-gpu": LogCause(
        # Anchored: SGLang warns in like words and goes on.
        pattern=r"^\w*Error: (?:.*No CUDA GPUs are available|No accelerator \("
        r"|.*No CUDA devices found|Torch not compiled with CUDA)",
        sample="RuntimeError: No CUDA GPUs are available\n"
        "RuntimeError: No accelerator (CUDA, XPU, HPU) or platform plugin is available.",
        summary="SGLang finds no GPU.",
        action="Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, or serve with --device cpu.",
    ),
    "gpu-hardware": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"uncorrectable (?:ECC|NVLink) error|GPU is lost|fallen off the bus"
        r"|CUDA error: (?:hardware|unknown) (?:stack )?error",
        sample="CUDA error: uncorrectable ECC error encountered\n"
        "CUDA error: hardware stack error\nGPU is lost",
        summary="A GPU reported a fault of its hardware.",
        action="Read `dmesg | grep -i xid`, and reset or replace that GPU; CUDA_VISIBLE_DEVICES "
        "can leave it out.",
    ),
    "nccl-timeout": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"Watchdog caught collective operation timeout: .*?OpType=(?P<operation>\w+)"
        r".*?ran for (?P<milliseconds>\d+) milliseconds",
        sample="[Rank 5] Watchdog caught collective operation timeout: WorkNCCL(SeqNum=9141, "
        "OpType=_ALLGATHER_BASE, Timeout(ms)=600000) ran for 600020 milliseconds",
        summary=_collective_timeout,
        action="Look in the log for the rank that fell behind; with NCCL_DEBUG=INFO it says where.",
    ),
    "kernel-compiler-missing": LogCause(
        pattern=r"(?P<tool>nvcc|ninja):? (?:was )?not found|No such file or directory: "
        r"'(?:[^']*/)?(?P<program>nvcc|ninja)'|Could not find nvcc"
        r"|Could not find CUDA installation",
        sample="/bin/sh: 1: /usr/local/cuda/bin/nvcc: not found\n"
        "FileNotFoundError: [Errno 2] No such file or directory: 'ninja'",
        summary=_compiler_missing,
        action="Install the CUDA toolkit and ninja, and set CUDA_HOME.",
    ),
}

# What ninja says of its compiler, and a rank of another one.
ECHOES: Final = {
    "kernel-compile-failed": LogCause(
        pattern=r"^\w*Error: (?:Ninja build failed|ninja exited with|Error building ext)",
        sample="RuntimeError: Ninja build failed. Ninja output:\n"
        "RuntimeError: Error building extension 'kernels'",
        summary="A kernel could not be compiled.",
        action="Read the compiler's error further up; a CUDA toolkit older than torch's is the "
        "usual one.",
    ),
    "nccl-failure": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"NCCL error(?: in)?: (?:\S+:\d+, )?"
        r"(?P<what>(?:unhandled|internal|invalid)[\w ]*)",
        sample="RuntimeError: NCCL error: unhandled cuda error (run with NCCL_DEBUG=INFO)",
        summary=lambda match: (
            f"NCCL, which joins the GPUs, failed: {match['what'].strip().rstrip('.,')}."
        ),
        action="Start once more with NCCL_DEBUG=WARN for its reason; NCCL_P2P_DISABLE=1 goes round "
        "a broken link between GPUs.",
        looks="`NCCL error: unhandled system error`, and nothing else",
    ),
}

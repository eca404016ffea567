"""GPUs that cannot be started: driver, fabric manager, ordinals, memory that others hold.

The texts and numbers are those of the CUDA driver and runtime (cudaError_t, CUresult), as torch,
NCCL and DeepGEMM print them.
"""

from __future__ import annotations

from typing import Final

from launcher.config.arguments.options import options_of
from launcher.config.ranks import ranks_of
from launcher.engines.causes import Confidence, LogCause, LogMatch, Retry
from launcher.text import whole_number


def _numbered(number: int, name: str, text: str) -> str:
    """A pattern for one CUDA error: by its number, its names or its text."""
    return (
        rf"\b(?:CUDA|cuda|Error|error)\w*[: ()]{{1,3}}{number}\b(?!\.)|CUDA_ERROR_{name}\b|{text}"
    )


def _old_driver(match: LogMatch) -> str:
    number = whole_number(match["version"])
    found = f" (it speaks CUDA {number // 1000}.{number % 1000 // 10})" if number else ""
    return f"The NVIDIA driver is too old for the CUDA that torch was built with{found}."


def _too_many_ranks(match: LogMatch) -> str:
    return (
        f"A rank asks for a GPU that is not there: {_sizes(match)}"
        + (f", --base-gpu-id {base}" if (base := _base_gpu(match)) else "")
        + ", and fewer GPUs are visible."
    )


def _fewer_ranks(match: LogMatch) -> str:
    base = _base_gpu(match)
    ranks = ranks_of(match.config)
    lower = f"Lower --tp-size from {ranks.tensor}" if ranks.tensor > 1 else ""
    if ranks.replicas > 1:
        lower = f"Lower --dp-size from {ranks.replicas}"
    more = "make more GPUs visible (CUDA_VISIBLE_DEVICES, `docker run --gpus all`)"
    leave = f", or leave out `-- --base-gpu-id {base}`" if base else ""
    text = f"{lower}, or {more}" if lower else f"{more[0].upper()}{more[1:]}"
    return f"{text}{leave}: `nvidia-smi -L` lists those that are here."


def _sizes(match: LogMatch) -> str:
    """The sizes whose product is the number of GPUs."""
    ranks = ranks_of(match.config)
    more = {"--pp-size": ranks.pipeline, "--dp-size": ranks.replicas}
    given = [f", {flag} {size}" for flag, size in more.items() if size > 1]
    return f"--tp-size is {ranks.tensor}{''.join(given)}"


def _base_gpu(match: LogMatch) -> str:
    return dict(options_of(match.config.extra_args)).get("--base-gpu-id") or ""


def _held_memory(match: LogMatch) -> str:
    here, all_of_it = match["here"], match["there"]
    figures = f": {here} GB are free where {all_of_it} GB are on another rank's" if here else ""
    return f"Another process holds memory of one of the GPUs{figures}."


ERRORS: Final = {
    "driver-too-old": LogCause(
        pattern=r"NVIDIA driver on your system is too old(?: \(found version (?P<version>\d+)\))?"
        r"|CUDA driver version is insufficient for CUDA runtime version"
        r"|provided PTX was compiled with an unsupported toolchain"
        r"|CUDA_ERROR_UNSUPPORTED_PTX_VERSION",
        sample="The NVIDIA driver on your system is too old (found version 12040).\n"
        "RuntimeError: CUDA driver version is insufficient for CUDA runtime version\n"
        "RuntimeError: CUDA error: the provided PTX was compiled with an unsupported toolchain.",
        summary=_old_driver,
        action="Update the driver (`nvidia-smi` shows its version), or install a torch for this "
        "CUDA.",
    ),
    "driver-missing": LogCause(
        pattern=r"libcuda\.so(?:\.1)?: cannot open|Found no NVIDIA driver on your"
        r"|libnvidia-ml\.so(?:\.1)?: cannot open|NVML Shared Library Not Found",
        sample="RuntimeError: Found no NVIDIA driver on your system.\n"
        "ImportError: libcuda.so.1: cannot open shared object file: No such file or directory",
        summary="There is no NVIDIA driver here, or a container does not see it (libcuda.so.1).",
        action="Install the driver, start the container with `--gpus all`, or serve with "
        "--device cpu.",
    ),
    "driver-mismatch": LogCause(
        pattern=_numbered(
            803,
            "SYSTEM_DRIVER_MISMATCH",
            r"unsupported display driver / cuda driver combination"
            r"|Driver/library version mismatch|NVML/RM version mismatch|LibRmVersionMismatch"
            r"|API mismatch: the client has the version",
        ),
        sample="RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 803: system has "
        "unsupported display driver / cuda driver combination",
        summary="The NVIDIA driver's kernel module and its libraries are of different versions.",
        action="Reboot after the driver's upgrade (or `rmmod` and load nvidia again); in a "
        "container, take /usr/local/cuda/compat off LD_LIBRARY_PATH, so that the host's libcuda "
        "is found.",
    ),
    "forward-compatibility": LogCause(
        pattern=_numbered(
            804,
            "COMPAT_NOT_SUPPORTED_ON_DEVICE",
            r"forward compatibility was attempted on non supported HW",
        ),
        sample="RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 804: forward "
        "compatibility was attempted on non supported HW",
        summary="The CUDA of this image is newer than the driver, and its compatibility library "
        "does not work on this GPU (it needs a data-centre card).",
        action="Update the host's NVIDIA driver, or take an image with an older CUDA; taking "
        "/usr/local/cuda/compat off LD_LIBRARY_PATH helps where the driver is new enough.",
    ),
    "fabric-manager": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_numbered(802, "SYSTEM_NOT_READY", r"system not yet initialized"),
        sample="RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 802: system not "
        "yet initialized",
        summary="The GPUs of this machine are joined by NVSwitch, and its fabric manager does not "
        "run.",
        action="Start it, in the driver's own version: `systemctl start nvidia-fabricmanager` "
        "(`nvidia-smi -q` shows Fabric State); a virtual machine gets it from its host.",
    ),
    "gpu-ordinal": LogCause(
        pattern=_numbered(
            101,
            "INVALID_DEVICE",
            r"invalid device ordinal|device >= 0 && device < num_gpus|Invalid device id",
        ),
        sample="torch.AcceleratorError: CUDA error: invalid device ordinal",
        summary=_too_many_ranks,
        action=_fewer_ranks,
        remedy="**Lower** `--tp-size`, or make more GPUs visible (`CUDA_VISIBLE_DEVICES`).",
    ),
    "torch-without-cuda": LogCause(
        broken_engine=True,
        pattern=r"Torch not compiled with CUDA",
        sample="AssertionError: Torch not compiled with CUDA enabled",
        summary="The installed torch is a build without CUDA.",
        action="Install the torch that the engine asks for, in its build for CUDA, in place of "
        "this one; or serve with --device cpu.",
    ),
    "no-gpu": LogCause(
        # Anchored: engines warn in like words and go on.
        pattern=r"^[\w.]*Error: (?:.*No CUDA GPUs are available|No accelerator \("
        r"|.*No CUDA devices found"
        r"|0 active drivers \(\[\]\)|.*no CUDA-capable device is detected|.*CUDA_ERROR_NO_DEVICE)",
        sample="RuntimeError: No CUDA GPUs are available\n"
        "RuntimeError: No accelerator (CUDA, XPU, HPU) or platform plugin is available.",
        summary="The engine finds no GPU.",
        action="Look at `nvidia-smi` and CUDA_VISIBLE_DEVICES, or serve with --device cpu.",
    ),
    "gpu-busy": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ONCE_SERVED,
        pattern=_numbered(46, "DEVICE_UNAVAILABLE", r"CUDA-capable device\(s\) is/are busy")
        + r"|devices? (?:is|are) busy or unavailable",
        sample="RuntimeError: CUDA error: CUDA-capable device(s) is/are busy or unavailable",
        summary="A GPU takes no further process: it is in exclusive mode and in use, or its driver "
        "is stuck.",
        action="See who uses it (`nvidia-smi`), end that process, or `nvidia-smi -c 0` ends the "
        "exclusive mode; a stuck GPU wants `nvidia-smi --gpu-reset`.",
    ),
    "driver-not-started": LogCause(
        confidence=Confidence.LIKELY,
        retry=Retry.ONCE_SERVED,
        pattern=r"cudaGetDeviceCount\(\).*(?:Error 999|unknown error)|CUDA unknown error - this may"
        r"|cuInit.*(?:999|CUDA_ERROR_UNKNOWN)|Error 999: unknown error",
        sample="RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 999: unknown error",
        summary="The NVIDIA driver does not start (error 999): most often its module nvidia_uvm is "
        "not loaded.",
        action="`modprobe nvidia_uvm` (after a suspend: unload it first), see `dmesg`, or reboot; "
        "in a container, start it again with all of the devices.",
    ),
    "mps": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=_numbered(
            805,
            "MPS_CONNECTION_FAILED",
            r"MPS client failed to connect|CUDA_ERROR_MPS_"
            r"\w+",
        ),
        sample="RuntimeError: Unexpected error from cudaGetDeviceCount(). Error 805: MPS client "
        "failed to connect to the MPS control daemon or the MPS server",
        summary="CUDA wants to share the GPU through MPS, and its daemon does not answer.",
        action="Start it as the same user, `nvidia-cuda-mps-control -d`, or do without: unset "
        "CUDA_MPS_PIPE_DIRECTORY and remove /tmp/nvidia-mps.",
    ),
    "cuda-forked": LogCause(
        pattern=r"Cannot re-initialize CUDA in forked subprocess",
        sample="RuntimeError: Cannot re-initialize CUDA in forked subprocess.",
        summary="CUDA was started before the server's processes were forked from their parent.",
        action="Start the server in a process of its own, not from a program that has used CUDA; "
        "multiprocessing has to 'spawn'.",
    ),
    "gpu-memory-unbalanced": LogCause(
        retry=Retry.ONCE_SERVED,
        pattern=r"memory capacity is unbalanced(?:.*?pre_model_load_memory=(?P<here>[\d.]+)"
        r".*?local_gpu_memory=(?P<there>[\d.]+))?"
        r"|Some GPUs may be occupied by other processes",
        sample="ValueError: The memory capacity is unbalanced. Some GPUs may be occupied by other "
        "processes. pre_model_load_memory=40.1, local_gpu_memory=78.9, local_gpu_memory * 0.9=71.0",
        summary=_held_memory,
        action="See who uses them (`nvidia-smi`; a server that died may have left processes), end "
        "it, or choose other GPUs with CUDA_VISIBLE_DEVICES.",
    ),
}

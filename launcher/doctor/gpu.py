"""Probes of the driver and the GPUs. What they judge was read by `launcher.doctor.nvml`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import combinations
from typing import Final

from launcher.config.gpus import used_gpus
from launcher.config.presets import describe_gpus, needs_gpus
from launcher.config.ranks import ranks_of
from launcher.doctor.nvml import DriverState, GpuState, GpuUser
from launcher.doctor.probes import Look, Row, Status, dotted, probe
from launcher.doctor.readers import Holder, Readers
from launcher.doctor.target import ServingTarget
from launcher.errors import NoGpuError
from launcher.preflight.checks import check_gpus
from launcher.system.hardware import Gpu
from launcher.text import human_bytes

# Source: "CUDA Compatibility", minor version compatibility, table 1: the least branch of the
# driver for each major version of CUDA.
LEAST_DRIVER: Final[Mapping[int, int]] = {11: 450, 12: 525, 13: 580}
# Below, SGLang refuses. Source: sglang,
# srt/model_executor/model_runner_components/load_model_utils.py.
LEAST_CAPABILITY: Final = (7, 5)
# Below, SGLang takes float16 where bfloat16 is asked for: the same file.
BFLOAT16_CAPABILITY: Final = (8, 0)
# FP8 in hardware. Source: sglang,
# srt/layers/quantization/compressed_tensors/schemes/compressed_tensors_w8a8_fp8.py: 89.
FP8_CAPABILITY: Final = (8, 9)
# Most shared memory that a block may opt in to. By table and not by the driver: asking CUDA would
# mean to initialise it on every GPU.
# Source: CUDA C++ Programming Guide, "Technical Specifications per Compute Capability".
SHARED_MEMORY_PER_BLOCK_BYTES: Final[Mapping[tuple[int, int], int]] = {
    (7, 0): 96 * 1024,
    (7, 2): 96 * 1024,
    (7, 5): 64 * 1024,
    (8, 0): 163 * 1024,
    (8, 6): 99 * 1024,
    (8, 7): 163 * 1024,
    (8, 9): 99 * 1024,
    (9, 0): 227 * 1024,
    (10, 0): 227 * 1024,
    (10, 3): 227 * 1024,
    (11, 0): 227 * 1024,
    (12, 0): 99 * 1024,
    (12, 1): 99 * 1024,
}
# Below, SGLang takes smaller blocks for its FP8 expert kernel, of 98,304 bytes at the most; the
# usual ones asked for 147,456 (sglang issue 8513).
# Formula: stages in flight x block K x (block M + block N), one byte each: 3 x 128 x (128 + 256),
# and 2 x 256 x (64 + 128).
# Source: sglang, srt/layers/moe/moe_runner/triton_utils/fused_moe_triton_config.py.
FP8_SHARED_MEMORY_BYTES: Final = 128 * 1024
# A driver with nothing on a GPU keeps some hundred MiB of it.
_FREE_SHARE: Final = 0.9

_NO_DRIVER: Final = "NVML Shared Library Not Found"
_INSTALL: Final = (
    "Install NVIDIA's driver, or give the container its GPUs: `docker run --gpus all`."
)
_NOTHING: Final = DriverState()
_probe = partial(probe, "GPU")


@_probe(
    "gpus",
    amber="NVML reports a fault, and none is needed",
    red="fewer than the tensor parallel size, or fewer than the preset needs with room for it; or "
    "NVML does not answer, which `up` waits for too",
    remedy="free the GPUs, mend the driver, or `--preset nano`",
    source="`launcher.preflight.checks.check_gpus`, which `up` asks as well",
)
def _gpus(target: ServingTarget, readers: Readers) -> Row:
    driver = readers.driver
    if not driver.values:
        return Row(
            "GPUs",
            "red" if driver.hung else "amber",
            f"NVML: {driver.failure}",
            "an answer of the driver",
            "Look for Xid errors with `dmesg`; a reset or a reboot frees a driver that hangs.",
        )
    found = describe_gpus(target.hardware)
    if not target.on_gpu:
        return Row.judged(
            "GPUs",
            found,
            f"none: {target.config.preset} runs on the CPU",
            amber=driver.values[0].problem not in ("", _NO_DRIVER),
            action="Mend the driver: `nvidia-smi` says more.",
        )
    ranks = ranks_of(target.config).count_here
    wanted = f"{ranks} NVIDIA GPU{'s' if ranks > 1 else ''}"
    if target.preset is not None and target.preset.gpus:
        wanted = needs_gpus(target.preset).removeprefix("needs ")
    try:
        check_gpus(target)
    except NoGpuError as error:
        return Row("GPUs", "red", found, wanted, error.action)
    return Row("GPUs", "green", found, wanted)


def _for_each_gpu(look: Callable[[ServingTarget, Gpu], Row]) -> Look:
    """A row for each GPU that CUDA will show, where GPUs are needed."""
    return lambda target, _: [look(target, gpu) for gpu in target.hardware.gpus if target.on_gpu]


def _states(target: ServingTarget, readers: Readers) -> Iterator[tuple[Gpu, GpuState]]:
    """The GPUs that CUDA will show, with what the driver says of each."""
    states = {each.uuid: each for each in readers.driver.value_or(_NOTHING).gpus}
    return ((gpu, states[gpu.uuid]) for gpu in target.hardware.gpus if gpu.uuid in states)


@_probe(
    "gpu-memory",
    amber=f"a process holds memory of it, or less than {_FREE_SHARE:.0%} is free; only where a "
    "GPU is needed",
    remedy="`python -m launcher down --name NAME` where it is ours, else end the process or leave "
    "the GPU out",
    source="NVML; the server of each process by our run records",
)
def _memory(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    for gpu, state in _states(target, readers):
        held = [(user, readers.holder(user.pid)) for user in state.users or ()]
        is_full = gpu.free_bytes < _FREE_SHARE * gpu.total_bytes
        free = f"{human_bytes(gpu.free_bytes)} of {human_bytes(gpu.total_bytes)} free"
        measured = f"{gpu.name}, {gpu.uuid}: {free}"
        if held:
            measured += f"; held by {', '.join(_holder(*each) for each in held)}"
        elif is_full:
            measured += "; held by nobody whom the driver names"
        yield Row.judged(
            f"GPU {gpu.index} memory",
            measured,
            "free" if target.on_gpu else "nothing",
            amber=target.on_gpu and (is_full or bool(held)),
            action=_how_to_free(held),
        )


def _how_to_free(held: list[tuple[GpuUser, Holder]]) -> str:
    runs = sorted({who.run for _, who in held if who.run})
    if runs:
        return f"`python -m launcher down --name {runs[0]}` frees it."
    if held:
        return (
            f"End process {min(user.pid for user, _ in held)} if it is yours, or leave this GPU "
            "out with CUDA_VISIBLE_DEVICES."
        )
    return "A process of another container, or one that died: `nvidia-smi` on the host."


def _holder(user: GpuUser, who: Holder) -> str:
    parts = [f"process {user.pid}"]
    if user.used_bytes is not None:
        parts.append(human_bytes(user.used_bytes))
    if who.run:
        parts.append(f"our server {who.run!r}")
    return f"{who.name or 'a process not seen from here'} ({', '.join(parts)})"


@_probe(
    "gpu-health",
    amber="uncorrected ECC errors, a memory row to be replaced, a clock held down by heat or "
    "power, MIG, persistence off",
    red="a memory row that cannot be replaced, or a compute mode that lets nobody in; amber where "
    "no GPU is needed",
    remedy="reset or exchange the GPU, cool it, `nvidia-persistenced`, `nvidia-smi -mig 0`",
    source="NVML, which keeps no Xid errors of the past: those are in `dmesg`",
)
def _health(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    for gpu, state in _states(target, readers):
        ecc = {None: "ECC not told", True: "ECC on", False: "ECC off"}[state.ecc]
        faults = list(_faults(gpu, state))
        parts = [ecc, *(words for _, words, _ in faults)] if faults else [ecc, "nothing wrong"]
        # The gravest comes first.
        worst = faults[0][0] if faults else None
        yield Row.judged(
            f"GPU {gpu.index} health",
            ", ".join(parts),
            "no errors, full clock, persistence on",
            # Nothing about a GPU is red where none is needed.
            red=worst == "red" and target.on_gpu,
            amber=worst is not None,
            action=faults[0][2] if faults else None,
        )


def _faults(gpu: Gpu, state: GpuState) -> Iterator[tuple[Status, str, str]]:
    """Status, what it looks like, and what to do: the gravest first."""
    reset = f"`nvidia-smi --gpu-reset -i {gpu.index}` with nothing running on it, or reboot."
    if state.remap_failed:
        yield "red", "a memory row cannot be replaced", "Have the GPU exchanged."
    if state.prohibited:
        allow = f"`nvidia-smi -i {gpu.index} -c DEFAULT` lets processes in."
        yield "red", "compute mode PROHIBITED", allow
    if state.uncorrected_errors:
        yield "amber", f"{state.uncorrected_errors} uncorrected ECC errors", reset
    if state.remap_pending:
        yield "amber", "a memory row is to be replaced", reset
    if state.slowed_by:
        cause = " and ".join(state.slowed_by)
        yield "amber", f"clock held down by {cause}", "See to cooling and power supply."
    if state.partitioned:
        whole = f"`nvidia-smi -i {gpu.index} -mig 0` makes it whole again."
        yield "amber", "split by MIG", whole
    if state.persistent is False:
        keep = "Start `nvidia-persistenced`: each start loads the driver's state anew."
        yield "amber", "persistence off", keep


@_probe(
    "compute-capability",
    amber="below 8.0: float16 instead of bfloat16; below 8.9 with an FP8 model: no FP8 in hardware",
    red="below 7.5, or below what the preset needs",
    remedy="a newer GPU, or `--preset nano`",
    source="sglang, `load_model_utils.py` and `compressed_tensors_w8a8_fp8.py`",
)
@_for_each_gpu
def _capability(target: ServingTarget, gpu: Gpu) -> Row:
    least = LEAST_CAPABILITY
    if target.preset is not None:
        least = max(least, target.preset.least_compute_capability)
    here = gpu.compute_capability
    subject, measured = f"GPU {gpu.index} capability", dotted(here)
    if here < least:
        action = "Serve on a newer GPU, or `--preset nano` on the CPU."
        return Row(subject, "red", measured, f"{dotted(least)} or newer", action)
    if target.is_fp8 and here < FP8_CAPABILITY:
        return Row(
            subject,
            "amber",
            f"{measured}: no FP8 in hardware",
            f"{dotted(FP8_CAPABILITY)} or newer for FP8",
            "Expect weights to be widened, slower, where SGLang has a kernel for that at all.",
        )
    if here < BFLOAT16_CAPABILITY:
        return Row(
            subject,
            "amber",
            f"{measured}: no bfloat16",
            f"{dotted(BFLOAT16_CAPABILITY)} or newer",
            "SGLang takes float16: say so with `--dtype float16`, or serve on a newer GPU.",
        )
    return Row(subject, "green", measured, f"{dotted(least)} or newer")


@_probe(
    "kernel-shared-memory",
    amber=f"an FP8 model and less than {FP8_SHARED_MEMORY_BYTES:,} bytes a block, so that SGLang "
    "takes smaller blocks; or a capability that the table lacks",
    remedy="tune the kernel, or a checkpoint without FP8",
    source="CUDA C++ Programming Guide, by compute capability; sglang, "
    "`fused_moe_triton_config.py`; sglang issue 8513",
)
@_for_each_gpu
def _shared_memory(target: ServingTarget, gpu: Gpu) -> Row:
    subject = f"GPU {gpu.index} shared memory"
    limit = SHARED_MEMORY_PER_BLOCK_BYTES.get(gpu.compute_capability)
    if limit is None:
        return Row(
            subject,
            "amber",
            f"unknown for capability {dotted(gpu.compute_capability)}",
            "a capability of CUDA's table",
            "Look for `out of resource: shared memory` in the first start's log.",
        )
    measured = f"{limit:,} bytes a block"
    # Without FP8 in hardware, or without FP8 weights, that kernel is not used.
    if not target.is_fp8 or gpu.compute_capability < FP8_CAPABILITY:
        return Row(subject, "green", measured, "nothing more")
    is_small = limit < FP8_SHARED_MEMORY_BYTES
    return Row.judged(
        subject,
        f"{measured}: smaller and slower blocks" if is_small else measured,
        f"{FP8_SHARED_MEMORY_BYTES:,} bytes for SGLang's usual FP8 blocks",
        amber=is_small,
        action="Tune the kernel for this GPU (SGLANG_MOE_CONFIG_DIR), or serve a checkpoint "
        "without FP8 if a start fails with `out of resource: shared memory`.",
    )


@_probe(
    "nvlink",
    amber="tensor parallel, and a pair of its GPUs without NVLink, or the driver does not say",
    remedy="CUDA_VISIBLE_DEVICES with a pair that is joined; it serves over PCIe",
    source="NVML's peer-to-peer status",
)
def _nvlink(target: ServingTarget, readers: Readers) -> Iterator[Row]:
    size = ranks_of(target.config).count_here
    used = target.gpus or used_gpus(target.config, target.hardware.gpus)
    if not target.on_gpu or size < 2 or len(used) < 2:
        return
    linked = readers.driver.value_or(_NOTHING).linked
    known = {(one, other): joined for one, other, joined in linked}
    pairs = list(combinations(sorted(gpu.index for gpu in used), 2))
    wanted = f"NVLink between the {len(used)} GPUs of tensor parallelism"
    untold = [pair for pair in pairs if pair not in known]
    apart = [pair for pair in pairs if known.get(pair) is False]
    if untold:
        yield Row("NVLink", "amber", "the driver does not say", wanted, "See `nvidia-smi topo -m`.")
    elif apart:
        names = ", ".join(f"{one} and {other}" for one, other in apart)
        action = "It serves over PCIe, slower; CUDA_VISIBLE_DEVICES can name a pair that is joined."
        yield Row("NVLink", "amber", f"none between GPU {names}", wanted, action)
    else:
        yield Row("NVLink", "green", f"between all {len(used)}", wanted)


@probe(
    "driver",
    "driver",
    amber="the driver's CUDA is an older minor version than torch's",
    red="none, or an older major version than torch's; amber where no GPU is needed",
    remedy="a newer driver; for a container `--gpus all`",
    source="CUDA Compatibility, table 1: driver "
    + ", ".join(f"{least} for CUDA {major}" for major, least in LEAST_DRIVER.items()),
)
def _driver(target: ServingTarget, readers: Readers) -> Row:
    subject = "NVIDIA driver"
    state = readers.driver.value_or(DriverState(problem=readers.driver.failure))
    if state.version is None or state.cuda_version is None:
        wanted = "a driver" if target.on_gpu else "none"
        measured = f"none ({state.problem})"
        return Row.judged(subject, measured, wanted, red=target.on_gpu, action=_INSTALL)
    built = readers.torch_cuda()
    measured = f"{state.version}, for CUDA up to {dotted(state.cuda_version)}"
    least = LEAST_DRIVER.get(built[0])
    wanted = f"CUDA {dotted(built)}, which torch is built for"
    if least is not None:
        wanted += f": driver {least} or newer"
    is_old = state.cuda_version[0] < built[0]
    action = "Update the driver: kernels that are compiled at run time may not load."
    if is_old:
        action = f"Install driver {least or 'of that CUDA'} or newer, and reboot."
    return Row.judged(
        subject,
        measured,
        wanted,
        # Nothing about a GPU is red where none is needed.
        red=is_old and target.on_gpu,
        amber=state.cuda_version < built,
        action=action,
    )


PROBES: Final = (_gpus, _memory, _health, _capability, _shared_memory, _nvlink, _driver)

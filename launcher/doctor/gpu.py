"""Probes of the driver and the GPUs. What they judge was read by `launcher.doctor.nvml`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import psutil

from launcher.config.gpus import chosen_gpus
from launcher.config.presets import describe_gpus, needs_gpus
from launcher.doctor.needs import Needs
from launcher.doctor.nvml import DriverState, GpuState, GpuUser
from launcher.doctor.probes import Answer, Probe, Row, Status
from launcher.errors import NoGpuError, StateError
from launcher.preflight.checks import check_gpus
from launcher.preflight.facts import ServingFacts
from launcher.state.store import list_stores
from launcher.system.hardware import Gpu
from launcher.system.members import find_members
from launcher.text import human_bytes

# Source: "CUDA Compatibility", minor version compatibility, table 1: the least branch of the
# driver for each major version of CUDA.
LEAST_DRIVER: Final[Mapping[int, int]] = {11: 450, 12: 525, 13: 580}
# Below, SGLang refuses. Source: sglang 0.5.23,
# srt/model_executor/model_runner_components/load_model_utils.py.
LEAST_CAPABILITY: Final = (7, 5)
# Below, SGLang takes float16 where bfloat16 is asked for: the same file.
BFLOAT16_CAPABILITY: Final = (8, 0)
# FP8 in hardware. Source: sglang 0.5.23,
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
# Source: sglang 0.5.23, srt/layers/moe/moe_runner/triton_utils/fused_moe_triton_config.py.
FP8_SHARED_MEMORY_BYTES: Final = 128 * 1024
# A driver with nothing on a GPU keeps some hundred MiB of it.
_FREE_SHARE: Final = 0.9

_NO_DRIVER: Final = "NVML Shared Library Not Found"
_INSTALL: Final = (
    "Install NVIDIA's driver, or give the container its GPUs: `docker run --gpus all`."
)


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU; `run` is the name of our server that it belongs to."""

    name: str | None
    run: str | None


def find_holder(runs: Mapping[int, str]) -> Callable[[int], Holder]:
    """A reader of processes, given which of them are ours."""

    def read(pid: int) -> Holder:
        try:
            name = psutil.Process(pid).name()
        except psutil.Error:
            name = None
        return Holder(name, runs.get(pid))

    return read


def our_processes() -> dict[int, str]:
    """The processes of all our servers, and the server of each."""
    found: dict[int, str] = {}
    for store in list_stores():
        try:
            record = store.read()
        except StateError:
            continue
        if record is not None and record.server is not None and record.is_running:
            members = find_members(record.server, record.run_id)
            found |= dict.fromkeys((member.pid for member in members), store.name)
    return found


def gpu_probes(
    needs: Needs,
    driver: Answer[DriverState],
    holder: Callable[[int], Holder],
    torch_cuda: Callable[[], tuple[int, int]],
) -> tuple[Probe, ...]:
    """The probes of the groups GPU and driver.

    Args:
        needs: what is to be served, and the GPUs that CUDA will show.
        driver: what NVML said, or why it did not.
        holder: whose process a pid is.
        torch_cuda: the CUDA that torch was built for; may raise.
    """
    state = driver.values[0] if driver.values else DriverState()
    states = {each.uuid: each for each in state.gpus}
    pairs = [(gpu, states[gpu.uuid]) for gpu in needs.hardware.gpus if gpu.uuid in states]
    return (
        Probe(
            "gpus",
            "GPU",
            lambda: [_gpus(needs, driver)],
            amber="NVML reports a fault, and none is needed",
            red="fewer than the tensor parallel size, or fewer than the preset needs with room for "
            "it; or NVML does not answer, which `up` waits for too",
            remedy="free the GPUs, mend the driver, or `--preset nano`",
            source="`launcher.preflight.checks.check_gpus`, which `up` asks as well",
        ),
        Probe(
            "gpu-memory",
            "GPU",
            lambda: (_memory(needs, gpu, each, holder) for gpu, each in pairs),
            amber=f"a process holds memory of it, or less than {_FREE_SHARE:.0%} is free; only "
            "where a GPU is needed",
            remedy="`python -m launcher down --name NAME` where it is ours, else end the process "
            "or leave the GPU out",
            source="NVML; the server of each process by our run records",
        ),
        Probe(
            "gpu-health",
            "GPU",
            lambda: (_health(needs, gpu, each) for gpu, each in pairs),
            amber="uncorrected ECC errors, a memory row to be replaced, a clock held down by heat "
            "or power, MIG, persistence off",
            red="a memory row that cannot be replaced, or a compute mode that lets nobody in; "
            "amber where no GPU is needed",
            remedy="reset or exchange the GPU, cool it, `nvidia-persistenced`, `nvidia-smi -mig 0`",
            source="NVML, which keeps no Xid errors of the past: those are in `dmesg`",
        ),
        Probe(
            "compute-capability",
            "GPU",
            lambda: (_capability(needs, gpu) for gpu in needs.hardware.gpus if needs.on_gpu),
            amber="below 8.0: float16 instead of bfloat16; below 8.9 with an FP8 model: no FP8 in "
            "hardware",
            red="below 7.5, or below what the preset needs",
            remedy="a newer GPU, or `--preset nano`",
            source="sglang 0.5.23, `load_model_utils.py` and `compressed_tensors_w8a8_fp8.py`",
        ),
        Probe(
            "kernel-shared-memory",
            "GPU",
            lambda: (_shared_memory(needs, gpu) for gpu in needs.hardware.gpus if needs.on_gpu),
            amber=f"an FP8 model and less than {FP8_SHARED_MEMORY_BYTES:,} bytes a block, so that "
            "SGLang takes smaller blocks; or a capability that the table lacks",
            remedy="tune the kernel, or a checkpoint without FP8",
            source="CUDA C++ Programming Guide, by compute capability; sglang 0.5.23, "
            "`fused_moe_triton_config.py`; sglang issue 8513",
        ),
        Probe(
            "nvlink",
            "GPU",
            lambda: _nvlink(needs, state),
            amber="tensor parallel, and a pair of its GPUs without NVLink, or the driver does not "
            "say",
            remedy="CUDA_VISIBLE_DEVICES with a pair that is joined; it serves over PCIe",
            source="NVML's peer-to-peer status",
        ),
        Probe(
            "driver",
            "driver",
            lambda: [_driver(needs, driver, torch_cuda)],
            amber="the driver's CUDA is an older minor version than torch's",
            red="none, or an older major version than torch's; amber where no GPU is needed",
            remedy="a newer driver; for a container `--gpus all`",
            source="CUDA Compatibility, table 1: driver "
            + ", ".join(f"{least} for CUDA {major}" for major, least in LEAST_DRIVER.items()),
        ),
    )


def _gpus(needs: Needs, driver: Answer[DriverState]) -> Row:
    found = describe_gpus(needs.hardware)
    problem = driver.values[0].problem if driver.values else driver.failure
    if not driver.values:
        return Row(
            "GPUs",
            "red" if driver.hung else "amber",
            f"NVML: {problem}",
            "an answer of the driver",
            "Look for Xid errors with `dmesg`; a reset or a reboot frees a driver that hangs.",
        )
    if not needs.on_gpu:
        status: Status = "amber" if problem not in ("", _NO_DRIVER) else "green"
        action = "Mend the driver: `nvidia-smi` says more." if status != "green" else None
        return Row("GPUs", status, found, f"none: {needs.config.preset} runs on the CPU", action)
    ranks = needs.config.tp_size
    wanted = f"{ranks} NVIDIA GPU{'s' if ranks > 1 else ''}"
    if needs.preset is not None and needs.preset.gpus:
        wanted = needs_gpus(needs.preset).removeprefix("needs ")
    try:
        check_gpus(ServingFacts(needs.config, needs.hardware))
    except NoGpuError as error:
        return Row("GPUs", "red", found, wanted, error.action)
    return Row("GPUs", "green", found, wanted)


def _memory(needs: Needs, gpu: Gpu, state: GpuState, holder: Callable[[int], Holder]) -> Row:
    free = f"{human_bytes(gpu.free_bytes)} of {human_bytes(gpu.total_bytes)} free"
    measured = f"{gpu.name}, {gpu.uuid}: {free}"
    held = [(user, holder(user.pid)) for user in state.users or ()]
    if held:
        measured += f"; held by {', '.join(_holder(*each) for each in held)}"
    elif gpu.free_bytes < _FREE_SHARE * gpu.total_bytes:
        measured += "; held by nobody whom the driver names"
    subject = f"GPU {gpu.index} memory"
    roomy = not held and gpu.free_bytes >= _FREE_SHARE * gpu.total_bytes
    if roomy or not needs.on_gpu:
        return Row(subject, "green", measured, "free" if needs.on_gpu else "nothing")
    runs = sorted({who.run for _, who in held if who.run})
    others = sorted(user.pid for user, who in held if not who.run)
    if runs:
        action = f"`python -m launcher down --name {runs[0]}` frees it."
    elif others:
        action = (
            f"End process {others[0]} if it is yours, or leave this GPU out with "
            "CUDA_VISIBLE_DEVICES."
        )
    else:
        action = "A process of another container, or one that died: `nvidia-smi` on the host."
    return Row(subject, "amber", measured, "free", action)


def _holder(user: GpuUser, who: Holder) -> str:
    parts = [f"process {user.pid}"]
    if user.used_bytes is not None:
        parts.append(human_bytes(user.used_bytes))
    if who.run:
        parts.append(f"our server {who.run!r}")
    return f"{who.name or 'a process not seen from here'} ({', '.join(parts)})"


def _health(needs: Needs, gpu: Gpu, state: GpuState) -> Row:
    ecc = {None: "ECC not told", True: "ECC on", False: "ECC off"}[state.ecc]
    parts = [ecc]
    # Status, what it looks like, and what to do: the gravest first.
    faults: list[tuple[Status, str, str]] = []
    reset = f"`nvidia-smi --gpu-reset -i {gpu.index}` with nothing running on it, or reboot."
    if state.remap_failed:
        faults.append(("red", "a memory row cannot be replaced", "Have the GPU exchanged."))
    if state.prohibited:
        allow = f"`nvidia-smi -i {gpu.index} -c DEFAULT` lets processes in."
        faults.append(("red", "compute mode PROHIBITED", allow))
    if state.uncorrected_errors:
        faults.append(("amber", f"{state.uncorrected_errors} uncorrected ECC errors", reset))
    if state.remap_pending:
        faults.append(("amber", "a memory row is to be replaced", reset))
    if state.slowed_by:
        cause = " and ".join(state.slowed_by)
        faults.append(("amber", f"clock held down by {cause}", "See to cooling and power supply."))
    if state.partitioned:
        whole = f"`nvidia-smi -i {gpu.index} -mig 0` makes it whole again."
        faults.append(("amber", "split by MIG", whole))
    if state.persistent is False:
        keep = "Start `nvidia-persistenced`: each start loads the driver's state anew."
        faults.append(("amber", "persistence off", keep))
    parts += [words for _, words, _ in faults] or ["nothing wrong"]
    subject, wanted = f"GPU {gpu.index} health", "no errors, full clock, persistence on"
    if not faults:
        return Row(subject, "green", ", ".join(parts), wanted)
    status, _, action = faults[0]
    return Row(subject, _soft(needs, status), ", ".join(parts), wanted, action)


def _capability(needs: Needs, gpu: Gpu) -> Row:
    least = LEAST_CAPABILITY
    if needs.preset is not None:
        least = max(least, needs.preset.least_compute_capability)
    here = gpu.compute_capability
    subject, measured = f"GPU {gpu.index} capability", f"{_dotted(here)}"
    if here < least:
        action = "Serve on a newer GPU, or `--preset nano` on the CPU."
        return Row(subject, "red", measured, f"{_dotted(least)} or newer", action)
    if needs.is_fp8 and here < FP8_CAPABILITY:
        return Row(
            subject,
            "amber",
            f"{measured}: no FP8 in hardware",
            f"{_dotted(FP8_CAPABILITY)} or newer for FP8",
            "Expect weights to be widened, slower, where SGLang has a kernel for that at all.",
        )
    if here < BFLOAT16_CAPABILITY:
        return Row(
            subject,
            "amber",
            f"{measured}: no bfloat16",
            f"{_dotted(BFLOAT16_CAPABILITY)} or newer",
            "SGLang takes float16: say so with `--dtype float16`, or serve on a newer GPU.",
        )
    return Row(subject, "green", measured, f"{_dotted(least)} or newer")


def _shared_memory(needs: Needs, gpu: Gpu) -> Row:
    subject = f"GPU {gpu.index} shared memory"
    limit = SHARED_MEMORY_PER_BLOCK_BYTES.get(gpu.compute_capability)
    if limit is None:
        return Row(
            subject,
            "amber",
            f"unknown for capability {_dotted(gpu.compute_capability)}",
            "a capability of CUDA's table",
            "Look for `out of resource: shared memory` in the first start's log.",
        )
    measured = f"{limit:,} bytes a block"
    # Without FP8 in hardware, or without FP8 weights, that kernel is not used.
    if not needs.is_fp8 or gpu.compute_capability < FP8_CAPABILITY:
        return Row(subject, "green", measured, "nothing more")
    wanted = f"{FP8_SHARED_MEMORY_BYTES:,} bytes for SGLang's usual FP8 blocks"
    if limit >= FP8_SHARED_MEMORY_BYTES:
        return Row(subject, "green", measured, wanted)
    return Row(
        subject,
        "amber",
        f"{measured}: smaller and slower blocks",
        wanted,
        "Tune the kernel for this GPU (SGLANG_MOE_CONFIG_DIR), or serve a checkpoint without FP8 "
        "if a start fails with `out of resource: shared memory`.",
    )


def _nvlink(needs: Needs, state: DriverState) -> Iterator[Row]:
    size = needs.config.tp_size
    used = chosen_gpus(needs.config, needs.hardware) or needs.hardware.gpus[:size]
    if not needs.on_gpu or size < 2 or len(used) < 2:
        return
    known = {(one, other): linked for one, other, linked in state.linked}
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


def _driver(
    needs: Needs, driver: Answer[DriverState], torch_cuda: Callable[[], tuple[int, int]]
) -> Row:
    state = driver.values[0] if driver.values else DriverState(problem=driver.failure)
    if state.version is None or state.cuda_version is None:
        if not needs.on_gpu:
            return Row("NVIDIA driver", "green", f"none ({state.problem})", "none")
        return Row("NVIDIA driver", "red", f"none ({state.problem})", "a driver", _INSTALL)
    built = torch_cuda()
    measured = f"{state.version}, for CUDA up to {_dotted(state.cuda_version)}"
    least = LEAST_DRIVER.get(built[0])
    wanted = f"CUDA {_dotted(built)}, which torch is built for"
    if least is not None:
        wanted += f": driver {least} or newer"
    if state.cuda_version[0] < built[0]:
        action = f"Install driver {least or 'of that CUDA'} or newer, and reboot."
        return Row("NVIDIA driver", _soft(needs, "red"), measured, wanted, action)
    if state.cuda_version < built:
        action = "Update the driver: kernels that are compiled at run time may not load."
        return Row("NVIDIA driver", "amber", measured, wanted, action)
    return Row("NVIDIA driver", "green", measured, wanted)


def _soft(needs: Needs, status: Status) -> Status:
    """Nothing about a GPU is red where none is needed."""
    return "amber" if status == "red" and not needs.on_gpu else status


def _dotted(pair: tuple[int, int]) -> str:
    return f"{pair[0]}.{pair[1]}"

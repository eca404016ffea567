"""What this machine has: GPUs, processors, memory, disk. Reads only."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import psutil

MIB: Final = 1024**2
GIB: Final = 1024**3
_AMD_DRIVER: Final = Path("/dev/kfd")
_AMD: Final = "an AMD GPU's driver is here (/dev/kfd), and the launcher serves on NVIDIA GPUs alone"
_MIG: Final = "a part of a GPU (MIG), which this launcher cannot serve on: name whole GPUs"


@dataclass(frozen=True, slots=True)
class Gpu:
    """One NVIDIA GPU as the driver describes it now.

    Attributes:
        total_bytes: as `nvidia-smi` shows it, with what the driver keeps for itself.
        free_bytes: allocated to nobody; what the driver keeps for itself is not free.
        reserved_bytes: what the driver keeps for itself; 0 where it does not say.
        nvlink: whether an NVLink of it is up; None where the driver does not say.
        bandwidth_bytes_per_s: its memory's; None where the driver does not say.
    """

    index: int
    uuid: str
    name: str
    total_bytes: int
    free_bytes: int
    compute_capability: tuple[int, int]
    reserved_bytes: int = 0
    nvlink: bool | None = None
    bandwidth_bytes_per_s: int | None = None


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a configuration can count on.

    `gpu_note` says why `gpus` is what it is. `cpus` are the processors that this process may use,
    which in a container are fewer than the machine has. `gpus_are_here` is False where the GPUs
    were named rather than found. `total_memory_bytes` is the host's, 0 where nobody looked.
    """

    gpus: tuple[Gpu, ...]
    gpu_note: str
    cpus: tuple[int, ...]
    available_memory_bytes: int
    gpus_are_here: bool = True
    total_memory_bytes: int = 0


# The seam at which tests put another machine.
HardwareProbe: TypeAlias = Callable[[], Hardware]


def probe_hardware() -> Hardware:
    """Look at this machine. Never raises for a missing or broken driver: the note says so."""
    gpus, note = _probe_gpus()
    return Hardware(
        gpus=gpus,
        gpu_note=note,
        cpus=usable_cpus(),
        available_memory_bytes=available_memory_bytes(),
        total_memory_bytes=int(psutil.virtual_memory().total),
    )


def usable_cpus() -> tuple[int, ...]:
    """Numbers of the processors that this process may run on, ascending."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def free_disk_bytes(path: Path) -> int:
    """Bytes free for us on the disk that holds `path`, or would hold it once it exists."""
    existing = path
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def gpu_pids() -> frozenset[int]:
    """The processes that hold memory of a GPU, as the driver counts them; none without a driver.

    In a container the driver may number them as the host does.
    """
    import pynvml  # noqa: PLC0415

    found: set[int] = set()
    with contextlib.suppress(pynvml.NVMLError), _nvml_handles() as handles:
        for handle in handles:
            processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
            found |= {int(process.pid) for process in processes}
    return frozenset(found)


def _probe_gpus() -> tuple[tuple[Gpu, ...], str]:
    import pynvml  # noqa: PLC0415

    try:
        with _nvml_handles() as handles:
            gpus = tuple(_describe_gpu(index, handle) for index, handle in enumerate(handles))
    except pynvml.NVMLError as error:
        return (), f"{error}; {_AMD}" if _AMD_DRIVER.exists() else str(error)
    return _visible(gpus)


@contextlib.contextmanager
def _nvml_handles() -> Iterator[Iterator[Any]]:
    """The driver's handle of each GPU, one by one: one that was lost hides none before it.

    Raises:
        NVMLError: there is no driver, or a GPU that it cannot reach.
    """
    # Imported here: `status` and `down` must not pay for NVML.
    import pynvml  # noqa: PLC0415

    pynvml.nvmlInit()
    try:
        count = pynvml.nvmlDeviceGetCount()
        yield (pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count))
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _describe_gpu(index: int, handle: Any) -> Gpu:
    import pynvml  # noqa: PLC0415

    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        name=str(pynvml.nvmlDeviceGetName(handle)),
        total_bytes=int(memory.total),
        free_bytes=int(memory.free),
        compute_capability=(int(major), int(minor)),
        reserved_bytes=_reserved_bytes(handle),
        nvlink=_has_nvlink(handle),
        bandwidth_bytes_per_s=_bandwidth_bytes_per_s(handle),
    )


def _reserved_bytes(handle: Any) -> int:
    """What the driver keeps for itself; 0 where it is too old to say.

    Source: NVML API reference, nvmlMemory_t: total = free + used, and used is what is reserved and
    what is allocated. nvmlMemory_v2_t names the reserve alone.
    """
    import pynvml  # noqa: PLC0415

    with contextlib.suppress(pynvml.NVMLError):
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).reserved)
    return 0


def _has_nvlink(handle: Any) -> bool | None:
    """Whether a link is up; None where the driver tells of none, as a sandbox may make it do."""
    import pynvml  # noqa: PLC0415

    is_up: bool | None = None
    with contextlib.suppress(pynvml.NVMLError):
        # It refuses the number after a card's last link.
        for link in range(pynvml.NVML_NVLINK_MAX_LINKS):
            is_up = bool(pynvml.nvmlDeviceGetNvLinkState(handle, link)) or bool(is_up)
    return is_up


def _bandwidth_bytes_per_s(handle: Any) -> int | None:
    """What the memory can deliver at the most; None where the driver does not say, as for MIG.

    Formula: 2 x clock x bus width / 8, since its data rate is double.
    Source: CUDA C++ Best Practices Guide, "Theoretical Bandwidth Calculation". CUDA's deviceQuery
    shows 1,215 MHz and 5,120 bits for an A100 of 40 GB: the 1,555 GB/s of its data sheet.
    """
    import pynvml  # noqa: PLC0415

    with contextlib.suppress(pynvml.NVMLError):
        clock_mhz = int(pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_MEM))
        width_bits = int(pynvml.nvmlDeviceGetMemoryBusWidth(handle))
        return 2 * clock_mhz * 1_000_000 * width_bits // 8 or None
    return None


def _visible(gpus: tuple[Gpu, ...]) -> tuple[tuple[Gpu, ...], str]:
    """The GPUs that CUDA will show to the server, which may be fewer than the driver's.

    Source: CUDA C++ Programming Guide, "CUDA Environment Variables": only the devices before the
    first entry that names none, as -1 does.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return gpus, "all that the driver shows"
    visible: list[Gpu] = []
    for entry in chosen.split(","):
        named = [gpu for gpu in gpus if _names(entry.strip(), gpu)]
        if len(named) != 1:
            break
        visible += named
    note = f"CUDA_VISIBLE_DEVICES={chosen}"
    if any(entry.strip().startswith("MIG-") for entry in chosen.split(",")):
        note += f"; {_MIG}"
    return tuple(visible), note


def _names(entry: str, gpu: Gpu) -> bool:
    return entry == str(gpu.index) or (entry.startswith("GPU-") and gpu.uuid.startswith(entry))


def available_memory_bytes() -> int:
    """Memory that a new process could take, by the kernel's estimate and the cgroup's limit."""
    available = psutil.virtual_memory().available
    limit = _cgroup_headroom_bytes()
    return available if limit is None else min(available, limit)


def _cgroup_headroom_bytes(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes left under the cgroup's limit (version 2), or None where there is no limit.

    File cache counts as used there although the kernel gives it back, so it is subtracted.
    """
    try:
        limit = (root / "memory.max").read_text().strip()
        used = int((root / "memory.current").read_text())
        stat = dict(
            line.split(maxsplit=1) for line in (root / "memory.stat").read_text().splitlines()
        )
    except (OSError, ValueError):
        return None
    if limit == "max":
        return None
    return int(limit) - (used - int(stat.get("inactive_file", 0)))


def read_cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's name, or 'unknown': not every architecture gives one."""
    with contextlib.suppress(OSError), cpuinfo.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return "unknown"

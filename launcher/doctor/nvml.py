"""What NVML tells of a driver and its GPUs beyond `launcher.system.hardware`. Reads only.

Each GPU answers each question by itself: one that does not know its ECC mode still has a name.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, TypeVar

import pynvml

# More than one line for each is in nvidia-smi; these are the ones that cost speed.
_SLOWED_BY: Final = (
    ("nvmlClocksEventReasonHwThermalSlowdown", "heat (hardware)"),
    ("nvmlClocksEventReasonSwThermalSlowdown", "heat"),
    ("nvmlClocksEventReasonHwPowerBrakeSlowdown", "power brake"),
)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GpuUser:
    """A process that holds memory of a GPU. In a container the pid may be the host's."""

    pid: int
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class GpuState:
    """One GPU as the driver describes it now; None where the driver does not say.

    Attributes:
        uncorrected_errors: ECC errors since the driver was loaded that were not corrected.
        remap_pending: a row of memory is to be replaced at the next reset.
        remap_failed: a row could not be replaced.
        slowed_by: why its clock is held down, in words.
        prohibited: its compute mode lets no process use it.
        partitioned: it is split by MIG.
    """

    index: int
    uuid: str
    users: tuple[GpuUser, ...] | None
    persistent: bool | None
    ecc: bool | None
    uncorrected_errors: int | None
    remap_pending: bool | None
    remap_failed: bool | None
    slowed_by: tuple[str, ...]
    prohibited: bool | None
    partitioned: bool | None


@dataclass(frozen=True, slots=True)
class DriverState:
    """The driver, its GPUs, and which pairs of them NVLink joins.

    Attributes:
        cuda_version: the newest CUDA that the driver speaks, as (major, minor).
        linked: for each pair of GPU indices whether NVLink, with or without a switch, joins them;
            a pair is missing where the driver does not say.
        problem: why nothing more was told; empty where all is well.
    """

    version: str | None = None
    cuda_version: tuple[int, int] | None = None
    gpus: tuple[GpuState, ...] = ()
    linked: tuple[tuple[int, int, bool], ...] = ()
    problem: str = ""


def read_driver() -> DriverState:
    """Ask NVML. Never raises for a missing or broken driver: `problem` says so."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return DriverState(problem=str(error))
    version = cuda = None
    try:
        version = _told(lambda: str(pynvml.nvmlSystemGetDriverVersion()))
        cuda = _told(lambda: int(pynvml.nvmlSystemGetCudaDriverVersion_v2()))
        handles = [
            pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())
        ]
        return DriverState(
            version=version,
            cuda_version=_cuda_version(cuda),
            gpus=tuple(_state(index, handle) for index, handle in enumerate(handles)),
            linked=tuple(_links(handles)),
        )
    except pynvml.NVMLError as error:
        return DriverState(version, _cuda_version(cuda), problem=str(error))
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _state(index: int, handle: Any) -> GpuState:
    # (corrected, uncorrected, pending, failed): nvml.h, nvmlDeviceGetRemappedRows.
    rows = _told(pynvml.nvmlDeviceGetRemappedRows, handle)
    reasons = _told(pynvml.nvmlDeviceGetCurrentClocksEventReasons, handle) or 0
    return GpuState(
        index=index,
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        users=_told(lambda: tuple(_users(handle))),
        persistent=_told(lambda: bool(pynvml.nvmlDeviceGetPersistenceMode(handle))),
        ecc=_told(lambda: bool(pynvml.nvmlDeviceGetEccMode(handle)[0])),
        uncorrected_errors=_told(
            pynvml.nvmlDeviceGetTotalEccErrors,
            *(handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC),
        ),
        remap_pending=None if rows is None else bool(rows[2]),
        remap_failed=None if rows is None else bool(rows[3]),
        slowed_by=tuple(words for bit, words in _SLOWED_BY if reasons & getattr(pynvml, bit)),
        prohibited=_told(
            lambda: pynvml.nvmlDeviceGetComputeMode(handle) == pynvml.NVML_COMPUTEMODE_PROHIBITED
        ),
        partitioned=_told(lambda: bool(pynvml.nvmlDeviceGetMigMode(handle)[0])),
    )


def _users(handle: Any) -> Iterator[GpuUser]:
    for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
        used = process.usedGpuMemory
        yield GpuUser(int(process.pid), None if used is None else int(used))


def _links(handles: list[Any]) -> Iterator[tuple[int, int, bool]]:
    for (one, first), (other, second) in combinations(enumerate(handles), 2):
        nvlink = pynvml.NVML_P2P_CAPS_INDEX_NVLINK
        status = _told(pynvml.nvmlDeviceGetP2PStatus, first, second, nvlink)
        if status is not None:
            yield one, other, status == pynvml.NVML_P2P_STATUS_OK


def _cuda_version(number: int | None) -> tuple[int, int] | None:
    """(13, 0) of 13000. Formula: 1000 x major + 10 x minor; source: nvml.h."""
    return None if number is None else (number // 1000, number % 1000 // 10)


def _told(question: Callable[..., _T], *arguments: Any) -> _T | None:
    """The answer, or None where this driver, this library or this GPU has none."""
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return None

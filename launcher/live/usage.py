"""What a server uses of the machine: time on processors from /proc, GPUs from NVML. Reads only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from launcher.live.snapshot import GpuUse, Usage
from launcher.system.members import find_members
from launcher.system.proc_stat import read_stat
from launcher.system.process import ProcessIdentity

_TICKS_PER_SECOND: Final = os.sysconf("SC_CLK_TCK")
# To find a server's processes, all of the machine are looked at.
_FIND_SECONDS: Final = 15.0

T = TypeVar("T")


class ServerUsage:
    """What one run of a server uses.

    Args:
        leader: its first process.
        run_id: of the run.
        gpus: index or UUID of each GPU that it may use.
    """

    def __init__(self, leader: ProcessIdentity, run_id: str, gpus: Sequence[str]) -> None:
        self._leader = leader
        self._run_id = run_id
        self._gpus = tuple(gpus)
        self._members: tuple[ProcessIdentity, ...] = ()
        self._found_at: float | None = None
        self._ticks: Mapping[int, int] = {}
        self._at: float | None = None

    def look(self, nvml: Nvml, now: float) -> Usage:
        """What it used since the last look.

        Args:
            nvml: the driver.
            now: of the monotonic clock, in seconds.
        """
        if self._found_at is None or now - self._found_at >= _FIND_SECONDS:
            self._members = tuple(find_members(self._leader, self._run_id))
            self._found_at = now
        ticks = _cpu_ticks(self._members)
        cores = None
        if self._at is not None and now > self._at:
            # A process that is new to us may be old: what it used before is not of this time.
            both = ticks.keys() & self._ticks.keys()
            used = sum(max(0, ticks[pid] - self._ticks[pid]) for pid in both)
            cores = used / _TICKS_PER_SECOND / (now - self._at)
        self._ticks, self._at = ticks, now
        return Usage(cpu_cores=cores, gpus=nvml.uses(self._gpus))


def _cpu_ticks(members: Iterable[ProcessIdentity]) -> dict[int, int]:
    ticks = {}
    for member in members:
        with contextlib.suppress(OSError):
            stat = read_stat(member.pid)
            if stat.start_ticks == member.start_ticks:
                ticks[member.pid] = stat.cpu_ticks
    return ticks


class Nvml:
    """NVIDIA's driver, kept open: to open it takes longer than all that is asked of it.

    Args:
        library: pynvml; None imports it when a GPU is first asked about.
    """

    def __init__(self, library: Any = None) -> None:
        self._library = library
        self._is_open = False
        self._is_absent = False

    def uses(self, names: Sequence[str]) -> tuple[GpuUse, ...]:
        """The GPUs of these names; none without a driver."""
        if not names or not self._opens():
            return ()
        found = []
        for name in names:
            with contextlib.suppress(self._library.NVMLError):
                handle = (
                    self._library.nvmlDeviceGetHandleByIndex(int(name))
                    if name.isdigit()
                    else self._library.nvmlDeviceGetHandleByUUID(name)
                )
                found.append(self._use(handle))
        return tuple(found)

    def close(self) -> None:
        """Let go of the driver."""
        if self._is_open:
            with contextlib.suppress(self._library.NVMLError):
                self._library.nvmlShutdown()
        self._is_open = False

    def _opens(self) -> bool:
        if self._is_open or self._is_absent:
            return self._is_open
        if self._library is None:
            import pynvml  # noqa: PLC0415 - a machine without a GPU does not pay for it

            self._library = pynvml
        try:
            self._library.nvmlInit()
            self._is_open = True
        except self._library.NVMLError:
            self._is_absent = True
        return self._is_open

    def _use(self, handle: Any) -> GpuUse:
        nvml = self._library
        memory = self._told(nvml.nvmlDeviceGetMemoryInfo, handle)
        rates = self._told(nvml.nvmlDeviceGetUtilizationRates, handle)
        milliwatts = self._told(nvml.nvmlDeviceGetPowerUsage, handle)
        return GpuUse(
            index=int(nvml.nvmlDeviceGetIndex(handle)),
            name=str(nvml.nvmlDeviceGetName(handle)),
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            utilisation=None if rates is None else rates.gpu / 100,
            power_watts=None if milliwatts is None else milliwatts / 1000,
        )

    def _told(self, question: Callable[[Any], T], handle: Any) -> T | None:
        """The answer; None where this driver or this GPU has none."""
        try:
            return question(handle)
        except self._library.NVMLError:
            return None


def gpus_of(environment: Mapping[str, str], gpu_ids: str | None) -> tuple[str, ...]:
    """Index or UUID of each GPU of a server.

    Args:
        environment: that the launcher added for it.
        gpu_ids: of its configuration.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES") or gpu_ids or ""
    return tuple(filter(None, (name.strip() for name in named.split(","))))

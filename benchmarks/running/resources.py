"""What a server uses while it is measured: CPU time of its processes, and its GPUs by NVML."""

from __future__ import annotations

import contextlib
import os
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.records import GpuUse
from launcher.state.record import RunRecord
from launcher.system.members import find_members
from launcher.system.proc_stat import read_stat

GPU_SAMPLE_SECONDS: Final = 0.2


def cpu_seconds(pid: int) -> float:
    """CPU time of a process and of its children that have ended; 0 where it has just ended."""
    with contextlib.suppress(OSError):
        return read_stat(pid).cpu_ticks / float(os.sysconf("SC_CLK_TCK"))
    return 0.0


def server_cpu_seconds(record: RunRecord) -> float | None:
    """CPU time of all processes of a server until now; None where none is left."""
    if record.server is None:
        return None
    members = find_members(record.server, record.run_id)
    return sum(cpu_seconds(member.pid) for member in members) if members else None


@dataclass(slots=True)
class _Samples:
    name: str
    memory_bytes: list[int] = field(default_factory=list)
    utilisation: list[float] = field(default_factory=list)
    power_watts: list[float] = field(default_factory=list)


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None


class GpuSampler:
    """Samples GPUs in a thread while a block runs; does nothing for none.

    Args:
        uuids: of the GPUs that a server has.
        interval_seconds: between two samples.
        nvml: the library; None imports it.
    """

    def __init__(
        self,
        uuids: Sequence[str],
        *,
        interval_seconds: float = GPU_SAMPLE_SECONDS,
        nvml: Any = None,
    ) -> None:
        self._uuids = tuple(uuids)
        self._interval_seconds = interval_seconds
        self._nvml = nvml
        self._samples: dict[int, _Samples] = {}

    @property
    def uses(self) -> tuple[GpuUse, ...]:
        """Each GPU that said anything; empty before the block has ended."""
        return tuple(
            GpuUse(
                index=index,
                name=one.name,
                peak_memory_bytes=max(one.memory_bytes, default=None),
                mean_utilisation=_mean(one.utilisation),
                mean_power_watts=_mean(one.power_watts),
            )
            for index, one in sorted(self._samples.items())
        )

    @contextlib.contextmanager
    def sampling(self) -> Iterator[None]:
        """Sample while the block runs."""
        if not self._uuids:
            yield
            return
        over = threading.Event()
        thread = threading.Thread(target=self._sample, args=(over,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _sample(self, over: threading.Event) -> None:
        nvml = self._nvml
        if nvml is None:
            import pynvml  # noqa: PLC0415  # a machine without a GPU never pays for it

            nvml = pynvml
        try:
            nvml.nvmlInit()
        except nvml.NVMLError:
            return
        try:
            handles = [nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in self._uuids]
            while True:
                for handle in handles:
                    self._look(nvml, handle)
                if over.wait(self._interval_seconds):
                    return
        except nvml.NVMLError:
            return
        finally:
            nvml.nvmlShutdown()

    def _look(self, nvml: Any, handle: Any) -> None:
        index = nvml.nvmlDeviceGetIndex(handle)
        if index not in self._samples:
            self._samples[index] = _Samples(_text(nvml.nvmlDeviceGetName(handle)))
        one = self._samples[index]
        looks: tuple[tuple[list[Any], Callable[[], Any]], ...] = (
            (one.memory_bytes, lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used),
            (one.utilisation, lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100),
            (one.power_watts, lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000),
        )
        for values, ask in looks:
            # A GPU that does not know its power still knows its memory.
            with contextlib.suppress(nvml.NVMLError):
                values.append(ask())


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name

"""What a server used: GPUs through a library that stands in for NVML, and CPU time of processes."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.records import GpuUse
from benchmarks.running import resources
from benchmarks.running.resources import GpuSampler, cpu_seconds, server_cpu_seconds
from launcher.names import RUN_ID_VARIABLE
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity
from tests.unit.launcher.examples import make_record


class Nvml:
    """Two GPUs, of which the second does not know its power; figures rise with each sample."""

    class NVMLError(Exception):
        """As the real one."""

    def __init__(self, *, broken: str = "") -> None:
        self.broken = broken
        self.samples = 0
        self.enough = threading.Event()
        self.is_open = False

    def _do(self, name: str) -> None:
        if name == self.broken:
            self.enough.set()
            raise self.NVMLError(name)

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        self._do("nvmlInit")
        self.is_open = True

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.is_open = False

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:  # noqa: N802
        self._do("nvmlDeviceGetHandleByUUID")
        return {"GPU-a": 3, "GPU-b": 1}[uuid]

    def nvmlDeviceGetIndex(self, handle: int) -> int:  # noqa: N802
        return handle

    def nvmlDeviceGetName(self, handle: int) -> bytes | str:  # noqa: N802
        return b"NVIDIA L4" if handle == 3 else "NVIDIA T4"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:  # noqa: N802
        self.samples += handle == 1
        if self.samples == 3:
            self.enough.set()
        # The peak is neither the first nor the last.
        return SimpleNamespace(used=100 * handle + (50 if self.samples == 2 else 0))

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=10 * handle)

    def nvmlDeviceGetPowerUsage(self, handle: int) -> int:  # noqa: N802
        if handle == 1:
            raise self.NVMLError("not supported")
        return 70_000


def sample(nvml: Nvml) -> tuple[GpuUse, ...]:
    sampler = GpuSampler(("GPU-a", "GPU-b"), interval_seconds=0.001, nvml=nvml)
    with sampler.sampling():
        assert nvml.enough.wait(30)
    assert not nvml.is_open
    return sampler.uses


def test_gpus_are_sampled_while_the_block_runs() -> None:
    first, second = sample(Nvml())

    assert (first.index, first.name) == (1, "NVIDIA T4")
    assert first.peak_memory_bytes == 150
    assert first.mean_utilisation == pytest.approx(0.1)
    assert first.mean_power_watts is None
    assert (second.index, second.name) == (3, "NVIDIA L4")
    assert second.mean_utilisation == pytest.approx(0.3)
    assert second.mean_power_watts == pytest.approx(70.0)


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetHandleByUUID"])
def test_a_driver_that_fails_costs_its_figures_and_not_the_cell(broken: str) -> None:
    assert sample(Nvml(broken=broken)) == ()


def test_a_server_without_a_gpu_asks_nobody() -> None:
    nvml = Nvml(broken="nvmlInit")
    sampler = GpuSampler((), nvml=nvml)
    with sampler.sampling():
        pass

    assert sampler.uses == ()
    assert not nvml.enough.is_set()


def test_cpu_time_is_of_all_members_and_none_where_all_have_ended(tmp_path: Path) -> None:
    run_id = "run-of-the-test"
    code = "import sys\nx = sum(range(5_000_000))\nprint('done', flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={RUN_ID_VARIABLE: run_id},
        start_new_session=True,
    ) as child:  # fmt: skip
        assert child.stdout is not None
        child.stdout.readline()
        leader = ProcessIdentity.of(child.pid)
        record = make_record(tmp_path, server=leader, run_id=run_id)
        used = server_cpu_seconds(record)
        assert used is not None
        assert used > 0
        assert used <= cpu_seconds(child.pid)
        child.communicate()

    assert server_cpu_seconds(record) is None
    assert server_cpu_seconds(make_record(tmp_path, server=None)) is None


def test_a_member_that_ends_while_it_is_looked_at_counts_as_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        gone = ProcessIdentity.of(child.pid)
    monkeypatch.setattr(resources, "find_members", lambda *_: [gone])

    assert find_members(gone, "no-such-run") == []
    assert server_cpu_seconds(make_record(tmp_path, server=gone)) == 0.0

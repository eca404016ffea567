"""The machine as it is found: the driver replaced at `pynvml`, the rest real."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pynvml
import pytest

from launcher.system import hardware
from launcher.system.hardware import (
    GIB,
    MIB,
    free_disk_bytes,
    gpu_pids,
    probe_hardware,
    usable_cpus,
)


@dataclass
class Driver:
    """Two GPUs behind NVML's functions, which may fail at one of them."""

    fails_at: str | None = None
    shut_down: bool = False
    links: int = 4
    link_up: int = 2

    def nvmlInit(self) -> None:  # noqa: N802  # NVML's names
        self._answer("nvmlInit", None)

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.shut_down = True
        self._answer("nvmlShutdown", None)

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetCount", 2))

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetHandleByIndex", 100 + index))

    def nvmlDeviceGetMemoryInfo(  # noqa: N802
        self, handle: int, version: int | None = None
    ) -> SimpleNamespace:
        memory = SimpleNamespace(total=80 * GIB, free=(79 - handle % 100) * GIB, used=0)
        if version is not None:
            memory.reserved = self._answer("nvmlDeviceGetMemoryInfo_v2", 512 * MIB)
        self._answer("nvmlDeviceGetMemoryInfo", None)
        return memory

    def nvmlDeviceGetNvLinkState(self, handle: int, link: int) -> int:  # noqa: N802
        del handle
        if link >= self.links:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
        return int(link == self.link_up)

    def nvmlDeviceGetCudaComputeCapability(self, handle: int) -> tuple[int, int]:  # noqa: N802
        self._answer("nvmlDeviceGetCudaComputeCapability", handle)
        return (9, 0)

    def nvmlDeviceGetUUID(self, handle: int) -> str:  # noqa: N802
        return str(self._answer("nvmlDeviceGetUUID", f"GPU-{'ab'[handle % 100]}0000000-1111"))

    def nvmlDeviceGetName(self, handle: int) -> str:  # noqa: N802
        del handle
        return str(self._answer("nvmlDeviceGetName", "NVIDIA H100 80GB HBM3"))

    def nvmlDeviceGetMaxClockInfo(self, handle: int, kind: int) -> int:  # noqa: N802
        del handle
        assert kind == pynvml.NVML_CLOCK_MEM
        return int(self._answer("nvmlDeviceGetMaxClockInfo", 2619))

    def nvmlDeviceGetMemoryBusWidth(self, handle: int) -> int:  # noqa: N802
        del handle
        return int(self._answer("nvmlDeviceGetMemoryBusWidth", 5120))

    def nvmlDeviceGetComputeRunningProcesses(  # noqa: N802
        self, handle: int
    ) -> list[SimpleNamespace]:
        processes = {100: [7, 8], 101: [8, 9]}[handle]
        answer = [SimpleNamespace(pid=pid) for pid in processes]
        return list(self._answer("nvmlDeviceGetComputeRunningProcesses", answer))

    def _answer(self, function: str, answer: object) -> Any:
        if function == self.fails_at:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return answer


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Driver:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    driver = Driver()
    for name in [name for name in dir(driver) if name.startswith("nvml")]:
        # Refused if NVML's Python module has no such function.
        monkeypatch.setattr(pynvml, name, getattr(driver, name))
    return driver


@pytest.mark.usefixtures("driver")
def test_each_gpu_is_described_as_the_driver_does() -> None:
    found = probe_hardware()

    assert [(gpu.index, gpu.uuid, gpu.name) for gpu in found.gpus] == [
        (0, "GPU-a0000000-1111", "NVIDIA H100 80GB HBM3"),
        (1, "GPU-b0000000-1111", "NVIDIA H100 80GB HBM3"),
    ]
    assert [gpu.total_bytes for gpu in found.gpus] == [80 * GIB, 80 * GIB]
    assert [gpu.free_bytes for gpu in found.gpus] == [79 * GIB, 78 * GIB]
    assert found.gpu_note == "all that the driver shows"


@pytest.mark.usefixtures("driver")
def test_what_the_driver_keeps_for_itself_is_told_apart_from_what_is_free() -> None:
    (first, _) = probe_hardware().gpus

    assert first.reserved_bytes == 512 * MIB
    assert first.free_bytes == 79 * GIB


def test_a_driver_that_does_not_name_its_reserve_still_describes_its_gpus(driver: Driver) -> None:
    driver.fails_at = "nvmlDeviceGetMemoryInfo_v2"

    (first, _) = probe_hardware().gpus

    assert first.reserved_bytes == 0
    assert first.free_bytes == 79 * GIB


@pytest.mark.parametrize(
    ("links", "link_up", "nvlink"), [(4, 2, True), (4, -1, False), (0, -1, None)]
)
def test_nvlink_is_there_where_a_link_is_up(
    driver: Driver, links: int, link_up: int, nvlink: object
) -> None:
    driver.links, driver.link_up = links, link_up

    assert probe_hardware().gpus[0].nvlink is nvlink


@pytest.mark.usefixtures("driver")
def test_the_bandwidth_follows_from_clock_and_bus() -> None:
    # The H100's data sheet says 3.35 TB/s.
    assert {gpu.bandwidth_bytes_per_s for gpu in probe_hardware().gpus} == {3_352_320_000_000}


@pytest.mark.parametrize("function", ["nvmlDeviceGetMaxClockInfo", "nvmlDeviceGetMemoryBusWidth"])
def test_a_gpu_whose_bandwidth_is_not_told_is_a_gpu(driver: Driver, function: str) -> None:
    driver.fails_at = function

    assert [gpu.bandwidth_bytes_per_s for gpu in probe_hardware().gpus] == [None, None]


def test_the_driver_is_let_go(driver: Driver) -> None:
    probe_hardware()

    assert driver.shut_down


@pytest.mark.parametrize(
    "function",
    ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo"],
)
def test_a_broken_driver_is_no_gpu_and_a_note(driver: Driver, function: str) -> None:
    driver.fails_at = function

    found = probe_hardware()

    assert found.gpus == ()
    assert found.gpu_note == "GPU is lost"
    assert driver.shut_down is (function != "nvmlInit")


def test_a_driver_that_cannot_be_let_go_has_still_answered(driver: Driver) -> None:
    driver.fails_at = "nvmlShutdown"

    assert len(probe_hardware().gpus) == 2


@pytest.mark.usefixtures("driver")
@pytest.mark.parametrize(
    ("chosen", "indices"),
    [
        ("0,1", [0, 1]),
        ("1,0", [1, 0]),
        (" 1 ", [1]),
        ("GPU-b0000000-1111", [1]),
        ("GPU-a", [0]),
        ("", []),
        ("-1", []),
        ("7", []),
        # CUDA stops at the first entry that names no GPU, or several.
        ("0,-1,1", [0]),
        ("-1,0", []),
        ("0,7,1", [0]),
        ("GPU-", []),
        ("G", []),
    ],
)
def test_only_the_gpus_that_cuda_will_show_count(
    monkeypatch: pytest.MonkeyPatch, chosen: str, indices: list[int]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)

    found = probe_hardware()

    assert [gpu.index for gpu in found.gpus] == indices
    assert found.gpu_note == f"CUDA_VISIBLE_DEVICES={chosen}"


def test_whoever_holds_memory_of_a_gpu_is_listed(driver: Driver) -> None:
    assert gpu_pids() == {7, 8, 9}
    assert driver.shut_down


@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetComputeRunningProcesses"])
def test_a_driver_that_does_not_answer_lists_nobody(driver: Driver, function: str) -> None:
    driver.fails_at = function
    assert gpu_pids() == frozenset()


def test_processors_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(usable_cpus()) == os.sched_getaffinity(0)
    assert list(usable_cpus()) == sorted(usable_cpus())

    # macOS has no affinity.
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cpus() == tuple(range(os.cpu_count() or 1))


def test_free_disk_is_that_of_the_nearest_folder_that_exists(tmp_path: Path) -> None:
    there = free_disk_bytes(tmp_path)

    # Others write to the same disk meanwhile.
    assert free_disk_bytes(tmp_path / "not" / "yet" / "there") == pytest.approx(there, rel=0.2)
    assert 0 < there <= psutil.disk_usage(str(tmp_path)).total
    assert free_disk_bytes(Path("not-yet-there")) > 0


def cgroup(folder: Path, limit: str, used: int, inactive_file: int | None) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    cached = "" if inactive_file is None else f"inactive_file {inactive_file}\n"
    (folder / "memory.stat").write_text(f"anon 4096\n{cached}pgfault 7\n")
    return folder


@pytest.mark.parametrize(
    ("limit", "used", "inactive_file", "headroom"),
    [("1000", 700, 200, 500), ("1000", 700, None, 300), ("max", 700, 200, None)],
)
def test_memory_left_in_the_cgroup_counts_the_file_cache_as_free(
    tmp_path: Path, limit: str, used: int, inactive_file: int | None, headroom: int | None
) -> None:
    assert hardware._cgroup_headroom_bytes(cgroup(tmp_path, limit, used, inactive_file)) == headroom


def test_without_a_cgroup_of_version_2_there_is_no_limit(tmp_path: Path) -> None:
    assert hardware._cgroup_headroom_bytes(tmp_path) is None

    (cgroup(tmp_path, "1000", 1, 1) / "memory.stat").write_text("torn")
    assert hardware._cgroup_headroom_bytes(tmp_path) is None


@pytest.mark.usefixtures("driver")
def test_available_memory_is_the_smaller_of_the_machine_and_the_cgroup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    total = psutil.virtual_memory().total

    monkeypatch.setattr(hardware, "_cgroup_headroom_bytes", lambda: 12345)
    assert probe_hardware().available_memory_bytes == 12345
    monkeypatch.setattr(hardware, "_cgroup_headroom_bytes", lambda: 2 * total)
    assert 0 < probe_hardware().available_memory_bytes <= total
    monkeypatch.setattr(hardware, "_cgroup_headroom_bytes", lambda: None)
    assert 0 < probe_hardware().available_memory_bytes <= total

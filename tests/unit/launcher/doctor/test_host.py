"""The host and its limits: other machines by other readers, and this one by the real readers."""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from launcher.doctor import host, limits
from launcher.doctor import readers as doctor_readers
from launcher.doctor.probes import Row, examine
from launcher.doctor.readers import Readers, cpu_quota
from launcher.doctor.target import ServingTarget, serving_target
from launcher.preflight import limits as preflight_limits
from launcher.serving import free_port
from launcher.state.store import RunStore
from launcher.system.hardware import GIB, MIB, Gpu, Hardware
from tests.unit.launcher.examples import make_record

H100 = Gpu(0, "GPU-0", "NVIDIA H100 80GB HBM3", 80 * GIB, 79 * GIB, (9, 0))
ON_CPU = Hardware((), "none", (0, 1), 20 * GIB)
ON_GPU = Hardware((H100, replace(H100, index=1, uuid="GPU-1")), "all", tuple(range(16)), 200 * GIB)
LARGE = Readers(
    flags=lambda: frozenset({"avx2", "avx512f", "avx512_bf16", "amx_tile"}),
    quota=lambda: None,
    memory_limit_bytes=lambda: None,
    free_disk_bytes=lambda _: 900 * GIB,
    limit=lambda _: (-1, -1),
    processes_left=lambda: None,
)


def nano(hardware: Hardware = ON_CPU, **fields: str) -> ServingTarget:
    return serving_target("nano", hardware, {"SPECSERVE_PORT": str(free_port())} | fields)


def glm() -> ServingTarget:
    return serving_target("glm-4.5-air-fp8", ON_GPU, {"SPECSERVE_PORT": str(free_port())})


def look(target: ServingTarget, readers: Readers) -> dict[str, Row]:
    findings = examine((*host.PROBES, *limits.PROBES), target, readers)
    return {finding.probe: finding.row for finding in findings}


@pytest.mark.parametrize("target", [nano, glm])
def test_a_large_machine_is_green(target: Callable[[], ServingTarget]) -> None:
    rows = look(target(), LARGE)

    # Those two have no reader to put in their place: they are this machine's.
    for own in ("system", "swap"):
        rows.pop(own)
    assert {probe for probe, row in rows.items() if row.status != "green"} == set()


def test_this_machine_answers_every_probe() -> None:
    rows = look(nano(), Readers())

    assert len(rows) == 13
    assert not [row.measured for row in rows.values() if "Error" in row.measured]
    assert platform.release() in rows["system"].measured


@pytest.mark.parametrize(
    ("flags", "status", "measured"),
    [
        ({"avx2"}, "green", "AVX2; no AVX-512, AVX-512 BF16, AMX"),
        ({"avx2", "avx512f", "amx_tile"}, "green", "AVX2, AVX-512, AMX; no AVX-512 BF16"),
        (set(), "amber", "none of them"),
    ],
)
def test_features_of_the_processor_are_told(flags: set[str], status: str, measured: str) -> None:
    row = look(nano(), replace(LARGE, flags=lambda: frozenset(flags)))["cpu"]

    assert (row.status, row.measured.rpartition(": ")[2]) == (status, measured)


def test_a_processor_without_avx2_is_enough_beside_gpus() -> None:
    assert look(glm(), replace(LARGE, flags=frozenset[str]))["cpu"].status == "green"


@pytest.mark.parametrize(
    ("quota", "tp_size", "status"),
    [(None, "1", "green"), (2.0, "1", "green"), (1.5, "1", "amber"), (None, "4", "amber")],
)
def test_cores_are_held_against_ranks_and_the_quota(
    quota: float | None, tp_size: str, status: str
) -> None:
    target = nano(SPECSERVE_TP_SIZE=tp_size)

    assert look(target, replace(LARGE, quota=lambda: quota))["cores"].status == status


def test_too_little_memory_is_red_with_what_up_would_want() -> None:
    row = look(nano(replace(ON_CPU, available_memory_bytes=GIB)), LARGE)["memory"]

    assert row.status == "red"
    assert row.measured.startswith("1.0 GiB available of ")
    assert row.wanted == "2.8 GiB for nano"


def test_the_cgroup_s_limit_is_named() -> None:
    row = look(nano(), replace(LARGE, memory_limit_bytes=lambda: 32 * GIB))["memory"]

    assert row.measured == "20.0 GiB available of 32.0 GiB (the cgroup's limit)"


class Swap(NamedTuple):
    """What psutil tells of it."""

    total: int
    used: int


@pytest.mark.parametrize(
    ("total", "used", "status"),
    [(0, 0, "green"), (8 * GIB, GIB, "green"), (8 * GIB, 5 * GIB, "amber")],
)
def test_swap_that_is_mostly_used_is_amber(
    monkeypatch: pytest.MonkeyPatch, total: int, used: int, status: str
) -> None:
    monkeypatch.setattr(psutil, "swap_memory", lambda: Swap(total, used))

    assert look(nano(), LARGE)["swap"].status == status


@pytest.mark.parametrize(
    ("free", "probe", "status"),
    [
        (90 * GIB, "disk-models", "red"),
        (110 * GIB, "disk-models", "green"),
        (100 * MIB, "disk-state", "amber"),
        (10 * MIB, "disk-state", "red"),
        (100 * MIB, "disk-temporary", "amber"),
        (500 * MIB, "shared-memory", "amber"),
        (10 * MIB, "shared-memory", "red"),
    ],
)
def test_free_disk_is_held_against_what_is_written_there(
    free: int, probe: str, status: str
) -> None:
    assert look(glm(), replace(LARGE, free_disk_bytes=lambda _: free))[probe].status == status


def test_a_model_that_is_here_and_a_cpu_server_need_little_disk() -> None:
    rows = look(nano(), replace(LARGE, free_disk_bytes=lambda _: 2 * GIB))

    assert {rows[probe].status for probe in ("disk-models", "shared-memory")} == {"green"}


def test_a_size_that_is_not_known_is_not_made_up() -> None:
    row = look(serving_target("OWNER/unknown", ON_GPU, {}), LARGE)["disk-models"]

    assert (row.status, row.wanted) == ("green", "the model's size, which is not known yet")


def test_a_port_that_another_program_has_is_red() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]

        row = look(serving_target("nano", ON_CPU, {"SPECSERVE_PORT": str(port)}), LARGE)["port"]

    assert row.status == "red"
    assert f"Port {port} on 127.0.0.1 is taken" in row.measured


def test_a_port_that_our_own_server_has_is_green() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = int(listener.getsockname()[1])
        for name, its_port in (("other", 1), ("a", port)):
            store = RunStore(name)
            store.create()
            url = f"http://127.0.0.1:{its_port}"
            store.write(make_record(store.folder, name=name, base_url=url))

        # What shows that this process supervises it.
        with RunStore("a").lock():
            row = look(serving_target("nano", ON_CPU, {"SPECSERVE_PORT": str(port)}), LARGE)["port"]

    assert (row.status, row.measured) == ("green", "our server 'a' listens")


@pytest.mark.parametrize(
    ("limit", "status"),
    [((1024, 1048576), "green"), ((1024, 4096), "amber"), ((1024, -1), "green")],
)
def test_open_files_go_by_the_hard_limit(limit: tuple[int, int], status: str) -> None:
    row = look(nano(), replace(LARGE, limit=lambda _: limit))["open-files"]

    assert row.status == status


def test_locked_memory_and_shared_memory_matter_to_nccl_alone() -> None:
    small = replace(LARGE, limit=lambda _: (8 * MIB, 8 * MIB))

    assert look(nano(), small)["locked-memory"].status == "green"
    assert look(glm(), small)["locked-memory"].status == "amber"


@pytest.mark.parametrize(("left", "status"), [(None, "green"), (5000, "green"), (99, "amber")])
def test_processes_are_held_against_a_server_s_threads(left: int | None, status: str) -> None:
    assert look(nano(), replace(LARGE, processes_left=lambda: left))["processes"].status == status


def test_another_system_is_red(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")

    assert look(nano(), LARGE)["system"].status == "red"


@pytest.mark.parametrize("libc", [("glibc", "2.31"), ("", "")])
def test_an_old_or_another_libc_is_amber(
    monkeypatch: pytest.MonkeyPatch, libc: tuple[str, str]
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: libc)

    assert look(nano(), LARGE)["system"].status == "amber"


@pytest.mark.parametrize(
    ("text", "quota"), [("150000 100000\n", 1.5), ("max 100000\n", None), ("", None)]
)
def test_the_quota_is_read_from_the_cgroup(tmp_path: Path, text: str, quota: float | None) -> None:
    (tmp_path / "cpu.max").write_text(text)

    assert cpu_quota(tmp_path) == quota
    assert cpu_quota(tmp_path / "none") is None


def test_processes_left_are_those_of_the_tighter_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pids.max").write_text("500\n")
    (tmp_path / "pids.current").write_text("120\n")
    monkeypatch.setattr(preflight_limits, "resource_limit", lambda _: (-1, -1))
    assert preflight_limits.processes_left(tmp_path) == 380

    (tmp_path / "pids.max").write_text("max\n")
    assert preflight_limits.processes_left(tmp_path) is None

    monkeypatch.setattr(preflight_limits, "resource_limit", lambda _: (1_000_000, -1))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    left = preflight_limits.processes_left(tmp_path)
    # This process is among those that count.
    assert left is not None
    assert 0 < left < 1_000_000


def test_flags_are_the_processor_s_own(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nflags\t\t: fpu avx2 amx_tile\n\nflags\t\t: other\n")

    assert doctor_readers.cpu_flags(cpuinfo) == {"fpu", "avx2", "amx_tile"}
    cpuinfo.write_text("Processor: an ARM\n")
    assert doctor_readers.cpu_flags(cpuinfo) == frozenset()

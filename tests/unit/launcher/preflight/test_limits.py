"""Limits that a server would fail under are told before it is started."""

from __future__ import annotations

import os
import resource
import socket
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from launcher.errors import InsufficientMemoryError, ResourceLimitError
from launcher.preflight import checks, limits
from launcher.preflight.checks import check_machine
from launcher.preflight.facts import ServingFacts
from launcher.system import shared_memory
from launcher.system.hardware import GIB, MIB, Gpu, Hardware
from tests.unit.launcher.examples import make_config

LAPTOP = Hardware((), "no driver", (0, 1), 16 * GIB)
FACTS = ServingFacts(make_config(device="cpu"), LAPTOP)


def held_to(monkeypatch: pytest.MonkeyPatch, name: str, soft: int, hard: int = -1) -> None:
    monkeypatch.setattr(
        limits, "resource_limit", lambda asked: (soft, hard) if asked == name else (-1, -1)
    )
    monkeypatch.setattr(limits, "processes_left", lambda: None)


@pytest.mark.parametrize(
    ("name", "soft", "hard", "said"),
    [
        ("RLIMIT_AS", 4 * GIB, -1, "The limit on addresses is 4.0 GiB; a server needs 8.0 GiB"),
        ("RLIMIT_DATA", GIB, -1, "The limit on data is 1.0 GiB; a server needs 4.0 GiB"),
        ("RLIMIT_FSIZE", MIB, -1, "The limit on a file is 1.0 MiB; a server needs 64.0 MiB"),
        ("RLIMIT_NOFILE", 100, 100, "The limit on open files is 100; a server needs 256"),
        ("RLIMIT_CPU", 60, -1, "The limit on processor time is 1 min 00 s; a server needs 1 h"),
    ],
)
def test_a_limit_below_the_need_is_refused_with_both_figures(
    monkeypatch: pytest.MonkeyPatch, name: str, soft: int, hard: int, said: str
) -> None:
    held_to(monkeypatch, name, soft, hard)
    with pytest.raises(ResourceLimitError) as caught:
        check_machine(FACTS)
    assert said in caught.value.problem
    assert "ulimit -" in caught.value.action
    assert caught.value.exit_code == 33


def test_sglang_raises_the_soft_limit_on_files_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    held_to(monkeypatch, "RLIMIT_NOFILE", 100, 65_535)
    limits.check_limits(FACTS)


def test_gpus_need_an_address_for_each_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = Gpu(0, "GPU-0", "H100", 80 * GIB, 79 * GIB, (9, 0))
    held_to(monkeypatch, "RLIMIT_AS", 80 * GIB)
    facts = ServingFacts(make_config(device="cuda"), Hardware((gpu,), "all", (0,), 16 * GIB))
    with pytest.raises(ResourceLimitError, match=r"needs 88\.0 GiB"):
        limits.check_limits(facts)


@pytest.mark.parametrize("left", [0, -5, 127])
def test_too_few_processes_left_are_told(monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    held_to(monkeypatch, "", 0)
    monkeypatch.setattr(limits, "processes_left", lambda: left)
    with pytest.raises(ResourceLimitError, match=f"{max(left, 0)} more processes and threads"):
        limits.check_limits(FACTS)


def test_a_machine_without_limits_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    held_to(monkeypatch, "", 0)
    limits.check_limits(FACTS)


def test_the_limits_are_those_of_this_process() -> None:
    assert limits.resource_limit("RLIMIT_CORE") == resource.getrlimit(resource.RLIMIT_CORE)


def test_a_temporary_folder_too_long_for_a_socket_is_refused_with_both_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_to(monkeypatch, "RLIMIT_AS", -1)
    most = limits.SOCKET_PATH_BYTES - 1 - len("tmp12345678")
    longest = tmp_path / ("x" * (most - len(os.fsencode(tmp_path)) - 1))
    for folder, fits in ((longest, True), (longest.with_name(f"{longest.name}x"), False)):
        folder.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
        if fits:
            limits.check_temporary_folder()
            # What SGLang does there works, to the byte.
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(str(folder / "tmp12345678"))
            continue
        with pytest.raises(ResourceLimitError) as caught:
            check_machine(FACTS)
        assert f"{most + 1} bytes, and {most} are allowed" in caught.value.problem
        with pytest.raises(OSError, match="too long"), socket.socket(socket.AF_UNIX) as made:
            made.bind(str(folder / "tmp12345678"))


@pytest.mark.parametrize(
    ("free", "files", "said"),
    [(1, 99, "has 4.0 KiB free"), (9_999_999, 3, "has room for 3 more files")],
)
def test_a_temporary_folder_without_room_is_refused(
    monkeypatch: pytest.MonkeyPatch, free: int, files: int, said: str
) -> None:
    room = SimpleNamespace(f_bavail=free, f_frsize=4096, f_files=100, f_favail=files)
    monkeypatch.setattr(os, "statvfs", lambda _: room)
    with pytest.raises(ResourceLimitError, match=said):
        limits.check_temporary_folder()


def test_no_temporary_folder_at_all_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr(tempfile, "gettempdir", refuse)
    with pytest.raises(ResourceLimitError, match="No temporary folder can be written"):
        limits.check_temporary_folder()


def test_shared_memory_that_is_not_there_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held_to(monkeypatch, "RLIMIT_AS", -1)
    monkeypatch.setattr(shared_memory, "ROOT", tmp_path / "shm")
    with pytest.raises(InsufficientMemoryError, match="is not there or cannot be written"):
        checks._check_shared_memory(FACTS.config)

"""The end of a server, with real processes; what only a GPU's driver can say is replaced."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from launcher.engines.launch import Command
from launcher.errors import StopError
from launcher.supervision.server import end
from launcher.supervision.server.end import ServerResources, end_server
from launcher.supervision.server.process import ChildProcess, spawn
from launcher.system.members import find_members, freeze_members
from launcher.system.ports import listening_sockets
from launcher.system.shared_memory import ROOT, segments_of

RUN_ID = "0123456789abcdef"
CHILD = "import signal, subprocess, sys; print(1, flush=True); signal.pause()"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {CHILD!r}])"
# Takes a while to be taken apart, and has a segment open meanwhile.
BIG = """
import mmap, os, signal, sys
descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
os.ftruncate(descriptor, 4096)
shared = mmap.mmap(descriptor, 4096)
memory = bytearray(b"x") * (1 << 30)
print(1, flush=True)
signal.pause()
"""
NOTHING = ServerResources("127.0.0.1", 1, on_gpus=False)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ChildProcess]:
    """A process and its child, which both sleep."""
    output = tmp_path / "output"
    with output.open("wb") as file:
        spawned = spawn(
            Command((sys.executable, "-c", PARENT), MappingProxyType({})), run_id=RUN_ID,
            cwd=tmp_path, output=file.fileno(), die_with_parent=False,
        )  # fmt: skip
    while not output.stat().st_size:
        pass
    yield spawned
    for member in find_members(spawned.identity, RUN_ID):
        member.send_signal(signal.SIGKILL)
    spawned.wait()


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_frozen_server_stands_still_as_a_whole(server: ChildProcess) -> None:
    members = freeze_members(server.identity, RUN_ID, timeout_seconds=5.0)
    assert len(members) == 2
    assert {state_of(member.pid) for member in members} == {"T"}


def test_nothing_is_left_and_the_port_is_free(server: ChildProcess) -> None:
    end_server(server.identity, RUN_ID, NOTHING, [])
    assert find_members(server.identity, RUN_ID) == []
    assert server.wait() == -signal.SIGKILL


def test_one_that_threw_its_environment_away_is_ended_all_the_same(tmp_path: Path) -> None:
    script = f"import os, sys; os.execve(sys.executable, [sys.executable, '-c', {CHILD!r}], {{}})"
    output = tmp_path / "output"
    with output.open("wb") as file:
        spawned = spawn(
            Command((sys.executable, "-c", script), MappingProxyType({})), run_id=RUN_ID,
            cwd=tmp_path, output=file.fileno(), die_with_parent=False,
        )  # fmt: skip
    while not output.stat().st_size:
        pass
    end_server(spawned.identity, RUN_ID, NOTHING, [])
    assert spawned.wait() == -signal.SIGKILL


def test_what_a_big_process_has_open_while_it_goes_is_taken_back_as_well(tmp_path: Path) -> None:
    segment = ROOT / f"specserve_test_{os.getpid()}"
    output = tmp_path / "output"
    with output.open("wb") as file:
        spawned = spawn(
            Command((sys.executable, "-c", BIG, str(segment)), MappingProxyType({})),
            run_id=RUN_ID, cwd=tmp_path, output=file.fileno(), die_with_parent=False,
        )  # fmt: skip
    try:
        while not output.stat().st_size:
            pass
        segments = segments_of([spawned.identity])
        spawned.identity.send_signal(signal.SIGKILL)
        end_server(spawned.identity, RUN_ID, NOTHING, segments)
        assert not segment.exists()
    finally:
        segment.unlink(missing_ok=True)
        spawned.wait()


def test_what_was_shared_too_shortly_to_be_seen_goes_by_its_name(server: ChildProcess) -> None:
    run_id = secrets.token_hex(8)
    segment = ROOT / f"sglang_loads_{run_id}_25ba3591.shm"
    segment.write_bytes(b"x")
    try:
        end_server(server.identity, run_id, NOTHING, [])
        assert not segment.exists()
    finally:
        segment.unlink(missing_ok=True)


def test_memory_that_a_driver_keeps_for_the_dead_is_told(
    server: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(end, "RELEASE_SECONDS", 0.1)
    monkeypatch.setattr(end, "gpu_pids", lambda: frozenset({1, server.identity.pid}))
    with pytest.raises(StopError, match=rf"processes {server.identity.pid} as holding"):
        end_server(server.identity, RUN_ID, ServerResources("127.0.0.1", 1, on_gpus=True), [])


def test_memory_that_a_driver_gives_back_late_is_waited_for(
    server: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [frozenset({server.identity.pid}), frozenset({server.identity.pid}), frozenset({1})]
    monkeypatch.setattr(end, "gpu_pids", lambda: answers.pop(0))
    end_server(server.identity, RUN_ID, ServerResources("127.0.0.1", 1, on_gpus=True), [])
    assert answers == []


def test_a_port_that_somebody_else_took_meanwhile_is_his(server: ChildProcess) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        resources = ServerResources("127.0.0.1", port, on_gpus=False)
        end_server(server.identity, RUN_ID, resources, [])
    assert find_members(server.identity, RUN_ID) == []


def test_the_servers_own_port_is_told_where_somebody_keeps_it_open(
    server: ChildProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a process does that inherited it and is no member."""
    monkeypatch.setattr(end, "RELEASE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as kept:
        port = kept.getsockname()[1]
        sockets = listening_sockets("127.0.0.1", port)
        assert len(sockets) == 1
        monkeypatch.setattr(end, "sockets_of", lambda _members: sockets)
        with pytest.raises(StopError, match=f"{port}"):
            end_server(
                server.identity, RUN_ID, ServerResources("127.0.0.1", port, on_gpus=False), []
            )

"""Processes that are ours, with real ones: what is signalled, and what is not."""

from __future__ import annotations

import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from launcher.engines.launch import Command
from launcher.names import RUN_ID_VARIABLE
from launcher.supervision.server.process import AdoptedProcess, ChildProcess, spawn
from launcher.system.members import find_members, kill_members
from launcher.system.process import ProcessIdentity, boot_id, describe_exit, wait_until_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RUN_ID = "5ca1ab1e00c0ffee"
PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Spawned:
    """A stand-in, and what it prints."""

    popen: subprocess.Popen[bytes]
    identity: ProcessIdentity
    output: BinaryIO


class Servers:
    """Spawns stand-ins, and sees that none outlives its test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._started: list[tuple[Spawned, str]] = []

    def start(self, script: str, *, run_id: str = RUN_ID, **environment: str) -> Spawned:
        command = Command((sys.executable, "-c", script), MappingProxyType(environment))
        reading, writing = os.pipe()
        spawned = spawn(
            command, run_id=run_id, cwd=self._folder, output=writing, die_with_parent=False
        )
        os.close(writing)
        started = Spawned(spawned.popen, spawned.identity, os.fdopen(reading, "rb"))
        self._started.append((started, run_id))
        return started

    def end(self) -> None:
        for spawned, run_id in self._started:
            kill_members(spawned.identity, run_id, timeout_seconds=PATIENCE_SECONDS)
            spawned.popen.kill()
            spawned.popen.wait()
            spawned.output.close()


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    servers = Servers(tmp_path)
    yield servers
    servers.end()


def read_line(spawned: Spawned) -> str:
    """The next line of a stand-in, which says so that it got there."""
    return spawned.output.readline().decode().strip()


def read_pids(spawned: Spawned) -> list[int]:
    return [int(word) for word in read_line(spawned).split()]


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def pids(members: list[ProcessIdentity]) -> set[int]:
    return {member.pid for member in members}


WAITS = "import signal; print('up', flush=True); signal.pause()"


# --- identity ----------------------------------------------------------------------------------


def test_a_living_process_is_alive_until_it_ends() -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child:
        identity = ProcessIdentity.of(child.pid)
        assert identity.is_alive()
        assert identity == ProcessIdentity.of(child.pid)

    assert not identity.is_alive()
    with pytest.raises(ProcessLookupError):
        ProcessIdentity.of(child.pid)


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child:
        identity = ProcessIdentity.of(child.pid)
        child.kill()
        # Ended, and not reaped.
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

        assert not identity.is_alive()
        assert not identity.send_signal(signal.SIGTERM)
        assert wait_until_gone(identity, timeout_seconds=0.0)
        with pytest.raises(ProcessLookupError):
            ProcessIdentity.of(child.pid)


def test_an_identity_survives_being_written() -> None:
    identity = ProcessIdentity.of(os.getpid())

    assert ProcessIdentity.model_validate_json(identity.model_dump_json()) == identity


@pytest.mark.parametrize(
    "name", [b"a) S 1 1 1 (b", b"((", b"x y) Z 0", b"new\nline", b"\xff\xfe"], ids=repr
)
def test_the_name_of_a_process_does_not_hide_its_start(servers: Servers, name: bytes) -> None:
    spawned = servers.start(
        "import ctypes, os, signal\n"
        f"ctypes.CDLL(None).prctl(15, {name!r})\n"  # PR_SET_NAME
        "print('up', flush=True); signal.pause()"
    )
    before = spawned.identity

    assert read_line(spawned) == "up"

    assert before.is_alive()
    assert ProcessIdentity.of(before.pid) == before


def test_the_boot_has_an_id() -> None:
    assert boot_id() == boot_id()
    assert len(boot_id()) == 36


# --- signals -----------------------------------------------------------------------------------


def test_a_signal_reaches_the_very_process(servers: Servers) -> None:
    spawned = servers.start(
        "import signal, sys\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(7))\n"
        "print('up', flush=True)\n"
        "signal.pause()"
    )
    read_line(spawned)

    assert spawned.identity.send_signal(signal.SIGUSR1)

    assert spawned.popen.wait(PATIENCE_SECONDS) == 7
    assert not spawned.identity.send_signal(signal.SIGUSR1)


def test_no_forged_identity_is_ever_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[object] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *arguments: sent.append(arguments))
    rng = random.Random(20261123)  # noqa: S311
    own = ProcessIdentity.of(os.getpid())
    living = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    odd = [0, -1, -own.pid, 1 << 22, 1 << 40, 1 << 70]

    for _ in range(2_000):
        forged = ProcessIdentity(
            pid=rng.choice([*living, own.pid, *odd, rng.randrange(1, 1 << 22)]),
            start_ticks=own.start_ticks + rng.choice([-1, 1]) * rng.randrange(1, 1 << 40),
            boot_id=rng.choice([own.boot_id, "another boot"]),
        )
        assert not forged.send_signal(signal.SIGKILL)
    assert not own.model_copy(update={"boot_id": ""}).send_signal(signal.SIGKILL)

    assert sent == []
    assert own.send_signal(signal.SIGURG)
    assert len(sent) == 1


@pytest.mark.parametrize("pinned", [False, True])
def test_a_process_that_ends_between_the_look_and_the_signal_is_nobody(
    monkeypatch: pytest.MonkeyPatch, *, pinned: bool
) -> None:
    with subprocess.Popen(["/bin/cat"], stdin=subprocess.PIPE) as child:
        identity = ProcessIdentity.of(child.pid)
        open_descriptor = os.pidfd_open

        def end_first(pid: int, flags: int = 0) -> int:
            descriptor = open_descriptor(pid, flags) if pinned else None
            child.kill()
            child.wait()
            return open_descriptor(pid, flags) if descriptor is None else descriptor

        sent: list[object] = []
        monkeypatch.setattr(os, "pidfd_open", end_first)
        monkeypatch.setattr(signal, "pidfd_send_signal", lambda *args: sent.append(args))

        assert not identity.send_signal(signal.SIGTERM)
        assert sent == []


# --- spawning ----------------------------------------------------------------------------------


def test_a_server_leads_a_session_and_a_group_of_its_own(servers: Servers, tmp_path: Path) -> None:
    spawned = servers.start(
        "import os, sys\n"
        "print(os.getpid(), os.getsid(0), os.getpgid(0), flush=True)\n"
        "print(os.getcwd(), os.environ['EXTRA'], os.environ['HOME'], flush=True)\n"
        "print('error', file=sys.stderr, flush=True)\n"
        "print(repr(sys.stdin.read()), flush=True)\n"
        f"print(os.environ[{RUN_ID_VARIABLE!r}], flush=True)",
        EXTRA="extra",
    )

    assert read_pids(spawned) == [spawned.identity.pid] * 3
    assert read_line(spawned) == f"{tmp_path} extra {os.environ['HOME']}"
    assert read_line(spawned) == "error"
    assert read_line(spawned) == "''"
    assert read_line(spawned) == RUN_ID
    assert os.getsid(0) != spawned.identity.pid


def test_whoever_waits_for_a_child_learns_its_exit_code(servers: Servers) -> None:
    spawned = servers.start("raise SystemExit(3)")
    assert ChildProcess(spawned.popen, spawned.identity).wait() == 3


def test_whoever_waits_for_an_adopted_process_learns_that_it_ended(servers: Servers) -> None:
    spawned = servers.start("import time; time.sleep(60)")
    ended = threading.Thread(target=AdoptedProcess(spawned.identity).wait)
    ended.start()
    ended.join(0.1)
    assert ended.is_alive()
    spawned.popen.kill()
    ended.join(PATIENCE_SECONDS)
    assert not ended.is_alive()


def test_nobody_waits_for_a_process_that_has_the_pid_of_another() -> None:
    own = ProcessIdentity.of(os.getpid())
    AdoptedProcess(own.model_copy(update={"start_ticks": own.start_ticks - 1})).wait()


def test_a_bound_server_dies_with_the_process_that_started_it() -> None:
    """By SIGKILL too, which no process can see coming."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from launcher.engines.launch import Command\n"
        "from launcher.supervision.server.process import spawn\n"
        "argv = (sys.executable, '-c', 'import time; time.sleep(60)')\n"
        "one = spawn(Command(argv, {}), run_id='r', cwd=Path(), output=1, die_with_parent=True)\n"
        "print(one.identity.model_dump_json(), flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, cwd=Path.cwd(), check=False
    )
    identity = ProcessIdentity.model_validate_json(done.stdout)
    assert done.returncode == -signal.SIGKILL
    assert wait_until_gone(identity, timeout_seconds=PATIENCE_SECONDS)


def test_a_server_that_ends_at_once_has_an_identity_all_the_same(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndsFirst(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    monkeypatch.setattr(subprocess, "Popen", EndsFirst)

    spawned = servers.start("raise SystemExit(5)")

    assert spawned.identity.pid == spawned.popen.pid
    assert not spawned.identity.is_alive()
    assert spawned.popen.wait(PATIENCE_SECONDS) == 5


# --- members -----------------------------------------------------------------------------------


def test_a_server_alone_is_its_own_member(servers: Servers) -> None:
    spawned = servers.start(WAITS)
    read_line(spawned)

    assert find_members(spawned.identity, RUN_ID) == [spawned.identity]


def test_a_grandchild_that_lost_its_parent_is_a_member(servers: Servers) -> None:
    spawned = servers.start(
        "import os, signal\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    grandchild = os.fork()\n"
        "    if grandchild:\n"
        "        print(grandchild, flush=True)\n"
        "        os._exit(0)\n"
        "    signal.pause()\n"
        "os.waitpid(child, 0)\n"
        "print('orphaned', flush=True)\n"
        "signal.pause()\n"
    )
    [grandchild] = read_pids(spawned)
    assert read_line(spawned) == "orphaned"

    assert pids(find_members(spawned.identity, RUN_ID)) == {spawned.identity.pid, grandchild}


def test_a_helper_with_a_session_of_its_own_is_a_member_by_its_environment(
    servers: Servers,
) -> None:
    spawned = servers.start(
        "import signal, subprocess, sys\n"
        "helper = subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'],\n"
        "                          start_new_session=True)\n"
        "print(helper.pid, flush=True)\n"
        "signal.pause()"
    )
    [helper] = read_pids(spawned)

    assert pids(find_members(spawned.identity, RUN_ID)) == {spawned.identity.pid, helper}


def test_a_process_that_has_a_title_keeps_what_proves_it_ours(servers: Servers) -> None:
    pytest.importorskip("setproctitle", reason="comes with the engine")
    spawned = servers.start(
        "import os, signal\n"
        "os.environ['SPT_NOENV'] = '1'\n"
        "import setproctitle\n"
        "child = os.fork()\n"
        "setproctitle.setproctitle('sglang::scheduler_TP0' if child == 0 else 'sglang::server')\n"
        "os.write(1, b'%d\\n' % child)\n"
        "signal.pause()"
    )
    child = max(read_pids(spawned) + read_pids(spawned))
    spawned.popen.kill()
    spawned.popen.wait()

    assert pids(find_members(spawned.identity, RUN_ID)) == {child}


def test_a_process_whose_session_nothing_proves_is_let_alone(servers: Servers) -> None:
    spawned = servers.start(
        "import os, sys\n"
        "script = 'import signal; print(1, flush=True); signal.pause()'\n"
        "os.execve(sys.executable, [sys.executable, '-c', script], {})"
    )
    read_line(spawned)

    assert find_members(spawned.identity, RUN_ID) == []
    assert find_members(ProcessIdentity.of(1), RUN_ID) == []


def test_a_helper_with_an_environment_of_its_own_is_a_member_by_its_session(
    servers: Servers,
) -> None:
    spawned = servers.start(
        "import signal, subprocess, sys\n"
        "script = 'import signal; signal.pause()'\n"
        "helper = subprocess.Popen([sys.executable, '-c', script], env={'A': 'b'})\n"
        "print(helper.pid, flush=True)\n"
        "signal.pause()"
    )
    [helper] = read_pids(spawned)

    assert pids(find_members(spawned.identity, RUN_ID)) == {spawned.identity.pid, helper}


def test_a_later_process_with_the_leaders_pid_is_no_member(servers: Servers) -> None:
    """It made a session with that number."""
    spawned = servers.start(
        "import os, sys\n"
        "script = 'import signal; print(1, flush=True); signal.pause()'\n"
        "os.execve(sys.executable, [sys.executable, '-c', script], {})"
    )
    read_line(spawned)
    earlier = spawned.identity.model_copy(
        update={"start_ticks": spawned.identity.start_ticks - 1000}
    )

    assert find_members(earlier, RUN_ID) == []


def test_nobody_is_a_member_after_a_reboot(servers: Servers) -> None:
    spawned = servers.start(WAITS)
    read_line(spawned)
    before_boot = spawned.identity.model_copy(update={"boot_id": "another-boot"})

    assert find_members(before_boot, RUN_ID) == []


def test_a_member_that_ended_and_was_not_reaped_is_none(servers: Servers) -> None:
    spawned = servers.start(
        "import os, signal\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0)\n"
        "os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)\n"
        "print(child, flush=True)\n"
        "signal.pause()"
    )
    [zombie] = read_pids(spawned)
    assert Path(f"/proc/{zombie}").exists()

    assert pids(find_members(spawned.identity, RUN_ID)) == {spawned.identity.pid}


def test_a_server_of_another_run_is_no_member_though_its_session_has_the_number(
    servers: Servers,
) -> None:
    spawned = servers.start(WAITS, run_id="another")
    read_line(spawned)

    assert find_members(spawned.identity, RUN_ID) == []
    assert kill_members(spawned.identity, RUN_ID, timeout_seconds=1.0) == []
    assert spawned.identity.is_alive()


def test_a_run_id_that_begins_like_ours_is_another(servers: Servers) -> None:
    spawned = servers.start(WAITS, run_id=f"{RUN_ID}0")
    read_line(spawned)

    assert find_members(spawned.identity, RUN_ID) == []


def test_whoever_looks_is_no_member(monkeypatch: pytest.MonkeyPatch) -> None:
    # As for a launcher that was started from inside a server.
    script = (
        "import os\n"
        "from launcher.system.members import find_members\n"
        "from launcher.system.process import ProcessIdentity\n"
        f"print(find_members(ProcessIdentity.of(os.getsid(0)), {RUN_ID!r}))"
    )
    monkeypatch.setenv(RUN_ID_VARIABLE, RUN_ID)

    done = subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        capture_output=True,
        text=True,
        start_new_session=True,
    )

    assert done.stdout == "[]\n"


# --- ending ------------------------------------------------------------------------------------


def test_every_member_is_killed_also_one_that_keeps_forking(servers: Servers) -> None:
    spawned = servers.start(
        "import os, signal, time\n"
        "for name in ('SIGTERM', 'SIGINT', 'SIGHUP'):\n"
        "    signal.signal(getattr(signal, name), signal.SIG_IGN)\n"
        "print('up', flush=True)\n"
        # A process that hands over to a child again and again, as long as nobody stops it.
        "while True:\n"
        "    if os.fork():\n"
        "        time.sleep(0.02)\n"
        "        os._exit(0)\n"
    )
    read_line(spawned)

    assert kill_members(spawned.identity, RUN_ID, timeout_seconds=PATIENCE_SECONDS) == []

    assert find_members(spawned.identity, RUN_ID) == []


def test_one_that_cannot_be_killed_is_told(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned = servers.start(WAITS)
    read_line(spawned)
    # As for a process that hangs in a driver: the signal is sent, and nothing happens.
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: None)
    monkeypatch.setattr(os, "killpg", lambda *_: None)

    left = kill_members(spawned.identity, RUN_ID, timeout_seconds=0.05)

    assert left == [spawned.identity]
    monkeypatch.undo()


def test_waiting_ends_with_the_process_or_with_the_time(servers: Servers) -> None:
    spawned = servers.start(WAITS)
    read_line(spawned)

    assert not wait_until_gone(spawned.identity, timeout_seconds=0.05)
    spawned.popen.kill()
    assert wait_until_gone(spawned.identity, timeout_seconds=PATIENCE_SECONDS)


@pytest.mark.parametrize(
    ("returncode", "text"),
    [
        (0, "exit code 0"),
        (3, "exit code 3"),
        (-9, "killed by SIGKILL"),
        (-15, "killed by SIGTERM"),
        (-63, "killed by signal 63"),
    ],
)
def test_an_exit_is_told_in_words(returncode: int, text: str) -> None:
    assert describe_exit(returncode) == text


def test_nothing_is_left_after_many_kills_at_random_moments(servers: Servers) -> None:
    rng = random.Random(20261123)  # noqa: S311
    script = (
        "import os, signal\n"
        "os.fork()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "os.write(1, b'x\\n')\n"
        "signal.pause()"
    )

    for _ in range(8):
        spawned = servers.start(script)
        for _ in range(rng.randrange(5)):
            read_line(spawned)
        kill_members(spawned.identity, RUN_ID, timeout_seconds=PATIENCE_SECONDS)
        assert find_members(spawned.identity, RUN_ID) == []


def test_what_a_server_makes_is_its_user_s_alone_whatever_the_mask(tmp_path: Path) -> None:
    """Its processes believe whoever can write to the sockets between them."""
    script = "import socket; socket.socket(socket.AF_UNIX).bind('made')"
    before = os.umask(0)
    try:
        with (tmp_path / "output").open("wb") as output:
            child = spawn(
                Command((sys.executable, "-c", script), {}),
                run_id="0", cwd=tmp_path, output=output.fileno(), die_with_parent=False,
            )  # fmt: skip
    finally:
        os.umask(before)
    assert child.wait() == 0
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o700

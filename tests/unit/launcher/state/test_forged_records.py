"""Records that lie: whatever they say, no process but the right one is ever signalled.

What lets a signal out is intercepted here, so that a defect fails a test and kills nobody.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import pytest

from launcher.engines.launch import Command
from launcher.errors import BrokenRecordError
from launcher.state.states import RUNNING_STATES, ServerState
from launcher.state.store import RunStore
from launcher.supervision.server.process import spawn
from launcher.supervision.stop import stop_server
from launcher.system.members import dump_stacks, find_members, kill_members
from launcher.system.process import ProcessIdentity, boot_id, wait_until_gone
from launcher.system.shared_memory import Segment, remove_dead
from tests.unit.launcher.examples import make_record

RECORDS = 10_000
# Each looks at every process of the machine, most of them several times.
SCANS = 200
SEED = 20261123
# Enough for a first signal; where one is intercepted, the process it was for stays.
PATIENCE_SECONDS = 0.05
# Such as no process has, that mean a group or everybody to kill(2), and that no call takes.
ODD_PIDS = (0, -1, -2, 1 << 22, (1 << 31) - 1, 1 << 31, -(1 << 31), 1 << 32, 1 << 63, 1 << 70)
# Bound before anything is intercepted.
_REALLY_KILL, _REALLY_KILL_GROUP = os.kill, os.killpg
# Sleeps in a session of its own, whose number is its pid.
FOREIGN = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
# The same with its environment overwritten, as setproctitle does it, and with a child likewise.
TITLED = """
import os, sys
if os.fork():
    os.write(1, b"x\\n")
os.execve("/bin/sleep", ["another: worker", "600"], {})
"""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """Every signal that anything in this process wants to send; none is."""
    signals: list[tuple[object, ...]] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *what: signals.append(what))
    monkeypatch.setattr(os, "kill", lambda *what: signals.append(what))
    monkeypatch.setattr(os, "killpg", lambda *what: signals.append(what))
    return signals


@pytest.fixture
def foreigners() -> Iterator[list[ProcessIdentity]]:
    """Leaders of sessions that live, with nothing of ours in their environment, or with none."""
    started = []
    for script in (FOREIGN, TITLED):
        popen = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, start_new_session=True
        )
        assert popen.stdout is not None
        popen.stdout.readline()
        popen.stdout.close()
        started.append(popen)
    yield [ProcessIdentity.of(popen.pid) for popen in started]
    for popen in started:
        _REALLY_KILL_GROUP(popen.pid, signal.SIGKILL)
        popen.wait()


def living() -> list[ProcessIdentity]:
    """Every process of this machine, this one and its parents among them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found.append(ProcessIdentity.of(int(entry.name)))
            except ProcessLookupError:
                continue
    return found


class Forger:
    """Identities of which at least one part is wrong, around processes that live."""

    def __init__(self, around: list[ProcessIdentity]) -> None:
        self.chance = random.Random(SEED)  # noqa: S311  # no secret
        self._around = around

    def identity(self) -> ProcessIdentity:
        """One that no process has."""
        true = self.chance.choice(self._around)
        return self.chance.choice(
            (self._reused, self._swapped, self._before_boot, self._odd, self._random)
        )(true)

    def run_id(self) -> str:
        """One that no process has."""
        return self.chance.choice(("", "0", self.chance.randbytes(8).hex()))

    def _reused(self, true: ProcessIdentity) -> ProcessIdentity:
        offset = self.chance.choice((-1, 1)) * self.chance.choice((1, 100, 1 << 20, 1 << 62))
        return true.model_copy(update={"start_ticks": true.start_ticks + offset})

    def _swapped(self, true: ProcessIdentity) -> ProcessIdentity:
        ticks = {one.start_ticks for one in self._around} - {true.start_ticks}
        return true.model_copy(update={"start_ticks": self.chance.choice(sorted(ticks))})

    def _before_boot(self, true: ProcessIdentity) -> ProcessIdentity:
        boot = self.chance.choice(("", true.boot_id.upper(), "\0", str(uuid.UUID(int=1))))
        return true.model_copy(update={"boot_id": boot})

    def _odd(self, true: ProcessIdentity) -> ProcessIdentity:
        ticks = self.chance.choice((true.start_ticks, 0, -1))
        pid = self.chance.choice((*ODD_PIDS, -true.pid))
        return true.model_copy(update={"pid": pid, "start_ticks": ticks})

    def _random(self, true: ProcessIdentity) -> ProcessIdentity:
        return true.model_copy(
            update={
                "pid": self.chance.randrange(1, 1 << 22),
                "start_ticks": self.chance.randrange(1 << 62, 1 << 63),
            }
        )


def test_no_signal_goes_to_whoever_a_forged_identity_names(
    sent: list[tuple[object, ...]], foreigners: list[ProcessIdentity]
) -> None:
    forger = Forger([*living(), *10 * foreigners])
    for _ in range(RECORDS):
        forged = forger.identity()
        assert not forged.is_alive(), forged
        assert not forged.send_signal(signal.SIGKILL), forged
        assert wait_until_gone(forged, timeout_seconds=0.0), forged
    assert sent == []
    # The same call reaches whoever is named rightly.
    assert foreigners[0].send_signal(signal.SIGKILL)
    assert len(sent) == 1


def test_a_forged_server_has_no_members_to_be_killed(
    sent: list[tuple[object, ...]], foreigners: list[ProcessIdentity]
) -> None:
    forger = Forger([*living(), *10 * foreigners])
    for _ in range(SCANS):
        forged, run_id = forger.identity(), forger.run_id()
        assert find_members(forged, run_id) == [], (forged, run_id)
        kill_members(forged, run_id, timeout_seconds=PATIENCE_SECONDS)
        dump_stacks([forged], wait_seconds=0.0)
        assert sent == [], (forged, run_id)


def test_a_forged_record_is_stopped_without_a_signal(
    sent: list[tuple[object, ...]], foreigners: list[ProcessIdentity], tmp_path: Path
) -> None:
    forger = Forger([*living(), *10 * foreigners])
    store = RunStore("forged", root=tmp_path)
    store.create()
    for _ in range(SCANS):
        record = make_record(
            tmp_path, name="forged", run_id=forger.run_id(),
            state=forger.chance.choice(sorted(RUNNING_STATES | {ServerState.FATAL})),
            supervisor=forger.identity(), server=forger.identity(), collector=forger.identity(),
        )  # fmt: skip
        store.write(record)
        # What no process can have makes the record a broken one.
        with contextlib.suppress(BrokenRecordError):
            assert not stop_server(store).stopped, record
        assert not record.can_be_adopted
        assert not record.is_running
        assert sent == [], record


def test_a_run_whose_session_number_was_given_to_another_is_not_looked_for_there(
    sent: list[tuple[object, ...]], foreigners: list[ProcessIdentity]
) -> None:
    for foreigner in foreigners:
        for ticks in (0, foreigner.start_ticks - 1, foreigner.start_ticks + 1):
            former = foreigner.model_copy(update={"start_ticks": ticks})
            assert find_members(former, "0123456789abcdef") == []
            assert kill_members(former, "0123456789abcdef", timeout_seconds=PATIENCE_SECONDS) == []
    assert sent == []


def test_a_titled_process_of_another_session_whose_leader_ended_is_let_alone(
    sent: list[tuple[object, ...]],
) -> None:
    """Our server ended, its pid went to the leader of another session, and that ended too."""
    with subprocess.Popen(
        [sys.executable, "-c", TITLED], stdout=subprocess.PIPE, start_new_session=True
    ) as popen:
        assert popen.stdout is not None
        popen.stdout.readline()
        later = ProcessIdentity.of(popen.pid)
        _REALLY_KILL(popen.pid, signal.SIGKILL)
        popen.wait()
        former = later.model_copy(update={"start_ticks": later.start_ticks - 1000})
        try:
            assert find_members(former, "0123456789abcdef") == []
            kill_members(former, "0123456789abcdef", timeout_seconds=PATIENCE_SECONDS)
            assert sent == []
        finally:
            _REALLY_KILL_GROUP(popen.pid, signal.SIGKILL)


@pytest.mark.parametrize("pid", ODD_PIDS)
@pytest.mark.parametrize("ticks", [0, -1, 1 << 62])
def test_no_session_has_a_number_that_is_no_pid(
    sent: list[tuple[object, ...]], pid: int, ticks: int
) -> None:
    """The threads of the kernel are in session 0 and have no environment; group 0 is one's own."""
    nobody = ProcessIdentity(pid=pid, start_ticks=ticks, boot_id=boot_id())
    assert find_members(nobody, "0123456789abcdef") == []
    kill_members(nobody, "0123456789abcdef", timeout_seconds=PATIENCE_SECONDS)
    assert sent == []


def test_the_right_record_is_followed_and_nobody_else_is_signalled(
    sent: list[tuple[object, ...]],
    foreigners: list[ProcessIdentity],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The interceptor sees what is sent: without this, the tests above would prove nothing."""
    with (tmp_path / "output").open("wb") as output:
        ours = spawn(
            Command((sys.executable, "-c", FOREIGN), MappingProxyType({})), run_id="right",
            cwd=tmp_path, output=output.fileno(), die_with_parent=False,
        )  # fmt: skip
    try:
        left = kill_members(ours.identity, "right", timeout_seconds=PATIENCE_SECONDS)
        assert left == [ours.identity]
        groups = {what[0] for what in sent if what[1] is signal.SIGKILL and len(what) == 2}
        assert ours.identity.pid in groups
        assert not groups & {foreigner.pid for foreigner in foreigners}
    finally:
        monkeypatch.undo()
        assert kill_members(ours.identity, "right", timeout_seconds=30.0) == []
        ours.wait()


def test_no_file_of_anybody_goes_for_a_forged_segment(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311  # no secret
    names = [f"segment-{number}" for number in range(20)]
    for name in names:
        (tmp_path / name).write_bytes(b"another's")
    (tmp_path / "folder").mkdir()
    true = (tmp_path / names[0]).stat()
    forged = []
    for _ in range(RECORDS):
        name = chance.choice([*names, "folder", "missing", ".", ".."])
        found = (tmp_path / name).stat() if (tmp_path / name).exists() else true
        wrong = chance.choice(("inode", "device", "boot_id"))
        parts = {"inode": found.st_ino, "device": found.st_dev, "boot_id": boot_id()}
        other = "another boot" if wrong == "boot_id" else chance.randrange(1 << 62, 1 << 63)
        forged.append(Segment.model_validate({"name": name} | parts | {wrong: other}))

    assert remove_dead(forged, tmp_path) == []

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "folder"])
    right = Segment(name=names[0], inode=true.st_ino, device=true.st_dev, boot_id=boot_id())
    assert remove_dead([right], tmp_path) == [names[0]]

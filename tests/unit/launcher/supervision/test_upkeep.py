"""What somebody takes from a supervisor comes back; what the system refuses is waited for."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from launcher.diagnosis import failures
from launcher.errors import LauncherError, PortInUseError, ServerExitedError
from launcher.state.events import (
    Event,
    EventReader,
    ServerCrashed,
    ServerReady,
    StartPostponed,
)
from launcher.state.spare import exchange
from launcher.state.store import RunStore
from launcher.supervision import journal, restarts
from launcher.supervision.detached import Patience, follow_start
from launcher.supervision.mailbox import Request
from launcher.supervision.restarts import PATIENCE_SECONDS, RestartBudget, is_transient
from launcher.supervision.supervisor import Outcome
from launcher.system.files import cannot_write
from launcher.system.locks import open_locked
from tests.unit.launcher.examples import make_config, make_record
from tests.unit.launcher.full_disk import SmallDisk, small_disk
from tests.unit.launcher.scenes import Scene

__all__ = ["small_disk"]

PATIENCE = 60.0


def patience() -> Patience:
    """One that begins with its test: a whole suite takes longer than it waits."""
    return Patience(1, make_config())


def never() -> LauncherError:
    raise AssertionError


def until(is_true: Callable[[], object]) -> bool:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if is_true():
            return True
        time.sleep(0.02)
    return False


def at_ready(scene: Scene, act: Callable[[], None]) -> None:
    """Act in another thread once the server is ready, then stop it."""

    def work() -> None:
        try:
            act()
        finally:
            scene.supervisor.request(Request.STOP)

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            threading.Thread(target=work).start()

    scene.react = react  # type: ignore[method-assign]


def remove_record(store: RunStore) -> None:
    store.record_file.unlink()


def replace_record(store: RunStore) -> None:
    store.record_file.write_text("{}")


def remove_lock(store: RunStore) -> None:
    store.lock_file.unlink()


def remove_key(store: RunStore) -> None:
    store.admin_key_file.unlink()


def remove_folder(store: RunStore) -> None:
    # First away from where its supervisor puts it back at once.
    store.folder.rename(store.folder.with_name("removed"))
    shutil.rmtree(store.folder.with_name("removed"))


@pytest.mark.parametrize(
    "remove", [remove_record, replace_record, remove_lock, remove_key, remove_folder]
)
def test_what_somebody_removes_from_under_a_supervisor_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remove: Callable[[RunStore], None]
) -> None:
    monkeypatch.setattr(journal, "CHECK_SECONDS", 0.05)
    scene = Scene(tmp_path, "serve", keys=True)
    # As another process looks.
    store = RunStore("scene", root=scene.store.folder.parent)
    seen: dict[str, Any] = {}

    def is_whole() -> bool:
        files = (store.record_file, store.lock_file, store.admin_key_file)
        if not all(file.exists() for file in files) or store.record_file.read_text() == "{}":
            return False
        seen["modes"] = {stat.S_IMODE(file.stat().st_mode) for file in files}
        seen["folder"] = stat.S_IMODE(store.folder.stat().st_mode)
        record, holder = store.read(), store.find_holder()
        seen["state"] = record and record.live_state
        return holder is not None and holder.pid == os.getpid() and seen["state"] == "READY"

    def act() -> None:
        remove(store)
        seen["back"] = until(is_whole)

    at_ready(scene, act)
    assert scene.run() is Outcome.STOPPED
    assert seen == {"back": True, "modes": {0o600}, "folder": 0o700, "state": "READY"}
    assert scene.record.state == "STOPPED"
    assert not store.admin_key_file.exists()


def test_a_name_that_another_supervisor_has_taken_since_is_his(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(journal, "CHECK_SECONDS", 0.05)
    monkeypatch.setattr(journal, "REWRITE_SECONDS", 0.05)
    scene = Scene(tmp_path, "serve")
    store = scene.store
    seen: list[tuple[bool, str]] = []

    def act() -> None:
        # In one step, as far as the supervisor can tell.
        other = store.folder.with_name("other")
        other.mkdir(mode=0o700)
        (other / "run.json").write_text("his")
        with open_locked(other / "lock") as lock:
            holder = subprocess.Popen(["/bin/sleep", "60"], pass_fds=[lock.fileno()])
        with holder:
            exchange(other, store.folder)
            told = until(lambda: "is already starting" in capsys.readouterr().err)
            seen.append((told, store.record_file.read_text()))
            holder.kill()
        exchange(other, store.folder)

    at_ready(scene, act)
    assert scene.run() is Outcome.STOPPED
    assert seen == [(True, "his")]


def test_a_full_disk_is_waited_out_and_costs_no_failure(
    small_disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of six attempts to start again none counts, and five failures would be the end."""
    monkeypatch.setattr(restarts, "SHORTEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(restarts, "LONGEST_PAUSE_SECONDS", 0.01)
    scene = Scene(
        small_disk.root, "crash", str(small_disk.root / "count"), "1", "7",
        restart="on-failure", restart_delay_seconds=0.01, restart_limit=2,
    )  # fmt: skip
    states: list[str] = []

    def react(event: Event) -> None:
        if isinstance(event, ServerReady):
            if len(scene.of(ServerReady)) == 2:
                scene.supervisor.request(Request.STOP)
            else:
                small_disk.fill()
        if isinstance(event, StartPostponed):
            states.append(scene.record.state)
            if len(scene.of(StartPostponed)) == 6:
                small_disk.free()

    scene.react = react  # type: ignore[method-assign]
    assert scene.run() is Outcome.STOPPED
    assert [event.failures for event in scene.of(ServerCrashed)] == [1]
    told = scene.of(StartPostponed)
    assert [event.attempts for event in told] == [1, 2, 3, 4, 5, 6]
    assert all("No space left" in event.problem for event in told)
    # The record says so on that very disk.
    assert states == ["BACKOFF"] * 6


def test_a_first_start_that_the_system_refuses_is_told_at_once(small_disk: SmallDisk) -> None:
    scene = Scene(small_disk.root, "serve", restart="on-failure")
    small_disk.fill()
    with pytest.raises(LauncherError, match="No space left"):
        scene.run()
    assert scene.of(StartPostponed) == []


def test_pauses_for_what_the_system_refuses_double_to_a_minute_and_end_after_a_day() -> None:
    budget = RestartBudget(make_config(restart_limit=2), chance=lambda: 0.0)
    pauses = [budget.postpone(waited_seconds=0.0) for _ in range(7)]
    assert [pause.seconds for pause in pauses] == [5.0, 10.0, 20.0, 40.0, 60.0, 60.0, 60.0]
    assert budget.postpone(waited_seconds=PATIENCE_SECONDS - 1.0).seconds is not None
    assert budget.postpone(waited_seconds=PATIENCE_SECONDS).seconds is None
    # None of them was a failure.
    assert budget.fail(served_seconds=1.0).failures == 1
    assert budget.postpone(waited_seconds=0.0).seconds == 5.0


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (OSError(errno.ENOSPC, "no room"), True),
        (OSError(errno.EDQUOT, "no room"), True),
        (OSError(errno.EMFILE, "no descriptor"), True),
        (OSError(errno.EAGAIN, "no process"), True),
        (OSError(errno.ENOMEM, "no memory"), True),
        (OSError(errno.EROFS, "read-only"), True),
        (OSError(errno.EACCES, "not allowed"), False),
        (OSError(errno.E2BIG, "too long"), False),
    ],
)
def test_only_what_the_system_may_give_again_is_waited_for(
    error: OSError, *, transient: bool
) -> None:
    with pytest.raises(LauncherError) as caught:
        raise cannot_write(Path("/f"), error) from error
    assert is_transient(caught.value) is transient
    assert is_transient(failures.out_of_means(error)) is transient


def test_neither_a_crash_nor_a_port_is_waited_for() -> None:
    assert not is_transient(ServerExitedError("It ended.", action="-"))
    assert not is_transient(PortInUseError("It is taken.", action="-"))
    assert is_transient(failures.out_of_means(RuntimeError("can't start new thread")))


def test_a_start_without_events_is_followed_by_its_record(tmp_path: Path) -> None:
    """As on a disk that became full after the first record."""
    store = RunStore("default", root=tmp_path)
    store.create()
    reader = EventReader(store.events_file)
    with store.lock():
        store.write(make_record(store.folder, state="READY", config=make_config().model_dump()))
        events = follow_start(
            reader, store, patience(), lambda: True, is_current=lambda _: True, dead=never
        )  # fmt: skip
        event = next(events)
    assert isinstance(event, ServerReady)
    assert event.base_url == "http://127.0.0.1:8000"


def test_a_start_that_nobody_can_follow_is_not_followed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("launcher.supervision.detached._UNWRITTEN_SECONDS", 0.0)
    monkeypatch.setattr("launcher.supervision.detached._LOOK_SECONDS", 0.05)
    store = RunStore("default", root=tmp_path)
    store.create()
    with store.lock():
        store.write(make_record(store.folder, state="STARTING"))
        time.sleep(0.05)  # the kernel's clock for files is a coarse one
        store.mark_unwritten()
        events = follow_start(
            EventReader(store.events_file), store, patience(), lambda: True,
            is_current=lambda _: True, dead=never,
        )  # fmt: skip
        with pytest.raises(LauncherError, match="cannot be followed"):
            next(events)

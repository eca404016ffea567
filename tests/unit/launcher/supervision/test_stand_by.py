"""A process that stands by becomes the next run's server, and whatever happens to it hurts nobody.

The other end is the real one, in the stand-in.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from launcher.config.server_config import ServerConfig
from launcher.preflight.prepare import STAND_BY_MEMORY_BYTES, stands_by
from launcher.state.record import RunRecord, StandByRecord
from launcher.state.states import ServerState
from launcher.supervision.mailbox import Request
from launcher.supervision.run import serving
from launcher.supervision.server import stand_by as stand_by_module
from launcher.supervision.server.process import ChildProcess
from launcher.supervision.server.stand_by import LEAST_FREE_BYTES, StandBy
from launcher.supervision.stop import clear_up
from launcher.supervision.supervisor import Outcome
from launcher.system.hardware import Hardware
from launcher.system.members import find_leader, find_members
from launcher.system.process import ProcessIdentity, wait_until_gone
from tests.unit.launcher.examples import dead_process, make_record
from tests.unit.launcher.scenes import Scene

PATIENCE_SECONDS = 60.0

T = TypeVar("T")


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand by as soon as the server serves, and be looked after often."""
    monkeypatch.setattr(serving, "STAND_BY_DELAY_SECONDS", 0.0)
    monkeypatch.setattr(serving, "STAND_BY_SECONDS", 0.05)
    monkeypatch.setattr(serving, "LOOK_SECONDS", 0.2)


class Served:
    """A scene whose supervisor runs in a thread."""

    def __init__(self, tmp_path: Path) -> None:
        self.scene = Scene(
            tmp_path,
            "kill-me",
            str(tmp_path / "pid"),
            stand_by=True,
            restart="on-failure",
            restart_delay_seconds=0.01,
        )
        self.outcome: list[Outcome] = []
        self.thread = threading.Thread(target=lambda: self.outcome.append(self.scene.run()))
        self.thread.start()

    def rests(self, other_than: StandByRecord | None = None) -> StandByRecord:
        """The process that stands by, once it is ready."""

        def ready() -> StandByRecord | None:
            record = self.scene.store.read()
            found = record.stand_by if record else None
            is_new = found is not None and (other_than is None or found.run_id != other_than.run_id)
            return found if found is not None and found.ready and is_new else None

        return until(ready)

    def serves(self, restarts: int) -> RunRecord:
        def served() -> RunRecord | None:
            record = self.scene.store.read()
            good = record is not None and record.state == "READY" and record.restarts == restarts
            return record if good else None

        return until(served)

    def stop(self) -> None:
        self.scene.supervisor.request(Request.STOP)
        self.thread.join(PATIENCE_SECONDS)
        assert not self.thread.is_alive()


def until(found: Callable[[], T | None]) -> T:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(0.02)
    pytest.fail("it did not come")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    one = Served(tmp_path)
    yield one
    one.stop()


def test_it_becomes_the_server_after_a_crash(served: Served) -> None:
    resting = served.rests()
    before = served.serves(0)
    assert before.server is not None
    before.server.send_signal(signal.SIGKILL)

    after = served.serves(1)

    assert after.server == resting.process
    assert after.run_id == resting.run_id
    assert after.leader == find_leader(after.run_id)
    log = served.scene.store.log_file.read_text()
    assert log.startswith("imported ahead\n")
    assert "ready to roll" in log
    # Another one takes its place.
    assert served.rests(other_than=resting).process != resting.process


def test_it_becomes_the_server_at_a_restart(served: Served) -> None:
    resting = served.rests()
    served.scene.supervisor.request(Request.RESTART)
    assert served.serves(1).server == resting.process


def test_a_stop_ends_it_too(served: Served) -> None:
    resting = served.rests()
    served.stop()
    assert find_members(resting.process, resting.run_id) == []
    assert not resting.process.is_alive()
    record = served.scene.record
    assert record.state == "STOPPED"
    assert record.stand_by is None
    assert served.outcome == [Outcome.STOPPED]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_one_that_cannot_go_on_is_passed_over(
    served: Served, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stand_by_module, "ANSWER_SECONDS", 0.2)
    resting = served.rests()
    # No look comes between.
    monkeypatch.setattr(StandBy, "prepare", lambda _: None)
    resting.process.send_signal(number)
    served.scene.supervisor.request(Request.RESTART)

    after = served.serves(1)

    # The id was drawn for it, and is kept.
    assert after.run_id == resting.run_id
    assert after.server != resting.process
    assert not resting.process.is_alive()


def test_one_that_died_is_replaced(served: Served) -> None:
    resting = served.rests()
    resting.process.send_signal(signal.SIGKILL)
    assert served.rests(other_than=resting).process.is_alive()


def test_it_ends_with_its_supervisor_and_what_stands_still_is_found(tmp_path: Path) -> None:
    """A supervisor that is killed closes the socket; one that stands still does not see that."""
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    scene.store.create()
    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    resting = _ready(stand_by, noted)
    assert stand_by._resting is not None
    resting.process.send_signal(signal.SIGSTOP)
    stand_by._resting.control.close()
    assert resting.process.is_alive()

    scene.store.write(_record_of(scene, resting))
    clear_up(scene.store)

    stand_by._resting.process.popen.wait(10)
    assert not resting.process.is_alive()
    os.close(stand_by._resting.output)


def test_what_stands_still_is_found_whatever_the_record_says(tmp_path: Path) -> None:
    """By the run in its environment and the folder that it works in."""
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    resting = _ready(stand_by, noted)
    assert stand_by._resting is not None
    resting.process.send_signal(signal.SIGSTOP)
    stand_by._resting.control.close()
    bystander = ProcessIdentity.of(os.getpid())
    forged = resting.model_copy(update={"process": bystander, "run_id": "0" * 16})
    scene.store.write(_record_of(scene, forged))

    assert clear_up(scene.store)

    stand_by._resting.process.popen.wait(10)
    assert not resting.process.is_alive()
    record = scene.store.read()
    assert record is not None
    assert record.stand_by is None
    os.close(stand_by._resting.output)


def test_it_ends_by_itself_when_its_supervisor_has_gone(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    _ready(stand_by, noted)
    resting = stand_by._resting
    assert resting is not None
    resting.control.close()
    assert resting.process.popen.wait(10) == 0
    os.close(resting.output)


def test_the_folder_of_one_that_ended_by_itself_goes_with_the_next_command(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    scene.store.create()
    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    scene.store.write(_record_of(scene, _ready(stand_by, noted)))
    resting = stand_by._resting
    assert resting is not None
    folder = Path(resting.environment["TMPDIR"])
    (folder / "left").touch()
    resting.control.close()
    os.close(resting.output)
    assert resting.process.popen.wait(10) == 0
    assert folder.exists()

    clear_up(scene.store)

    assert not folder.exists()


def test_the_folder_of_one_that_lives_stays_whatever_another_server_s_record_says(
    tmp_path: Path,
) -> None:
    """That record calls it the process that stood by, or its own run."""
    scene = Scene(tmp_path / "a", "kill-me", str(tmp_path / "pid"))
    scene.store.create()
    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    resting = _ready(stand_by, noted)
    folder = Path(_environment(stand_by)["TMPDIR"])
    forging = Scene(tmp_path / "b", "kill-me", str(tmp_path / "pid"))
    forged = _record_of(forging, resting)
    stopped = {"state": ServerState.STOPPED, "stand_by": None, "run_id": resting.run_id}

    try:
        for lie in (forged, forged.model_copy(update=stopped)):
            forging.store.write(lie)
            clear_up(forging.store)
            assert folder.exists()
            assert resting.process.is_alive()
    finally:
        stand_by.end()
    assert not folder.exists()


@pytest.mark.parametrize("run_id", ["notes", "0123456789abcdef"])
def test_what_is_no_folder_of_a_run_stays_whatever_the_record_says(
    tmp_path: Path, run_id: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder whose name holds no id as they are drawn; a link of such a name."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    own = tmp_path / "specserve-notes"
    own.mkdir()
    (own / "note").touch()
    (tmp_path / "specserve-0123456789abcdef").symlink_to(own)
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    gone = StandByRecord(process=dead_process(), run_id=run_id, ready=True, memory_bytes=None)
    scene.store.write(_record_of(scene, gone))

    clear_up(scene.store)

    assert sorted(path.name for path in tmp_path.glob("specserve-*/*")) == ["note", "note"]


def test_short_memory_ends_it_and_starts_none(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    noted: list[StandByRecord | None] = []
    free = [3 * LEAST_FREE_BYTES]
    stand_by = _stand_by(scene, noted.append, free_bytes=lambda: free[0])
    stand_by.prepare()
    first = noted[-1]
    assert first is not None
    free[0] = LEAST_FREE_BYTES - 1
    stand_by.prepare()
    assert noted[-1] is None
    assert wait_until_gone(first.process, timeout_seconds=10)
    stand_by.prepare()
    # What it would take itself has to be free besides.
    free[0] = LEAST_FREE_BYTES + 1
    stand_by.prepare()
    assert noted[-1] is None


def test_an_engine_that_was_upgraded_makes_it_useless(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    noted: list[StandByRecord | None] = []
    versions = {"sglang": "1"}
    stand_by = _stand_by(scene, noted.append, versions=lambda: dict(versions))
    resting = _ready(stand_by, noted)
    versions["sglang"] = "2"
    assert stand_by.take(_environment(stand_by), 1) is None
    assert wait_until_gone(resting.process, timeout_seconds=10)


def test_another_environment_makes_it_useless(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    resting = _ready(stand_by, noted)
    assert stand_by.take({**_environment(stand_by), "OTHER": "1"}, 1) is None
    assert wait_until_gone(resting.process, timeout_seconds=10)


def test_one_that_cannot_start_is_not_tried_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, "kill-me", str(tmp_path / "pid"))
    started: list[object] = []

    def refuse(*_: object, **__: object) -> ChildProcess:
        started.append(1)
        raise BlockingIOError("no more processes")

    noted: list[StandByRecord | None] = []
    stand_by = _stand_by(scene, noted.append)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_by_module, "spawn", refuse)
        stand_by.prepare()
        stand_by.prepare()
    assert started == [1]
    assert noted == []


@pytest.mark.parametrize(
    ("fields", "free_bytes", "wanted"),
    [
        ({}, STAND_BY_MEMORY_BYTES, True),
        ({}, STAND_BY_MEMORY_BYTES - 1, False),
        ({"stand_by": True}, 1, True),
        ({"stand_by": False}, STAND_BY_MEMORY_BYTES, False),
        ({"restart": "never"}, STAND_BY_MEMORY_BYTES, False),
        ({"shared_imports": False}, STAND_BY_MEMORY_BYTES, False),
        ({"device": "cuda"}, STAND_BY_MEMORY_BYTES, False),
        ({"device": "cuda", "shared_imports": True}, STAND_BY_MEMORY_BYTES, True),
    ],
)
def test_where_one_stands_by(fields: dict[str, Any], free_bytes: int, *, wanted: bool) -> None:
    config = ServerConfig.model_validate(
        {"model_path": "/m", "served_model_name": "m", "device": "cpu"} | fields
    )
    hardware = Hardware((), "", (0,), available_memory_bytes=free_bytes)
    assert stands_by(config, hardware) is wanted


def test_it_needs_shared_imports() -> None:
    with pytest.raises(ValueError, match="stand_by needs shared_imports"):
        ServerConfig.model_validate(
            {"model_path": "/m", "served_model_name": "m", "device": "cuda", "stand_by": True}
        )


def _ready(stand_by: StandBy, noted: list[StandByRecord | None]) -> StandByRecord:
    def ready() -> StandByRecord | None:
        stand_by.prepare()
        last = noted[-1]
        return last if last is not None and last.ready else None

    return until(ready)


def _environment(stand_by: StandBy) -> dict[str, str]:
    assert stand_by._resting is not None
    return dict(stand_by._resting.environment)


def _stand_by(scene: Scene, note: Callable[[StandByRecord | None], None], **seams: Any) -> StandBy:
    seams.setdefault("versions", dict)
    seams.setdefault("free_bytes", lambda: 3 * LEAST_FREE_BYTES)
    return StandBy(scene.launch, scene.store.folder, die_with_parent=False, note=note, **seams)


def _record_of(scene: Scene, resting: StandByRecord) -> RunRecord:
    """A record whose supervisor and server have gone."""
    gone = ProcessIdentity(pid=1 << 21, start_ticks=1, boot_id=resting.process.boot_id)
    return make_record(
        scene.store.folder, name=scene.store.name, supervisor=gone, server=None, stand_by=resting
    )

"""One import for all processes, and a process that stands by: the same server, sooner back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from launcher.serving import free_port
from launcher.state.record import RunRecord, StandByRecord
from launcher.state.store import RunStore
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity
from tests.server.conftest import assert_nothing_is_left, record_of, run_cli, server
from tests.server.greedy import Greedy, greedy_texts

NAME = "stands-by"
PATIENCE_SECONDS = 300.0


@pytest.fixture(scope="module")
def stands_by() -> Iterator[RunRecord]:
    with server(NAME, "--stand-by") as record:
        yield record


@pytest.fixture(scope="module")
def texts(eagle: RunRecord) -> Greedy:
    return greedy_texts(eagle)


def rests(other_than: str = "") -> StandByRecord:
    """The process that stands by, once it has imported everything."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found = record_of(NAME).stand_by
        if found is not None and found.ready and found.run_id != other_than:
            return found
        time.sleep(0.2)
    pytest.fail("nothing stands by")


def serves(run_id: str) -> RunRecord:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        record = record_of(NAME)
        if record.state == "READY" and record.run_id == run_id:
            return record
        time.sleep(0.2)
    pytest.fail("it is not READY")


def titled(record: RunRecord, title: str) -> list[psutil.Process]:
    assert record.server is not None
    found = [psutil.Process(one.pid) for one in find_members(record.server, record.run_id)]
    return [one for one in found if one.cmdline()[:1] and one.cmdline()[0].startswith(title)]


def assert_one_import(record: RunRecord) -> None:
    """Its children were forked: they are the first process's, and the log says so."""
    assert record.server is not None
    children = titled(record, "sglang::")
    assert len(children) == 2
    assert {one.ppid() for one in children} == {record.server.pid}
    # What a fork leaves of the command: a spawned one would show multiprocessing's.
    assert {one.exe() for one in children} == {psutil.Process(record.server.pid).exe()}
    log = RunStore(record.name).log_file.read_text()
    assert "specserve: imported once for 2 processes" in log
    assert "each process imports by itself" not in log


def test_all_processes_share_one_import(eagle: RunRecord) -> None:
    assert_one_import(eagle)


def test_a_server_without_says_the_same(texts: Greedy) -> None:
    with server("imports", "--no-shared-imports") as record:
        assert "imported once" not in RunStore("imports").log_file.read_text()
        assert greedy_texts(record) == texts


def test_what_stands_by_has_no_key_and_no_model(stands_by: RunRecord) -> None:
    process = psutil.Process(rests().process.pid)
    assert process.num_threads() == 1
    assert process.children() == []
    opened = [Path(link).resolve() for link in Path(f"/proc/{process.pid}/fd").iterdir()]
    folder = RunStore(NAME).folder
    assert not [file for file in opened if file.is_relative_to(folder) and file != folder]
    assert Path(f"/proc/{process.pid}/oom_score_adj").read_text().strip() == "1000"
    assert stands_by.server is not None
    own = Path(f"/proc/{stands_by.server.pid}/oom_score_adj").read_text().strip()
    assert own != "1000"


def test_after_a_crash_it_is_the_server(stands_by: RunRecord, texts: Greedy) -> None:
    resting = rests()
    (scheduler,) = titled(record_of(NAME), "sglang::scheduler")
    scheduler.send_signal(signal.SIGKILL)

    after = serves(resting.run_id)

    assert after.server == resting.process
    assert after.restarts == stands_by.restarts + 1
    assert_one_import(after)
    assert greedy_texts(after) == texts
    assert Path(f"/proc/{resting.process.pid}/oom_score_adj").read_text().strip() != "1000"


@pytest.mark.usefixtures("stands_by")
def test_at_a_restart_it_is_the_server_and_then_another_one_rests() -> None:
    resting = rests()
    assert run_cli("restart", "--name", NAME) == 0
    assert record_of(NAME).server == resting.process
    assert rests(other_than=resting.run_id).process != resting.process


@pytest.mark.usefixtures("stands_by")
def test_a_supervisor_that_is_killed_leaves_none_and_the_next_one_makes_another() -> None:
    resting = rests()
    os.kill(record_of(NAME).supervisor.pid, signal.SIGKILL)
    assert run_cli("up", "--detach", "--preset", "nano", "--name", NAME, "--stand-by",
                   "--port", record_of(NAME).base_url.rpartition(":")[2]) == 0  # fmt: skip
    assert not resting.process.is_alive()
    assert rests(other_than=resting.run_id).process.is_alive()


def test_an_up_that_cannot_say_where_says_so_by_its_exit_code() -> None:
    name = "unsaid"
    up = [sys.executable, "-m", "launcher", "up", "--detach", "--preset", "nano", "--name", name]
    with Path("/dev/full").open("w") as full:
        code = subprocess.run(
            [*up, "--port", str(free_port())], stdout=full, stderr=subprocess.DEVNULL, check=False
        ).returncode
    assert code == 55
    assert record_of(name).state == "READY"
    assert run_cli("down", "--name", name) == 0


@pytest.mark.usefixtures("stands_by")
def test_down_ends_both() -> None:
    resting, record = rests(), record_of(NAME)
    assert run_cli("down", "--name", NAME) == 0
    assert_nothing_is_left(NAME)
    assert find_members(resting.process, resting.run_id) == []
    assert isinstance(record.server, ProcessIdentity)
    assert not record.server.is_alive()

"""A terminal or a pipe that nobody reads holds up nothing but what is printed there."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.cli.display.unhurried import Teller
from launcher.errors import ServerExitedError
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.supervision.stop import stop_server
from tests.project import PROJECT

PATIENCE_SECONDS = 60.0
STOP_OUTPUT = b"\x13"  # Ctrl-S
READ_ON = b"\x11"  # Ctrl-Q
UP = [sys.executable, "-m", "tests.unit.launcher.cli.display.foreground", "up"]


@pytest.fixture
def store() -> Iterator[RunStore]:
    store = RunStore("default")
    yield store
    stop_server(store)


class Terminal:
    """`up` in a terminal whose output is held from the first byte on."""

    def __init__(self, *behaviour: str) -> None:
        self.master, slave = pty.openpty()
        os.write(self.master, STOP_OUTPUT)
        self.process = subprocess.Popen(
            [*UP, *behaviour], stdin=slave, stdout=slave, stderr=slave, cwd=PROJECT,
            env={**os.environ, "TERM": "xterm"}, start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self.master)


@pytest.fixture
def terminal() -> Iterator[Callable[..., Terminal]]:
    made: list[Terminal] = []

    def make(*behaviour: str) -> Terminal:
        made.append(Terminal(*behaviour))
        return made[-1]

    yield make
    for each in made:
        each.close()


def await_record(store: RunStore, holds: Callable[[RunRecord], bool]) -> RunRecord:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (record := store.read()) is None or not holds(record):
        assert time.monotonic() < deadline, record
        time.sleep(0.02)
    return record


def test_a_server_in_a_terminal_that_nobody_reads_is_ready_and_stopped(
    store: RunStore, terminal: Callable[..., Terminal]
) -> None:
    shown = terminal("serve")
    await_record(store, lambda record: record.state == "READY")
    report = stop_server(store)
    assert report.stopped
    assert not report.supervisor_killed
    assert shown.process.wait(PATIENCE_SECONDS) == 0
    assert await_record(store, lambda _: True).state == "STOPPED"


def test_a_server_in_a_terminal_that_nobody_reads_is_restarted(
    store: RunStore, terminal: Callable[..., Terminal]
) -> None:
    shown = terminal("serve")
    first = await_record(store, lambda record: record.state == "READY")
    assert first.server is not None
    first.server.send_signal(signal.SIGKILL)
    await_record(store, lambda record: record.state == "READY" and record.restarts == 1)
    # Who reads on sees what is there now.
    os.write(shown.master, READ_ON)
    read = b""
    while b"Starting again" not in read:
        read += os.read(shown.master, 4096)
    shown.process.send_signal(signal.SIGINT)
    threading.Thread(target=drain, args=(shown.master,), daemon=True).start()
    assert shown.process.wait(PATIENCE_SECONDS) == 0


def drain(descriptor: int) -> bytes:
    read = b""
    try:
        while chunk := os.read(descriptor, 65536):
            read += chunk
    except OSError:
        pass
    return read


@pytest.mark.usefixtures("store")
def test_an_error_that_nobody_reads_does_not_keep_the_process(
    terminal: Callable[..., Terminal],
) -> None:
    shown = terminal("exit-before-ready", "3")
    assert shown.process.wait(PATIENCE_SECONDS) == ServerExitedError.exit_code


def test_a_program_that_reads_late_gets_every_event(store: RunStore, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        [*UP, "crash", str(tmp_path / "count"), "3", "7", "--json"],
        stdout=writing, stdin=subprocess.DEVNULL, cwd=PROJECT,
    )  # fmt: skip
    os.close(writing)
    await_record(store, lambda record: record.state == "READY" and record.restarts == 3)
    with os.fdopen(reading, "rb") as pipe:
        # The pipe's own room is long used up.
        head = pipe.read(4096)
        process.send_signal(signal.SIGTERM)
        read = head + pipe.read()
    assert process.wait(PATIENCE_SECONDS) == 0
    assert len(read) > 2 * 4096
    assert read.decode().splitlines() == store.events_file.read_text().splitlines()


def test_of_too_many_the_oldest_are_left_out_and_counted() -> None:
    seen: list[object] = []
    begun, go_on = threading.Event(), threading.Event()
    teller = Teller(on_dropped=lambda count: seen.append(("dropped", count)), most_waiting=3)

    def first() -> None:
        begun.set()
        go_on.wait(PATIENCE_SECONDS)

    teller.start()
    teller.tell(first)
    begun.wait(PATIENCE_SECONDS)
    for number in range(5):
        teller.tell(lambda number=number: seen.append(number))  # type: ignore[misc]
    go_on.set()
    teller.finish()
    assert seen == [("dropped", 2), 2, 3, 4]


def test_who_has_had_enough_is_told_nothing_more() -> None:
    seen: list[int] = []
    teller = Teller(on_dropped=lambda _: None)

    def fail() -> None:
        seen.append(1)
        raise BrokenPipeError

    teller.start()
    teller.tell(fail)
    teller.tell(lambda: seen.append(2))
    teller.finish()
    assert seen == [1]


def test_without_a_thread_it_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    seen: list[int] = []
    teller = Teller(on_dropped=lambda _: None)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    teller.start()
    teller.tell(lambda: seen.append(1))
    assert seen == [1]
    teller.finish()


def test_a_late_reader_that_never_comes_costs_one_deadline_and_not_one_for_each_line(
    store: RunStore, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen(
        [*UP, "crash", str(tmp_path / "count"), "3", "7", "--json"],
        stdout=writing, stdin=subprocess.DEVNULL, cwd=PROJECT,
    )  # fmt: skip
    os.close(writing)
    await_record(store, lambda record: record.state == "READY" and record.restarts == 3)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_SECONDS) == 0
    os.close(reading)


@pytest.mark.parametrize(
    ("error", "is_told"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (BrokenPipeError(), False),
        (OSError(errno.EIO, "the terminal has gone"), False),
    ],
)
def test_what_a_device_refuses_is_kept_to_be_said_in_the_end(
    error: OSError, *, is_told: bool
) -> None:
    def refuse() -> None:
        raise error

    said: list[int] = []
    teller = Teller(on_dropped=said.append)
    teller.start()
    teller.tell(refuse)
    teller.tell(lambda: said.append(1))
    teller.finish()
    assert (teller.refused is error) is is_told
    assert said == []

"""The supervisor's end of the output, with the real collector: nothing that dies breaks it."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from launcher.logs import files
from launcher.logs.adopted import AdoptedOutput
from launcher.logs.collector import dropped_notice
from launcher.logs.collector_process import CollectorSettings
from launcher.logs.output import (
    TAIL_LINE_CHARACTERS,
    TAIL_LINES,
    Output,
    ServerOutput,
)
from launcher.names import RUN_ID_VARIABLE
from launcher.system.process import ProcessIdentity, wait_until_gone
from tests.unit.launcher.examples import SECRET, dead_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = "key-0123"
PATIENCE_SECONDS = 60.0


class Server:
    """An output whose server is the test."""

    def __init__(self, log_file: Path, *secrets: str, **settings: Any) -> None:
        self.log_file = log_file
        self.seen: list[tuple[str, str]] = []
        self.replacements: list[ProcessIdentity] = []
        self.output = ServerOutput(
            log_file=log_file,
            secrets=secrets,
            on_line=lambda line: self.seen.append((threading.current_thread().name, line)),
            on_restart=self.replacements.append,
            **settings,
        )

    @property
    def lines(self) -> list[str]:
        return [line for _, line in self.seen]

    def write(self, data: bytes) -> None:
        """Print as the server does: this waits where nobody reads, and fails on a broken pipe."""
        while data:
            data = data[os.write(self.output.write_end, data) :]

    def kill_collector(self) -> None:
        """Returns once another one has taken its place."""
        before = self.output.collector
        assert before.send_signal(signal.SIGKILL)
        wait_until(lambda: self.output.collector != before)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    with contextlib.ExitStack() as stack:

        def serve(*secrets: str, log_file: Path | None = None, **settings: Any) -> Server:
            server = Server(log_file or tmp_path / "server.log", *secrets, **settings)
            stack.callback(server.output.join, 0.0)
            return server

        yield serve


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def numbered(start: int, end: int) -> list[str]:
    return [f"line {number}" for number in range(start, end)]


def text_of(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def test_each_line_is_kept_in_the_file_and_handed_on_by_the_thread(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    began = time.monotonic()

    server.write(b"one\n\ntwo\rcaf\xc3\xa9 \xff")

    assert server.output.join(PATIENCE_SECONDS)
    assert server.seen == [("server-output", line) for line in ("one", "two", "café \ufffd")]
    assert server.log_file.read_bytes() == b"one\ntwo\ncaf\xc3\xa9 \xff\n"
    assert server.output.last_line_at is not None
    assert began <= server.output.last_line_at <= time.monotonic()
    assert server.output.dropped_lines == server.output.restarts == 0


def test_a_key_reaches_neither_file_nor_callback_nor_tail_nor_what_others_see_of_the_process(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_VARIABLE", SECRET)
    monkeypatch.setenv(RUN_ID_VARIABLE, "0123456789abcdef")
    server = serve(SECRET, KEY)
    process = Path(f"/proc/{server.output.collector.pid}")
    wait_until(lambda: b"collector.py" in (process / "cmdline").read_bytes())
    shown = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()

    server.write(f"server_args=(api_key='{SECRET}', admin_api_key='{KEY}')\n".encode())
    assert server.output.join(PATIENCE_SECONDS)

    clean = "server_args=(api_key='[redacted]', admin_api_key='[redacted]')"
    assert server.lines == [clean]
    assert server.output.tail == (clean,)
    assert server.log_file.read_text() == f"{clean}\n"
    assert SECRET.encode() not in shown
    assert KEY.encode() not in shown
    # It is no process of the server.
    assert RUN_ID_VARIABLE.encode() not in shown


def test_a_signal_to_the_terminal_s_processes_does_not_reach_it(
    serve: Callable[..., Server],
) -> None:
    collector = serve().output.collector

    assert os.getsid(collector.pid) == os.getpgid(collector.pid) == collector.pid


def test_the_tail_is_the_last_lines_and_each_is_bounded(serve: Callable[..., Server]) -> None:
    server = serve()
    server.write(text_of(numbered(0, TAIL_LINES + 7)).encode() + b"x" * 50_000)

    assert server.output.join(PATIENCE_SECONDS)
    assert server.output.tail == (
        *numbered(8, TAIL_LINES + 7),
        "x" * TAIL_LINE_CHARACTERS,
    )
    assert server.lines[-1] == "x" * 50_000


def test_what_the_disk_did_not_take_is_counted(serve: Callable[..., Server]) -> None:
    server = serve(log_file=Path("/dev/full"))
    server.write(text_of(numbered(0, 1000)).encode())
    wait_until(lambda: len(server.lines) == 1000)
    server.kill_collector()
    server.write(b"one\ntwo\n")

    assert server.output.join(PATIENCE_SECONDS)
    assert server.output.dropped_lines == 1002
    # The collector's own word is no line.
    assert server.lines == [*numbered(0, 1000), "one", "two"]


def test_a_collector_that_is_killed_is_replaced_and_the_pipe_holds(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    first = server.output.collector
    server.write(text_of(numbered(0, 10)).encode())
    wait_until(lambda: len(server.lines) == 10)

    server.kill_collector()
    server.write(text_of(numbered(10, 50_000)).encode())

    assert server.output.join(PATIENCE_SECONDS)
    assert server.log_file.read_text() == text_of(numbered(0, 50_000))
    assert server.lines[-1] == "line 49999"
    assert server.output.restarts == 1
    assert server.replacements == [server.output.collector]
    assert server.output.collector != first


def test_a_collector_that_is_killed_again_and_again_costs_no_line_that_it_had_not_read(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    for kill in range(3):
        server.write(text_of(numbered(100 * kill, 100 * kill + 100)).encode())
        wait_until(lambda: len(server.lines) == 100 * kill + 100)  # noqa: B023  # not kept
        server.kill_collector()

    assert server.output.join(PATIENCE_SECONDS)
    assert server.log_file.read_text() == text_of(numbered(0, 300))
    assert server.output.restarts == 3


def unread_bytes(pipe: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def test_half_a_key_that_died_with_a_collector_is_not_completed_by_the_next(
    serve: Callable[..., Server],
) -> None:
    server = serve(SECRET)
    server.write(f"api_key='{SECRET[:12]}".encode())
    wait_until(lambda: unread_bytes(server.output.write_end) == 0)
    server.kill_collector()
    server.write(f"{SECRET[12:]}'\nnext\n".encode())

    assert server.output.join(PATIENCE_SECONDS)
    assert server.lines == ["[redacted]'", "next"]
    assert server.log_file.read_text() == text_of(server.lines)


def test_the_supervisor_itself_stands_in_where_no_process_can_be_started(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(SECRET)
    with monkeypatch.context() as patch:
        patch.setattr(sys, "executable", "/no/such/interpreter")
        assert server.output.collector.send_signal(signal.SIGKILL)
        # More than the pipe holds.
        server.write(text_of([SECRET, *numbered(0, 200_000)]).encode())
        wait_until(lambda: server.lines[-1:] == ["line 199999"])
        assert server.output.restarts == 0
    wait_until(lambda: server.output.restarts == 1)
    server.write(b"last\n")

    assert server.output.join(PATIENCE_SECONDS)
    assert server.log_file.read_text() == text_of(["[redacted]", *numbered(0, 200_000), "last"])
    assert server.output.dropped_lines == 0


def test_the_output_may_end_while_the_supervisor_stands_in(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve()
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")
    assert server.output.collector.send_signal(signal.SIGKILL)
    server.write(b"last")

    assert server.output.join(PATIENCE_SECONDS)
    assert server.log_file.read_text() == "last\n"


def test_a_collector_that_is_killed_after_the_end_is_not_replaced(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    collector = server.output.collector
    collector.send_signal(signal.SIGSTOP)
    server.output.close_write_end()
    collector.send_signal(signal.SIGKILL)

    assert server.output.join(PATIENCE_SECONDS)
    assert server.output.restarts == 0


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208  # names are all we need


def test_the_end_of_the_output_closes_everything(tmp_path: Path) -> None:
    before = open_descriptors()
    server = Server(tmp_path / "server.log")
    assert len(open_descriptors()) > len(before)

    assert server.output.join(PATIENCE_SECONDS)

    assert open_descriptors() == before
    assert not server.output.collector.is_alive()
    # Once more does no harm.
    assert server.output.join(0.0)


def test_a_writer_that_holds_the_pipe_does_not_keep_the_collector_alive(tmp_path: Path) -> None:
    before = open_descriptors()
    server = Server(tmp_path / "server.log")
    held = os.dup(server.output.write_end)
    server.write(b"one\n")
    wait_until(lambda: server.lines == ["one"])

    assert not server.output.join(0.1)

    assert not server.output.collector.is_alive()
    os.close(held)
    assert open_descriptors() == before


def test_a_collector_that_cannot_be_started_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = open_descriptors()
    monkeypatch.setattr(sys, "executable", "/no/such/interpreter")

    with pytest.raises(FileNotFoundError):
        Server(tmp_path / "server.log")

    assert open_descriptors() == before


# --- a supervisor that dies --------------------------------------------------------------------

SUPERVISOR = """
import signal, subprocess, sys
from pathlib import Path
from launcher.logs.output import ServerOutput

log_file, writer = Path(sys.argv[1]), sys.argv[2]
output = ServerOutput(log_file=log_file, secrets=(), on_line=lambda line: None)
server = subprocess.Popen(
    [sys.executable, "-c", writer], stdout=output.write_end, start_new_session=True
)
output.close_write_end()
print(server.pid, output.collector.pid, flush=True)
signal.pause()
"""
# Prints a line, waits for a signal, and prints much more than any pipe holds.
WRITER = """
import signal
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
print("line 0", flush=True)
signal.sigwait({signal.SIGUSR1})
for number in range(1, 300_000):
    print(f"line {number}")
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_server_prints_on_when_its_supervisor_is_killed_or_stands_still(
    tmp_path: Path, number: signal.Signals
) -> None:
    log_file = tmp_path / "server.log"
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(log_file), WRITER], stdout=subprocess.PIPE
    ) as supervisor:
        assert supervisor.stdout is not None
        server, collector = (
            ProcessIdentity.of(int(pid)) for pid in supervisor.stdout.readline().split()
        )
        wait_until(lambda: log_file.exists() and log_file.read_text() == "line 0\n")

        supervisor.send_signal(number)
        if number is signal.SIGKILL:
            supervisor.wait()
        assert server.send_signal(signal.SIGUSR1)

        assert wait_until_gone(server, timeout_seconds=PATIENCE_SECONDS)
        assert wait_until_gone(collector, timeout_seconds=PATIENCE_SECONDS)
        supervisor.kill()
    assert log_file.read_text() == text_of(numbered(0, 300_000))


# --- a server that was taken over --------------------------------------------------------------

POLL_SECONDS = 0.02


class Adopted:
    """An output that is followed in its file."""

    def __init__(self, log_file: Path, collector: ProcessIdentity | None) -> None:
        self.lines: list[str] = []
        self.output = AdoptedOutput(
            settings(log_file), collector, on_line=self.lines.append, poll_seconds=POLL_SECONDS
        )


def settings(log_file: Path) -> CollectorSettings:
    return CollectorSettings(log_file, (), files.ROTATE_BYTES, files.KEEP_FILES)


def test_who_takes_over_knows_the_last_lines_and_hears_the_new_ones(
    serve: Callable[..., Server],
) -> None:
    server = serve(rotate_bytes=1000, keep_files=9)
    server.write(text_of(numbered(0, 500)).encode())
    wait_until(lambda: len(server.lines) == 500)

    adopted = Adopted(server.log_file, server.output.collector)
    assert adopted.output.tail == tuple(numbered(100, 500))
    seen_at = adopted.output.last_line_at
    assert seen_at is not None
    # Over several rotations.
    for start in range(500, 1000, 50):
        server.write(text_of(numbered(start, start + 50)).encode())
        wait_until(lambda: len(adopted.lines) == start - 450)  # noqa: B023  # not kept
    assert adopted.lines == numbered(500, 1000)
    assert adopted.output.last_line_at is not None
    assert adopted.output.last_line_at > seen_at
    server.write(b"last")
    server.output.close_write_end()

    assert adopted.output.join(PATIENCE_SECONDS)
    assert adopted.lines[-1] == adopted.output.tail[-1] == "last"
    assert len(adopted.output.tail) == TAIL_LINES


def test_what_a_former_run_said_last_is_not_heard_again(tmp_path: Path) -> None:
    log_file = tmp_path / "server.log"
    log_file.write_text("killed\n")
    an_hour_ago = time.time() - 3600
    os.utime(log_file, (an_hour_ago, an_hour_ago))
    files.begin(log_file)
    log_file.write_text("well\n")

    output = AdoptedOutput(
        settings(log_file), dead_process(), on_line=lambda _: None, began_at=an_hour_ago + 1
    )

    assert output.join(PATIENCE_SECONDS)
    assert output.tail == ("well",)


def test_the_age_of_a_line_from_before_is_the_file_s(tmp_path: Path) -> None:
    log_file = tmp_path / "server.log"
    log_file.write_text("one\n")
    an_hour_ago = time.time() - 3600
    os.utime(log_file, (an_hour_ago, an_hour_ago))

    output = Adopted(log_file, dead_process()).output

    assert output.last_line_at == pytest.approx(time.monotonic() - 3600, abs=60)
    assert output.join(PATIENCE_SECONDS)


def test_a_log_that_is_empty_has_no_last_line(tmp_path: Path) -> None:
    files.begin(tmp_path / "server.log")

    output = Adopted(tmp_path / "server.log", None).output

    assert output.tail == ()
    assert output.last_line_at is None
    assert output.join(PATIENCE_SECONDS)


def test_before_the_first_line_there_is_no_last_one(serve: Callable[..., Server]) -> None:
    assert serve().output.last_line_at is None


def test_a_log_that_was_removed_is_followed_once_there_is_one_again(tmp_path: Path) -> None:
    adopted = Adopted(tmp_path / "server.log", dead_process())
    assert adopted.output.tail == ()

    (tmp_path / "server.log").write_text("one\n")

    wait_until(lambda: adopted.lines == ["one"])
    assert adopted.output.join(PATIENCE_SECONDS)


def test_the_collector_s_notes_say_what_the_disk_did_not_take(tmp_path: Path) -> None:
    log_file = tmp_path / "server.log"
    log_file.write_bytes(dropped_notice(1000, "before"))
    adopted = Adopted(log_file, None)

    with log_file.open("ab") as log:
        log.write(dropped_notice(7, "No space left on device") + b"next\n")
        log.write(dropped_notice(5, "No space left on device"))

    assert adopted.output.join(PATIENCE_SECONDS)
    assert len(adopted.lines) == 3
    assert adopted.output.dropped_lines == 12


def test_an_adopted_collector_that_does_not_end_is_killed(serve: Callable[..., Server]) -> None:
    server = serve()
    adopted = Adopted(server.log_file, server.output.collector)

    assert not adopted.output.join(0.1)

    # Its own supervisor lives, in this test, and replaces it.
    wait_until(lambda: server.output.restarts == 1)


def test_both_kinds_of_output_are_read_alike(serve: Callable[..., Server]) -> None:
    server = serve()
    outputs: list[Output] = [server.output, Adopted(server.log_file, None).output]

    server.write(b"one\n")
    wait_until(lambda: all(output.tail == ("one",) for output in outputs))

    assert [output.dropped_lines for output in outputs] == [0, 0]
    assert all(output.join(PATIENCE_SECONDS) for output in reversed(outputs))

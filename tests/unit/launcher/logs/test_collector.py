"""The collector: every byte is read, lines are bounded, no key gets through, and nothing stops it.

What it does to files and pipes is tested on the real process.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import resource
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from launcher.logs import collector
from launcher.logs.collector import (
    BACKLOG_BYTES,
    DROPPED_CONTROL,
    DROPPED_NOTICE,
    LONGEST_LINE_BYTES,
    LineSplitter,
    LogFile,
    rotate,
)
from tests.unit.launcher.examples import SECRET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PATIENCE_SECONDS = 60.0
# Lines are cut early, so that small examples reach every case.
SHORT_LINE_BYTES = 16
KEY = "key-0123"
PIECES = st.sampled_from(
    [b"a", b"bc", "é".encode(), b"\xff", b" ", b"\n", b"\r", b"\0", KEY.encode(), b"key-"]
)


# --- lines -------------------------------------------------------------------------------------


def split(pieces: list[bytes], *secrets: str, in_the_middle: bool = False) -> list[bytes]:
    splitter = LineSplitter(secrets, in_the_middle=in_the_middle)
    lines = [line for piece in pieces for line in splitter.feed(piece)]
    return lines + splitter.finish()


def pieces_of(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(
    st.lists(PIECES, max_size=30).map(b"".join),
    st.lists(st.integers(0, 500), max_size=20),
    st.booleans(),
)
@example(b"x" * 12 + KEY.encode() + b"\n", [14], False)  # noqa: FBT003  # hypothesis takes no names
@example(b"x" * 40 + b"\n", [17, 18, 33], False)  # noqa: FBT003
@example(b"0123 and more\n", [2], True)  # noqa: FBT003
def test_lines_do_not_depend_on_how_the_output_arrives(
    data: bytes,
    cuts: list[int],
    in_the_middle: bool,  # noqa: FBT001  # hypothesis gives it
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(collector, "LONGEST_LINE_BYTES", SHORT_LINE_BYTES)

        lines = split(pieces_of(data, cuts), KEY, in_the_middle=in_the_middle)

        assert lines == split([data], KEY, in_the_middle=in_the_middle)
        assert all(len(line) <= SHORT_LINE_BYTES for line in lines)
        assert all(line.strip() for line in lines)
        assert not any(mark in b"".join(lines) for mark in (KEY.encode(), b"\n", b"\r", b"\0"))


@given(st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"])), max_size=10))
def test_every_line_with_something_in_it_comes_through(texts: list[str]) -> None:
    lines = [text.encode() for text in texts]

    assert split([b"".join(line + b"\n" for line in lines)]) == [
        line for line in lines if line.strip()
    ]


def test_a_bar_that_redraws_itself_is_a_line_each_time() -> None:
    assert split([b"  0%\r 50%", b"\r100%\r\nnext"]) == [b"  0%", b" 50%", b"100%", b"next"]


def test_a_line_without_end_is_cut_and_held_in_bounded_memory() -> None:
    splitter = LineSplitter()
    chunk = b"x" * 100_000
    lines = []
    for _ in range(50):
        lines += splitter.feed(chunk)
        assert len(splitter._rest) <= LONGEST_LINE_BYTES
    lines += splitter.finish()

    assert {len(line) for line in lines[:-1]} == {LONGEST_LINE_BYTES}
    assert sum(map(len, lines)) == 50 * len(chunk)


@pytest.mark.parametrize("before", [0, 1, SHORT_LINE_BYTES - 4, SHORT_LINE_BYTES, 40])
def test_a_key_that_lies_across_a_cut_does_not_get_through(
    monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    monkeypatch.setattr(collector, "LONGEST_LINE_BYTES", SHORT_LINE_BYTES)
    data = b"x" * before + SECRET.encode() + b"y" * 60

    for lines in (split([data], SECRET), split([bytes([byte]) for byte in data], SECRET)):
        shown = b"".join(lines).decode()
        assert shown == "x" * before + "[redacted]" + "y" * 60
        # Nor do parts of it.
        assert not any(SECRET[start : start + 6] in shown for start in range(len(SECRET) - 5))


def test_a_key_that_is_the_beginning_of_another_leaves_nothing_of_it() -> None:
    assert split([f"{SECRET}{KEY} {SECRET}\n".encode()], SECRET, SECRET + KEY) == [
        b"[redacted] [redacted]"
    ]


@pytest.mark.parametrize("cut", [1, 10, len(SECRET) - 4])
def test_the_second_half_of_a_key_whose_first_half_was_lost_does_not_get_through(cut: int) -> None:
    data = f"{SECRET[cut:]}', port=8000\n{SECRET[cut:]}\n".encode()

    first, second = split([data], SECRET, KEY, in_the_middle=True)

    assert first == b"[redacted]', port=8000"
    # Only where the output was cut: elsewhere it is a word like any other.
    assert second == SECRET[cut:].encode()
    assert split([data], SECRET)[0] == f"{SECRET[cut:]}', port=8000".encode()


def test_a_splitter_without_keys_changes_nothing() -> None:
    assert split([b"a [redacted] b\n"], "") == [b"a [redacted] b"]


# --- rotation ----------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in sorted(folder.iterdir())}


def test_a_rotation_moves_every_file_by_one_and_the_oldest_out(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for run in range(5):
        log.write_text(f"run {run}")
        rotate(str(log), 3)

    assert contents(tmp_path) == {"log.1": "run 4", "log.2": "run 3", "log.3": "run 2"}


def test_a_rotation_that_failed_half_way_pushes_nothing_out_when_tried_again(
    tmp_path: Path,
) -> None:
    for name in ("log", "log.2", "log.3"):
        (tmp_path / name).write_text(name)

    rotate(str(tmp_path / "log"), 3)

    assert contents(tmp_path) == {"log.1": "log", "log.2": "log.2", "log.3": "log.3"}


# --- the process -------------------------------------------------------------------------------


class Collector:
    """The real process on a pipe that the test writes to, and one that the test may read."""

    def __init__(
        self, log: Path, *secrets: str, before: tuple[str, ...] = (), **settings: Any
    ) -> None:
        source, self.server = os.pipe()
        told = {
            "source": source,
            "secrets": secrets,
            "rotate_bytes": 2**30,
            "keep_files": 5,
            "in_the_middle": False,
        }
        self.popen = subprocess.Popen(
            [*before, sys.executable, "-I", "-S", collector.__file__, str(log)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[source],
            cwd="/",
            start_new_session=True,
        )
        os.close(source)
        assert self.popen.stdin is not None
        assert self.popen.stdout is not None
        self.supervisor = self.popen.stdout
        self.popen.stdin.write(json.dumps(told | settings).encode())
        self.popen.stdin.close()

    def write(self, data: bytes) -> None:
        """Print as the server does: this waits where nobody reads."""
        while data:
            data = data[os.write(self.server, data) :]

    def end(self) -> int:
        """The end of the output; the exit code of the collector, which reacts to nothing else."""
        os.close(self.server)
        self.server = -1
        return self.popen.wait(PATIENCE_SECONDS)

    def end_and_hear(self) -> bytes:
        """The end of the output; what the collector has handed on since it was last listened to."""
        heard: list[bytes] = []
        reader = threading.Thread(target=lambda: heard.append(self.supervisor.read()))
        reader.start()
        assert self.end() == 0
        reader.join(PATIENCE_SECONDS)
        return heard[0]

    def status_bytes(self, field: str) -> int:
        status = Path(f"/proc/{self.popen.pid}/status").read_text()
        return 1024 * int(status.split(f"{field}:")[1].split()[0])

    def close(self) -> None:
        self.popen.kill()
        self.popen.wait()
        self.supervisor.close()
        if self.server >= 0:
            os.close(self.server)


class Start(Protocol):
    """Starts a collector that ends with the test."""

    def __call__(
        self, log: Path, *secrets: str, before: tuple[str, ...] = ..., **settings: Any
    ) -> Collector: ...


@pytest.fixture
def start() -> Iterator[Start]:
    with contextlib.ExitStack() as stack:

        def start(log: Path, *secrets: str, **settings: Any) -> Collector:
            started = Collector(log, *secrets, **settings)
            stack.callback(started.close)
            return started

        yield start


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def numbered(start: int, end: int) -> bytes:
    return b"".join(b"line %d\n" % number for number in range(start, end))


def test_what_is_printed_is_in_the_file_and_handed_on(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    collecting = start(log)

    collecting.write(b"one\n\n  0%\r 50%\rcaf\xc3\xa9")

    assert collecting.end() == 0
    assert collecting.supervisor.read() == "one\n  0%\n 50%\ncafé\n".encode()
    assert log.read_text() == "before\none\n  0%\n 50%\ncafé\n"


def test_a_new_file_is_its_owner_s_alone(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log")
    collecting.write(b"one\n")
    collecting.end()

    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600


def test_keys_reach_neither_the_file_nor_the_supervisor(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log", SECRET, KEY)

    collecting.write(f"server_args=(api_key='{SECRET[:9]}".encode())
    time.sleep(0.1)
    collecting.write(f"{SECRET[9:]}', admin_api_key='{KEY}')\r{KEY}".encode())

    assert collecting.end() == 0
    clean = "server_args=(api_key='[redacted]', admin_api_key='[redacted]')\n[redacted]\n"
    assert (tmp_path / "log").read_text() == clean
    assert collecting.supervisor.read().decode() == clean


def test_a_server_cannot_speak_in_the_collector_s_name(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log")

    collecting.write(DROPPED_CONTROL + b"7\n")

    assert collecting.end() == 0
    assert collecting.supervisor.read().decode() == "\ufffddropped_lines=7\n"


def test_it_is_small(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log")
    collecting.write(b"one\n")
    collecting.supervisor.readline()

    # About 11 MB, of which the interpreter itself is 9.
    assert collecting.status_bytes("VmHWM") < 20e6


def test_a_huge_line_without_end_keeps_its_memory_bounded(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log", SECRET)
    block = b"x" * 1_000_000

    for _ in range(200):
        collecting.write(block)
    wait_until(lambda: (tmp_path / "log").stat().st_size > 199e6)

    assert collecting.status_bytes("VmHWM") < 40e6
    assert collecting.end() == 0
    # Every byte is there, and a line end for each cut.
    size = (tmp_path / "log").stat().st_size
    assert size - 200 * len(block) == -(-200 * len(block) // LONGEST_LINE_BYTES)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_no_signal_that_people_send_ends_it(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    collecting = start(tmp_path / "log")
    collecting.write(b"one\n")
    # It is past its start.
    collecting.supervisor.readline()

    collecting.popen.send_signal(number)
    collecting.write(b"two\n")

    assert collecting.supervisor.readline() == b"two\n"
    assert collecting.end() == 0


def test_a_supervisor_that_stands_still_stalls_nobody_and_then_hears_the_newest(
    start: Start, tmp_path: Path
) -> None:
    collecting = start(tmp_path / "log")
    data = numbered(0, 500_000)

    collecting.write(data)
    wait_until(lambda: (tmp_path / "log").stat().st_size == len(data))
    heard = collecting.end_and_hear()

    assert (tmp_path / "log").read_bytes() == data
    lines = heard.splitlines()
    # From the middle some are skipped, and none is cut.
    assert len(lines) < 500_000
    assert lines[:2] == [b"line 0", b"line 1"]
    assert lines[-1] == b"line 499999"
    assert set(lines) < set(data.splitlines())
    assert len(heard) > BACKLOG_BYTES


def test_a_supervisor_that_never_reads_again_does_not_keep_it_from_ending(
    start: Start, tmp_path: Path
) -> None:
    collecting = start(tmp_path / "log")
    collecting.write(numbered(0, 100_000))

    assert collecting.end() == 0
    assert (tmp_path / "log").read_bytes() == numbered(0, 100_000)


def test_a_supervisor_that_is_gone_makes_no_difference(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log")
    collecting.write(numbered(0, 10))
    collecting.supervisor.close()

    collecting.write(numbered(10, 100_000))

    assert collecting.end() == 0
    assert (tmp_path / "log").read_bytes() == numbered(0, 100_000)


def test_the_log_is_rotated_between_lines_and_loses_none(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    collecting = start(log, rotate_bytes=200_000, keep_files=9)
    data = numbered(0, 100_000)

    collecting.write(data)

    assert collecting.end() == 0
    files = [log, *(tmp_path / f"log.{number}" for number in range(1, 10))]
    there = [file for file in files if file.exists()]
    assert len(there) > 5
    assert {stat.S_IMODE(file.stat().st_mode) for file in there} == {0o600}
    assert max(file.stat().st_size for file in there) <= 200_000
    assert b"".join(file.read_bytes() for file in reversed(there)) == data


def test_no_more_files_are_kept_than_asked_for(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log", rotate_bytes=100_000, keep_files=2)

    collecting.write(numbered(0, 100_000))

    assert collecting.end() == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log", "log.1", "log.2"]
    kept = b"".join((tmp_path / name).read_bytes() for name in ("log.2", "log.1", "log"))
    assert numbered(0, 100_000).endswith(kept)


def can_mount() -> bool:
    tried = subprocess.run(["/usr/bin/env", "unshare", "-m", "true"], check=False)
    return tried.returncode == 0


def make_read_only(folder: Path, pid: int) -> None:
    """For a process: nothing can be made or renamed there; what it has open, it may write."""
    if os.geteuid() != 0:
        folder.chmod(0o500)
        return
    # Permissions do not bind root; a mount does.
    enter = ["nsenter", "-t", str(pid), "-m", "mount"]
    subprocess.run([*enter, "--bind", str(folder), str(folder)], check=True)
    subprocess.run([*enter, "-o", "remount,bind,ro", str(folder)], check=True)


def test_a_folder_that_became_read_only_does_not_end_the_log(start: Start, tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    own_mounts = ("unshare", "-m") if os.geteuid() == 0 else ()
    collecting = start(folder / "log", before=own_mounts, rotate_bytes=1000)
    collecting.write(b"line 0\n")
    collecting.supervisor.readline()

    make_read_only(folder, collecting.popen.pid)
    collecting.write(numbered(1, 10_000))

    assert collecting.end() == 0
    folder.chmod(0o700)
    assert contents(folder) == {"log": numbered(0, 10_000).decode()}


def test_the_log_of_a_later_run_is_not_touched(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    collecting = start(log, rotate_bytes=100)
    collecting.write(b"line 0\n")
    collecting.supervisor.readline()

    # A later run begins.
    log.rename(tmp_path / "log.1")
    log.write_text("later\n")
    collecting.write(numbered(1, 100))

    assert collecting.end() == 0
    assert contents(tmp_path) == {"log": "later\n", "log.1": numbered(0, 100).decode()}


def test_a_log_that_somebody_removed_begins_again_with_the_next_line(
    start: Start, tmp_path: Path
) -> None:
    """Also where its folder went with it, once that is back; nobody reads a file without a name."""
    folder = tmp_path / "server"
    folder.mkdir()
    log = folder / "log"
    collecting = start(log)
    collecting.write(b"one\n")
    wait_until(lambda: log.exists() and log.read_text() == "one\n")
    log.unlink()
    collecting.write(b"two\n")
    wait_until(lambda: log.exists() and log.read_text() == "two\n")
    log.unlink()
    folder.rmdir()
    collecting.write(b"three\n")
    time.sleep(0.1)
    folder.mkdir()
    collecting.write(b"four\n")
    wait_until(lambda: log.exists() and log.read_text() == "four\n")
    assert collecting.end() == 0
    assert collecting.supervisor.read() == b"one\ntwo\nthree\nfour\n"


def test_a_log_that_somebody_moved_away_begins_again(start: Start, tmp_path: Path) -> None:
    collecting = start(tmp_path / "log", rotate_bytes=100)
    collecting.write(b"line 0\n")
    collecting.supervisor.readline()

    (tmp_path / "log").rename(tmp_path / "mine")
    collecting.write(numbered(1, 100))

    assert collecting.end() == 0
    assert contents(tmp_path) == {
        "mine": "line 0\n",
        "log": numbered(1, 100).decode(),
    }


# --- a disk that is full -----------------------------------------------------------------------


def gaps(text: str) -> list[int]:
    """How many lines each notice says are missing."""
    notices = [line for line in text.splitlines() if DROPPED_NOTICE in line]
    return [int(line.split("specserve: ")[1].split()[0]) for line in notices]


def test_a_disk_that_is_full_stops_neither_the_drain_nor_the_supervisor(start: Start) -> None:
    collecting = start(Path("/dev/full"))
    # More than the pipe holds: this would stand still if nobody read.
    collecting.write(numbered(0, 8_000))
    *lines, control = collecting.end_and_hear().splitlines(keepends=True)

    assert control == DROPPED_CONTROL + b"8000\n"
    assert [line for line in lines if not line.startswith(DROPPED_CONTROL)] == numbered(
        0, 8_000
    ).splitlines(keepends=True)


def test_a_folder_that_is_not_there_is_like_a_full_disk(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "log"
    collecting = start(log)
    collecting.write(b"lost\n")
    assert collecting.supervisor.readline() == b"lost\n"
    assert collecting.supervisor.readline() == DROPPED_CONTROL + b"1\n"

    log.parent.mkdir()
    collecting.write(b"kept\n")

    assert collecting.end() == 0
    notice, kept = log.read_text().splitlines()
    assert kept == "kept"
    assert "specserve: 1 lines are missing here: No such file or directory" in notice


def test_a_file_that_may_not_grow_keeps_whole_lines_and_goes_on_once_it_may(
    start: Start, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    collecting = start(log)
    collecting.write(b"0123456\n")
    collecting.supervisor.readline()
    soft, hard = resource.prlimit(collecting.popen.pid, resource.RLIMIT_FSIZE)

    # Room for one line and a half.
    resource.prlimit(collecting.popen.pid, resource.RLIMIT_FSIZE, (20, hard))
    collecting.write(b"1123456\n2123456\n3123456\n")
    heard = [collecting.supervisor.readline() for _ in range(4)]
    assert heard[-1] == DROPPED_CONTROL + b"2\n"
    assert log.read_bytes() == b"0123456\n1123456\n"
    resource.prlimit(collecting.popen.pid, resource.RLIMIT_FSIZE, (soft, hard))
    collecting.write(b"4123456\n")

    assert collecting.end() == 0
    lines = log.read_text().splitlines()
    assert [line for line in lines if DROPPED_NOTICE not in line] == [
        "0123456",
        "1123456",
        "4123456",
    ]
    assert gaps(log.read_text()) == [2]


def test_lines_that_are_missing_at_the_very_end_are_noted_too(
    tmp_path: Path,
) -> None:
    log = LogFile(str(tmp_path / "log"), rotate_bytes=1000, keep_files=1)
    log.write([b"one"])
    log.dropped_lines = 3

    log.close()

    assert gaps((tmp_path / "log").read_text()) == [3]


@pytest.mark.skipif(not can_mount(), reason="only root may mount a small disk")
def test_a_disk_that_fills_up_and_is_cleared_costs_only_the_lines_in_between(
    start: Start, tmp_path: Path
) -> None:
    mount = 'mount -t tmpfs -o size=1m none "$1" && shift && exec "$@"'
    disk = tmp_path / "disk"
    disk.mkdir()
    collecting = start(disk / "log", before=("unshare", "-m", "sh", "-c", mount, "sh", str(disk)))
    collecting.write(b"line 0\n")
    collecting.supervisor.readline()
    # The disk as the collector sees it.
    seen = Path(f"/proc/{collecting.popen.pid}/root{disk}")

    with (seen / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
        while True:
            ballast.write(b"x" * 4096)
    collecting.write(numbered(1, 50_000))
    while collecting.supervisor.readline() != b"line 49999\n":
        pass
    (seen / "ballast").unlink()
    collecting.write(b"line 50000\n")
    while collecting.supervisor.readline() != b"line 50000\n":
        pass

    text = (seen / "log").read_text()
    kept = [line for line in text.splitlines() if DROPPED_NOTICE not in line]
    # What is there is whole, in order, and was counted.
    assert kept[0] == "line 0"
    assert kept[-1] == "line 50000"
    assert set(kept) <= {f"line {number}" for number in range(50_001)}
    assert sum(gaps(text)) == 50_001 - len(kept) > 0
    assert "No space left on device" in text
    assert collecting.supervisor.readline() == DROPPED_CONTROL + b"%d\n" % sum(gaps(text))
    assert collecting.end() == 0

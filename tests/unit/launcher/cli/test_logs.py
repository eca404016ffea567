"""`logs`: which lines are printed, from when on, and until when."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click
import pytest

from launcher.cli.running import logs as cli_logs
from launcher.cli.running.logs import judge_events, judge_lines, parse_since
from launcher.errors import NotRunningError, StateError
from launcher.logs.collector import rotate
from launcher.logs.files import begin
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from tests.unit.launcher.examples import make_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from launcher.state.record import RunRecord

PATIENCE_SECONDS = 60.0
NOW = datetime(2026, 11, 23, 14, 0, 0, tzinfo=UTC)  # 15:00 in Berlin


@pytest.fixture(autouse=True)
def berlin() -> Iterator[None]:
    """A zone that is not UTC, and has summer time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def store() -> RunStore:
    store = RunStore("default")
    store.create()
    return store


@pytest.fixture
def record(store: RunStore) -> Iterator[RunRecord]:
    """A server that runs: its supervisor is this process, which holds the lock."""
    record = make_record(store.folder, started_at=datetime.now(UTC) - timedelta(hours=1))
    store.write(record)
    begin(store.log_file)
    with store.lock():
        yield record


def logs(*arguments: str) -> None:
    cli_logs.logs.main(args=list(arguments), standalone_mode=False)


def stamp(minutes_ago: float) -> str:
    """A time as SGLang writes it."""
    at = datetime.now(UTC).astimezone() - timedelta(minutes=minutes_ago)
    return f"[{at:%Y-%m-%d %H:%M:%S}"


# --- since when --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", "2026-11-23T13:58:30+00:00"),
        ("10m", "2026-11-23T13:50:00+00:00"),
        ("1.5h", "2026-11-23T12:30:00+00:00"),
        ("1h30m", "2026-11-23T12:30:00+00:00"),
        ("2d", "2026-11-21T14:00:00+00:00"),
        ("10:00", "2026-11-23T09:00:00+00:00"),
        ("9:05", "2026-11-23T08:05:00+00:00"),
        ("10:00:30", "2026-11-23T09:00:30+00:00"),
        ("15:00", "2026-11-23T14:00:00+00:00"),
        ("15:01", "2026-11-22T14:01:00+00:00"),
        ("2026-11-23", "2026-11-22T23:00:00+00:00"),
        ("2026-11-23T10:00", "2026-11-23T09:00:00+00:00"),
        ("2026-11-23 10:00:05", "2026-11-23T09:00:05+00:00"),
        ("2026-07-01T10:00", "2026-07-01T08:00:00+00:00"),
        ("2026-11-23T10:00Z", "2026-11-23T10:00:00+00:00"),
        ("2026-11-23T10:00+09:00", "2026-11-23T01:00:00+00:00"),
    ],
)
def test_a_time_is_a_duration_a_time_of_day_or_a_date(text: str, expected: str) -> None:
    assert parse_since(text, NOW).astimezone(UTC).isoformat() == expected


@pytest.mark.parametrize("text", ["", "10", "m", "10 m", "-5m", "ten", "25:00", "2026-13-01"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_since(text, NOW)


@pytest.mark.parametrize("text", ["yesterday", "99999999999999h"])
@pytest.mark.usefixtures("record")
def test_wrong_usage_says_what_a_time_looks_like(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a duration"):
        logs("--since", text)


@pytest.mark.parametrize(
    ("line", "late"),
    [
        (b"[2026-11-23 14:59:59] Decode batch", False),
        (b"[2026-11-23 15:00:00] Decode batch", True),
        (b"[2026-11-23 15:00:00.001 TP1] Decode batch", True),
        (b"[2026-11-23 15:00:01 TP0] Decode batch", True),
        (b"Traceback (most recent call last):", None),
        (b"see [2026-11-23 15:00:01]", None),
        (b"", None),
    ],
)
def test_a_line_s_time_is_local_and_stands_at_its_beginning(line: bytes, late: bool | None) -> None:  # noqa: FBT001
    assert judge_lines(NOW)(line) is late


@pytest.mark.parametrize(
    ("line", "late"),
    [
        (b'{"event": "server.state", "at": "2026-11-23T13:59:59.999+00:00"}', False),
        (b'{"event": "server.state", "at": "2026-11-23T14:00:00.000+00:00"}', True),
        (b'{"event": "server.state", "at": "2026-11-23T14:00:00Z"}', True),
        (b'{"event": "server.state"}', None),
        (b'{"event": "server.st', None),
        (b'"at"', None),
        (b'{"at": 5}', None),
    ],
)
def test_an_event_s_time_is_its_own(line: bytes, late: bool | None) -> None:  # noqa: FBT001
    assert judge_events(NOW)(line) is late


# --- the command -------------------------------------------------------------------------------


def test_the_last_lines_are_printed_across_files(
    record: RunRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    record.log_file.write_text("one\ntwo\n")
    rotate(str(record.log_file), 5)
    record.log_file.write_text("three\ncaf\u00e9\n")

    logs("-n", "3")
    assert capfd.readouterr().out == "two\nthree\ncaf\u00e9\n"
    logs("-n", "0")
    assert capfd.readouterr().out == ""


def test_without_a_number_the_last_hundred_are_printed(
    record: RunRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    record.log_file.write_text("".join(f"line {number}\n" for number in range(150)))

    logs()

    assert capfd.readouterr().out.splitlines() == [f"line {number}" for number in range(50, 150)]


def test_lines_of_an_earlier_run_are_printed_where_a_time_asks_for_them(
    record: RunRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    record.log_file.write_text(f"{stamp(130)}] long ago\n{stamp(100)}] former run\n")
    two_hours_ago = time.time() - 100 * 60
    os.utime(record.log_file, (two_hours_ago, two_hours_ago))
    begin(record.log_file)
    record.log_file.write_text(f"{stamp(30)}] this run\n")

    logs()
    assert capfd.readouterr().out.count("] this run\n") == 1
    logs("-n", "50")
    assert "former run" not in capfd.readouterr().out
    logs("--since", "2h")
    shown = capfd.readouterr().out
    assert [line.split("] ")[1] for line in shown.splitlines()] == ["former run", "this run"]


def test_since_prints_all_from_then_on_with_the_lines_that_have_no_time(
    record: RunRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    old = f"{stamp(20)}] old\nTraceback of old\n"
    new = f"{stamp(5)} TP1] new\nTraceback of new\n" + "more\n" * 200
    record.log_file.write_text(old + new)

    logs("--since", "10m")
    assert capfd.readouterr().out == new
    logs("--since", "10m", "-n", "2")
    assert capfd.readouterr().out == "more\nmore\n"
    logs("--since", "1m")
    assert capfd.readouterr().out == ""


def test_events_are_chosen_by_their_own_time_and_from_all_runs(
    record: RunRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    def event(minutes_ago: float) -> str:
        at = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        return f'{{"event": "server.state", "at": "{at.isoformat(timespec="milliseconds")}"}}\n'

    old, new, without = event(300), event(5), '{"event": "server.state"}\n'
    record.events_file.write_text(old + without + new)

    logs("--events")
    assert capfd.readouterr().out == old + without + new
    logs("--events", "--since", "10m")
    assert capfd.readouterr().out == new


def test_following_goes_on_over_rotations_and_ends_with_the_server(
    store: RunStore, record: RunRecord, capfd: pytest.CaptureFixture[str]
) -> None:
    record.log_file.write_text("before\n")
    shown: list[str] = []

    def wait_for(word: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while word not in "".join(shown) and time.monotonic() < deadline:
            shown.append(capfd.readouterr().out)
            time.sleep(0.01)
        assert word in "".join(shown)

    following = threading.Thread(target=logs, args=("-f", "-n", "1"))
    following.start()
    try:
        wait_for("before")
        for number in range(3):
            with record.log_file.open("a") as file:
                file.write(f"end of file {number}\n")
            rotate(str(record.log_file), 5)
            record.log_file.write_text(f"beginning of file {number + 1}\n")
            wait_for(f"beginning of file {number + 1}")
        # A new run.
        begin(record.log_file)
        record.log_file.write_text("new run\n")
        wait_for("new run")
    finally:
        with record.log_file.open("a") as file:
            file.write("last words")
        store.write(record.model_copy(update={"state": ServerState.STOPPED}))
        following.join(PATIENCE_SECONDS)

    assert not following.is_alive()
    assert ("".join(shown) + capfd.readouterr().out).splitlines() == [
        "before",
        *("end of file 0", "beginning of file 1", "end of file 1", "beginning of file 2"),
        *("end of file 2", "beginning of file 3", "new run", "last words"),
    ]


def test_a_reader_that_has_had_enough_ends_it_without_a_word(record: RunRecord) -> None:
    record.log_file.write_text("line\n" * 1_000_000)
    code = "from launcher.cli.running.logs import logs; logs.main(args=['-n', '1000000'])"

    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as printing:
        assert printing.stdout is not None
        assert printing.stderr is not None
        assert printing.stdout.readline() == b"line\n"
        printing.stdout.close()
        assert printing.stderr.read() == b""
    assert printing.returncode == 0


def test_a_server_that_never_was_has_no_log(store: RunStore) -> None:
    with pytest.raises(NotRunningError, match="'ghost' was ever started") as caught:
        logs("--name", "ghost")
    assert "Start one" in caught.value.action

    store.write(make_record(store.folder))
    with pytest.raises(NotRunningError) as caught:
        logs("--name", "ghost")
    assert "Known names: default" in caught.value.action


def test_a_log_that_was_removed_is_an_error_with_its_name(
    record: RunRecord, tmp_path: Path
) -> None:
    record.log_file.unlink()

    with pytest.raises(StateError, match="server.log cannot be read: No such file"):
        logs()
    assert tmp_path in record.log_file.parents


def test_help_names_every_option(capfd: pytest.CaptureFixture[str]) -> None:
    logs("--help")

    shown = capfd.readouterr().out
    assert all(option in shown for option in ("--name", "-f", "-n", "--since", "--events"))

"""Standard output that takes nothing, is closed, or is a terminal that would obey."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from launcher import errors
from launcher.cli.display.consoles import SafeConsole
from launcher.cli.display.progress import StartDisplay, show_error
from launcher.state.events import PhaseProgress, ServerCrashed
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from tests.unit.launcher.examples import make_record

PATIENCE_SECONDS = 60
ESCAPES = "\x1b[2J\x1b]0;title\x07\x9b31m\u202eevil\u2028line\rover\x00"
# Each prints something, whatever has run here.
COMMANDS = (
    ("status",),
    ("status", "--json"),
    ("down",),
    ("down", "--all", "--json"),
    ("logs",),
    ("logs", "--raw"),
    ("config", "show", "--preset", "nano"),
    ("models", "--json"),
    ("--help",),
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a server that has ended, and has printed a line."""
    store = RunStore("default", root=tmp_path / "specserve" / "servers")
    store.create()
    store.write(make_record(store.folder, state=ServerState.STOPPED))
    store.log_file.write_text("a line\n")
    return tmp_path


def run(
    *words: str, state: Path, out: int | None = None, err: int | None = None, redirect: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a real command; `redirect` is what redirects its streams."""
    argv = [sys.executable, "-m", "launcher", *words]
    return subprocess.run(
        ["sh", "-c", f'exec "$@" {redirect}', "sh", *argv] if redirect else argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if out is None else out,
        stderr=subprocess.PIPE if err is None else err,
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        text=True,
        check=False,
        timeout=PATIENCE_SECONDS,
    )


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_full_disk_behind_standard_output_is_an_error_of_its_own(
    state: Path, words: tuple[str, ...]
) -> None:
    done = run(*words, state=state, redirect=">/dev/full")

    assert done.returncode == errors.OutputError.exit_code, done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_reader_that_has_had_enough_is_no_failure(state: Path, words: tuple[str, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(*words, state=state, out=writing)
    finally:
        os.close(writing)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_standard_output_is_nobody_s_file(state: Path) -> None:
    for words in COMMANDS[:4]:
        done = run(*words, state=state, redirect=">&- 2>&- <&-")
        assert done.returncode == 0
    record = RunStore("default", root=state / "specserve" / "servers").read()
    assert record is not None


def test_an_error_that_nobody_can_be_told_keeps_its_exit_code(state: Path) -> None:
    for redirect in ("2>/dev/full", ">/dev/full 2>/dev/full", "2>&-"):
        done = run("logs", "--name", "nobody", state=state, redirect=redirect)
        assert done.returncode == errors.NotRunningError.exit_code, redirect


def test_a_state_folder_that_cannot_be_looked_into_is_told(tmp_path: Path) -> None:
    (tmp_path / "specserve").write_text("in the way")
    for words in COMMANDS[:6]:
        done = run(*words, state=tmp_path)
        assert done.returncode == errors.ForeignStateError.exit_code, words
        assert "Traceback" not in done.stderr


def test_a_server_that_was_started_with_a_careless_umask_is_ours_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        RunStore("a", root=tmp_path / "new" / "specserve" / "servers").create()
    finally:
        os.umask(before)
    for folder in ("new", "new/specserve", "new/specserve/servers", "new/specserve/servers/a"):
        assert (tmp_path / folder).stat().st_mode & 0o777 == 0o700


# --- what a terminal would act on --------------------------------------------------------------


@pytest.fixture
def terminal() -> tuple[SafeConsole, io.StringIO]:
    """A console that takes its stream for a terminal, in 256 colours."""
    stream = io.StringIO()
    return SafeConsole(file=stream, force_terminal=True, width=200), stream


def assert_nothing_is_obeyed(shown: str) -> None:
    for sequence in ("\x1b[2J", "\x1b]0;", "\x07", "\x9b", "\u202e", "\u2028", "\x00"):
        assert sequence not in shown, shown
    assert "\\x1b[2J" in shown


def test_an_error_with_escapes_is_only_read(terminal: tuple[SafeConsole, io.StringIO]) -> None:
    console, stream = terminal
    error = errors.StateError(ESCAPES, action=ESCAPES, evidence=(ESCAPES,))

    show_error(console, error)

    assert_nothing_is_obeyed(stream.getvalue())
    assert "\x1b[1;31m" in stream.getvalue()  # its own colours


def test_a_table_with_escapes_is_only_read(terminal: tuple[SafeConsole, io.StringIO]) -> None:
    console, stream = terminal
    table = Table("of a stranger")
    table.add_row(Text(ESCAPES))

    console.print(table)

    assert_nothing_is_obeyed(stream.getvalue())


def test_events_of_a_stranger_are_neither_obeyed_nor_markup(
    terminal: tuple[SafeConsole, io.StringIO],
) -> None:
    console, stream = terminal
    display = StartDisplay(console)
    bad = f"[/b][link=x]{ESCAPES}"
    with display.show():
        display.feed(PhaseProgress(run_id="", elapsed_seconds=0.0, phase=bad))
        display.feed(
            ServerCrashed(
                run_id="", elapsed_seconds=0.0, error="", problem=bad, cause=None, evidence=(),
                failures=1, allowed=2, restart_in_seconds=1.0,
            )
        )  # fmt: skip

    assert_nothing_is_obeyed(stream.getvalue())
    assert "[/b]" in stream.getvalue()


def test_a_log_is_only_read_unless_it_is_asked_for_raw(state: Path) -> None:
    log = state / "specserve" / "servers" / "default" / "server.log"
    log.write_bytes(f"\x1b[32mgreen\x1b[0m {ESCAPES}\n".encode() + b"\xff\xfe\n")

    shown = run("logs", state=state).stdout
    assert_nothing_is_obeyed(shown)
    assert shown.startswith("green \\x1b[2J")
    assert "\\xff\\xfe" in shown
    raw = subprocess.run(
        [sys.executable, "-m", "launcher", "logs", "--raw"],
        env={**os.environ, "XDG_STATE_HOME": str(state)},
        capture_output=True,
        check=True,
        timeout=PATIENCE_SECONDS,
    ).stdout
    assert raw == log.read_bytes()

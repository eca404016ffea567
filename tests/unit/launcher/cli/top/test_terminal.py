"""`top` in a terminal of its own: keys, Ctrl-C, sizes, colours, and what it leaves behind."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator

import pytest

from tests.project import PROJECT

PATIENCE_SECONDS = 30.0
LEAVES = b"\x1b[?1049l"
ENTERS = b"\x1b[?1049h"


class Terminal:
    """One with `top` in it."""

    def __init__(self, columns: int = 80, lines: int = 24, **environment: str) -> None:
        self.own, other = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(other)
        self.other = other
        clean = {k: v for k, v in os.environ.items() if k not in {"NO_COLOR", "COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "launcher", "top", "--interval", "0.5"],
            cwd=PROJECT,
            stdin=other,
            stdout=other,
            stderr=other,
            env=clean | {"TERM": "xterm-256color"} | environment,
            start_new_session=True,
            # By it the terminal becomes the one from which Ctrl-C comes.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509
        )
        self.shown = b""

    def resize(self, columns: int, lines: int) -> None:
        """As a window manager does."""
        fcntl.ioctl(self.own, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        """As a person does."""
        os.write(self.own, keys.encode())

    def wait_for(self, text: bytes) -> bytes:
        """What was painted until a text was, from the last call on."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while text not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            if select.select([self.own], [], [], 0.2)[0]:
                self.shown += os.read(self.own, 65536)
        seen, _, self.shown = self.shown.partition(text)
        return seen + text

    def end(self) -> int:
        """Its exit code; the terminal must be as it was before."""
        self.wait_for(LEAVES)
        code = self.process.wait(PATIENCE_SECONDS)
        assert termios.tcgetattr(self.other) == self.before
        return code


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    if made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    os.close(made.own)
    os.close(made.other)


def test_keys_pause_sort_and_quit(terminal: Terminal) -> None:
    terminal.wait_for(ENTERS)
    terminal.wait_for(b"No server runs here")
    terminal.press("p")
    terminal.wait_for(b"paused")
    terminal.press(" ")
    terminal.wait_for(b"pause")
    terminal.press("\x1b[A\x1b[B2sq")
    assert terminal.end() == 0


def test_ctrl_c_is_how_one_ends_it(terminal: Terminal) -> None:
    terminal.wait_for(b"No server runs here")
    terminal.press("\x03")
    assert terminal.end() == 0


def test_ctrl_z_does_not_leave_a_broken_terminal_behind(terminal: Terminal) -> None:
    terminal.wait_for(b"No server runs here")
    terminal.press("\x1aq")
    assert terminal.end() == 0


def test_it_is_painted_anew_in_another_size(terminal: Terminal) -> None:
    terminal.wait_for(b"No server runs here")
    terminal.press("p")
    terminal.wait_for(b"paused")
    terminal.wait_for(b"one alone")
    terminal.resize(120, 40)
    os.killpg(terminal.process.pid, signal.SIGWINCH)
    # 39 line ends of one picture, while nothing else changes.
    assert terminal.wait_for(b"one alone").count(b"\n") >= 38
    terminal.press("q")
    assert terminal.end() == 0


def test_a_terminal_that_is_closed_ends_it(terminal: Terminal) -> None:
    terminal.wait_for(b"No server runs here")
    os.killpg(terminal.process.pid, signal.SIGHUP)
    assert terminal.process.wait(PATIENCE_SECONDS) != 0


def test_no_color_means_no_colour() -> None:
    terminal = Terminal(NO_COLOR="1")
    shown = terminal.wait_for(b"No server runs here")
    terminal.press("q")
    terminal.end()
    os.close(terminal.own)
    os.close(terminal.other)
    # 30 to 37 and 90 to 97: foregrounds.
    assert not [code for code in range(30, 38) if f"\x1b[{code}m".encode() in shown]


def test_a_pipe_gets_lines_and_ends_with_its_reader() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "launcher", "top", "--interval", "0.5"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 0
    assert b"No server runs here" in line
    assert b"\x1b" not in line

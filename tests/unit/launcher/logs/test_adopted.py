"""The collector of a server that was taken over ends, and another one reads on."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from launcher.logs import files
from launcher.logs.adopted import AdoptedOutput
from launcher.logs.collector_process import CollectorProcess, CollectorSettings
from launcher.system.process import ProcessIdentity, wait_until_gone

PATIENCE_SECONDS = 60.0
KEY = "key-0123"
# Says a line for each that it hears.
SERVER = """
import sys
for line in sys.stdin:
    try:
        print(line.strip(), flush=True)
    except BrokenPipeError:
        pass
"""


@dataclass
class Orphan:
    """A server with a collector, whose supervisor has gone with the pipe's reading end."""

    folder: Path
    collector: CollectorProcess = field(init=False)
    server: subprocess.Popen[str] = field(init=False)

    def __post_init__(self) -> None:
        self.settings = CollectorSettings(
            self.folder / "server.log", (KEY,), files.ROTATE_BYTES, files.KEEP_FILES
        )
        self.server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.server.stdout is not None
        self.collector = CollectorProcess.spawn(
            self.settings, self.server.stdout.fileno(), in_the_middle=False
        )
        self.server.stdout.close()
        self.say("first")
        wait_until(lambda: "first" in self.log)

    def say(self, line: str) -> None:
        assert self.server.stdin is not None
        self.server.stdin.write(f"{line}\n")
        self.server.stdin.flush()

    def kill_collector(self) -> None:
        self.collector.popen.kill()
        self.collector.popen.wait()

    @property
    def log(self) -> str:
        with contextlib.suppress(FileNotFoundError):
            return self.settings.log_file.read_text()
        return ""

    def close(self) -> None:
        self.server.kill()
        self.server.wait()
        assert self.server.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.server.stdin.close()
        self.kill_collector()
        self.collector.close()


@pytest.fixture
def orphan(tmp_path: Path) -> Iterator[Orphan]:
    orphan = Orphan(tmp_path)
    yield orphan
    orphan.close()


class Adopted:
    """What takes it over."""

    def __init__(self, orphan: Orphan, server: ProcessIdentity | None = None) -> None:
        self.lines: list[str] = []
        self.replacements: list[ProcessIdentity] = []
        self.lost = threading.Event()
        self.output = AdoptedOutput(
            orphan.settings,
            orphan.collector.identity,
            server or ProcessIdentity.of(orphan.server.pid),
            on_line=self.lines.append,
            on_restart=self.replacements.append,
            on_lost=self.lost.set,
            poll_seconds=0.02,
        )


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_collector_that_ends_after_a_takeover_is_replaced_again_and_again(
    orphan: Orphan,
) -> None:
    adopted = Adopted(orphan)
    orphan.kill_collector()
    # While nobody reads: it waits in the pipe.
    orphan.say("second")
    wait_until(lambda: adopted.lines == ["second"])
    adopted.replacements[-1].send_signal(signal.SIGKILL)
    orphan.say(f"third {KEY}")
    wait_until(lambda: adopted.lines == ["second", "third [redacted]"])
    assert adopted.output.collector == adopted.replacements[-1]
    assert len(adopted.replacements) == 2
    assert not adopted.lost.is_set()

    orphan.server.kill()
    assert adopted.output.join(PATIENCE_SECONDS)
    assert wait_until_gone(adopted.replacements[-1], timeout_seconds=PATIENCE_SECONDS)
    assert len(adopted.replacements) == 2


def test_a_collector_that_went_before_the_takeover_is_replaced_too(orphan: Orphan) -> None:
    orphan.kill_collector()
    orphan.say("nobody reads this")
    adopted = Adopted(orphan)
    wait_until(lambda: len(adopted.replacements) == 1)
    orphan.say("second")
    wait_until(lambda: adopted.lines[-1:] == ["second"])
    orphan.server.kill()
    assert adopted.output.join(PATIENCE_SECONDS)


def test_where_none_can_take_its_place_that_is_told_once(orphan: Orphan) -> None:
    with subprocess.Popen(["/bin/sleep", "60"], stdout=subprocess.DEVNULL) as other:
        adopted = Adopted(orphan, ProcessIdentity.of(other.pid))
        orphan.kill_collector()
        assert adopted.lost.wait(PATIENCE_SECONDS)
        other.kill()
    assert adopted.output.join(PATIENCE_SECONDS)
    assert adopted.replacements == []

"""Since when a process stands still."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from launcher.supervision.watches.stopped import StoppedProcesses
from launcher.system.proc_stat import read_stat
from launcher.system.process import ProcessIdentity


class Clock:
    """Goes as it is told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def process() -> Iterator[ProcessIdentity]:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        yield ProcessIdentity.of(child.pid)
        child.kill()


def send(process: ProcessIdentity, number: signal.Signals, *, states: str) -> None:
    assert process.send_signal(number)
    deadline = time.monotonic() + 30
    while read_stat(process.pid).state not in states:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_only_one_that_stands_still_at_each_look_is_told(process: ProcessIdentity) -> None:
    clock = Clock()
    stopped = StoppedProcesses(20, clock=clock)
    seen = []
    for now, number, states in (
        (0, signal.SIGCONT, "RS"),
        (10, signal.SIGSTOP, "T"),
        (29, signal.SIGSTOP, "T"),
        (30, signal.SIGSTOP, "T"),
        (40, signal.SIGCONT, "RS"),
        (50, signal.SIGSTOP, "T"),
        (69, signal.SIGSTOP, "T"),
        (70, signal.SIGSTOP, "T"),
    ):
        clock.now = now
        send(process, number, states=states)
        if stopped.look([process]):
            seen.append(now)
    assert seen == [30, 70]


def test_one_that_has_gone_is_not_told() -> None:
    with subprocess.Popen(["/bin/sleep", "60"]) as child:
        identity = ProcessIdentity.of(child.pid)
        child.kill()
    assert StoppedProcesses(0).look([identity]) == []

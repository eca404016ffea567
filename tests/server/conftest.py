"""Real servers on a CPU, started by the launcher's own command line.

A start takes 20 to 60 s on 2 cores, so one server, `eagle`, lives for the whole session; the tests
that need another kind start it for as long as one module.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import pytest

from launcher.cli import main
from launcher.serving import free_port
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.members import find_members
from launcher.system.ports import is_listening

SERVER_FOLDER = Path(__file__).parent
# All that a supervisor handles, SIGALRM included, by which pytest-timeout ends a test that hangs.
HANDLED_SIGNALS = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}

T = TypeVar("T")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Everything below this folder drives the real server."""
    spawning = config.getoption("--no-shared-imports")
    for item in items:
        if SERVER_FOLDER in item.path.parents:
            item.add_marker(pytest.mark.server)
            # A limit for what hangs, not a figure: the first test of a module waits for its
            # servers and, in test_benchmarks, for a whole run of them.
            item.add_marker(pytest.mark.timeout(1800))
            if spawning and item.path.name == "test_restarts.py":
                item.add_marker(pytest.mark.skip(reason="it is about shared imports"))


def run_cli(*arguments: str) -> int:
    """The command line in this process; returns its exit code."""
    before = sys.argv
    sys.argv = ["launcher", *arguments]
    try:
        main.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
    raise AssertionError("main() always exits")


@contextlib.contextmanager
def server(name: str, *arguments: str) -> Iterator[RunRecord]:
    """A server in the background, for as long as the block runs."""
    try:
        code = run_cli("up", "--detach", "--preset", "nano", "--name", name,
                       "--port", str(free_port()), *arguments)  # fmt: skip
        assert code == 0, RunStore(name).log_file.read_text()[-3000:]
        yield record_of(name)
    finally:
        assert run_cli("down", "--name", name) == 0


def record_of(name: str) -> RunRecord:
    """The run record as it is now."""
    record = RunStore(name).read()
    assert record is not None
    return record


@pytest.fixture(scope="session", autouse=True)
def _state_of_its_own(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        for variable in [name for name in os.environ if name.startswith("SPECSERVE_")]:
            patch.delenv(variable)
        if request.config.getoption("--no-shared-imports"):
            patch.setenv("SPECSERVE_SHARED_IMPORTS", "false")
        yield


@pytest.fixture(scope="session")
def eagle() -> Iterator[RunRecord]:
    """EAGLE with 3 draft steps, top-k 1, 4 draft tokens, in float32: the preset as it is."""
    with server("eagle") as record:
        yield record


def in_foreground(name: str, *arguments: str, use: Callable[[RunRecord], T]) -> tuple[int, T]:
    """Run `up` in the foreground, use the server once it is ready, then press Ctrl-C.

    Returns:
        The exit code of `up`, and what `use` returned.
    """
    ended = threading.Event()

    def use_and_interrupt() -> T:
        try:
            while (record := RunStore(name).read()) is None or record.state != "READY":
                assert not ended.wait(0.1), "the server ended before it was ready"
            return use(record)
        finally:
            if not ended.is_set():
                os.kill(os.getpid(), signal.SIGINT)

    # The launcher's signal handlers live in the main thread, so the user is another one.
    handlers = {number: signal.getsignal(number) for number in HANDLED_SIGNALS}
    with ThreadPoolExecutor(max_workers=1) as pool:
        used = pool.submit(use_and_interrupt)
        try:
            code = run_cli("up", "--preset", "nano", "--name", name,
                           "--port", str(free_port()), *arguments)  # fmt: skip
        finally:
            ended.set()
            for number, handler in handlers.items():
                if handler is not None:
                    signal.signal(number, handler)
    return code, used.result()


def assert_nothing_is_left(name: str) -> None:
    """No process of the server's, and its port closed."""
    record = record_of(name)
    assert record.server is not None
    assert find_members(record.server, record.run_id) == []
    assert not is_listening("127.0.0.1", int(record.base_url.rpartition(":")[2]))

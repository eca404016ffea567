"""A stop is handed to SGLang's own function as soon as that has nothing to wait for."""

from __future__ import annotations

import ast
import asyncio
import importlib.util
import subprocess
import sys
import textwrap
import types
from pathlib import Path
from typing import Any

import pytest

from launcher.engines.sglang.plugins.lifecycle import prompt_stop
from launcher.names import RUN_ID_VARIABLE


class Manager:
    """What the hook reads of SGLang's `TokenizerManager`."""

    def __init__(self, *, requests: int, status: str = "Up") -> None:
        self.gracefully_exit = False
        self.rid_to_state = {str(number): object() for number in range(requests)}
        self.server_status = types.SimpleNamespace(name=status)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_stop, "POLL_SECONDS", 0.0)
    # Pytest itself must not leave at its end.
    monkeypatch.setattr(prompt_stop, "_asked", [])


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


def watched(manager: Manager, *steps: Any) -> list[bool]:
    """Whether SGLang's function was called after each step."""
    stopped: list[object] = []

    async def stop(one: object) -> None:
        stopped.append(one)

    async def scene() -> list[bool]:
        task = asyncio.create_task(prompt_stop.watch(stop, manager))
        seen = []
        for step in steps:
            step()
            await turns()
            seen.append(stopped == [manager])
        task.cancel()
        return seen

    return asyncio.run(scene())


def test_it_waits_for_the_stop_and_for_the_requests_in_flight() -> None:
    manager = Manager(requests=2)

    def ask() -> None:
        manager.gracefully_exit = True

    def end_one() -> None:
        manager.rid_to_state.popitem()

    assert watched(manager, lambda: None, ask, end_one, end_one) == [False, False, False, True]


def test_a_server_that_is_unhealthy_waits_for_no_request() -> None:
    manager = Manager(requests=1, status="UnHealthy")
    manager.gracefully_exit = True
    assert watched(manager, lambda: None) == [True]


def test_nor_does_one_that_is_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGL_FORCE_SHUTDOWN", "true")
    manager = Manager(requests=1)
    manager.gracefully_exit = True
    assert watched(manager, lambda: None) == [True]


@pytest.mark.parametrize(("asked", "code"), [(True, 0), (False, 3)])
def test_a_server_that_was_asked_to_stop_takes_nothing_apart(*, asked: bool, code: int) -> None:
    """Others' last words come first; an end that nobody asked for keeps its exit code."""
    program = textwrap.dedent(
        f"""
        import atexit, os, sys
        os.environ["{RUN_ID_VARIABLE}"] = "run"
        from launcher.engines.sglang.plugins import hooks
        from launcher.engines.sglang.plugins.lifecycle import prompt_stop
        hooks.install_if_possible = lambda *_: True
        atexit.register(print, "registered first")
        prompt_stop.activate()
        atexit.register(print, "registered later")
        if {asked}:
            prompt_stop._asked.append(1)
        sys.exit(3)
        """
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == code, ran.stderr
    # The last to be called is the first that was registered: it would have come next.
    assert ran.stdout == "registered later\n" + ("" if asked else "registered first\n")


def test_sglang_has_what_is_read_of_it() -> None:
    """The names by which the hook knows SGLang's state, in the source of the installed version.

    It is not imported: that would change the event loops of all tests that follow.
    """
    package = importlib.util.find_spec("sglang")
    if package is None or package.origin is None:
        pytest.skip("no SGLang is installed")
    managers = Path(package.origin).parent / "srt" / "managers"
    tree = ast.parse((managers / "tokenizer_manager.py").read_text())
    (watchdog,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.AsyncFunctionDef) and node.name == "sigterm_watchdog"
    )
    names = {node.attr for node in ast.walk(watchdog) if isinstance(node, ast.Attribute)}
    assert {"gracefully_exit", "rid_to_state", "server_status", "UnHealthy"} <= names

"""What holds for all tests."""

from __future__ import annotations

import signal

import pytest


def pytest_configure() -> None:
    """Let Ctrl-C be heard: a shell without job control starts what it puts in the background deaf.

    Children inherit that, and some tests are about Ctrl-C.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`make test-no-shared-imports`: the same tests, and each process imports the engine itself."""
    parser.addoption(
        "--no-shared-imports", action="store_true", help="start servers whose processes spawn"
    )

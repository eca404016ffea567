"""The benchmarks' command line, as tests call it."""

from __future__ import annotations

import signal
import sys

from benchmarks.cli import main


def bench(*arguments: str) -> int:
    """The command line in this process; returns its exit code."""
    before = sys.argv
    handler = signal.getsignal(signal.SIGTERM)
    sys.argv = ["benchmarks", *arguments]
    try:
        main.main()
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        sys.argv = before
        signal.signal(signal.SIGTERM, handler)
    raise AssertionError("main() always exits")

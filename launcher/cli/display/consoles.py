"""The two streams that people read. rich honours NO_COLOR, TERM and redirection by itself."""

from __future__ import annotations

from rich.console import Console


def out() -> Console:
    """Results."""
    return Console()


def err() -> Console:
    """Progress and errors."""
    return Console(stderr=True)

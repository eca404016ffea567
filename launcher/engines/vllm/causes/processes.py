"""Ends of the server's processes: lost children, and signals from outside."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Final

from launcher.engines.causes import Confidence, LogCause, Retry, ServerEnd, SilentCause

_NOT_OURS: Final = (
    "Look in `dmesg -T` (or at OOMKilled of the container) whether it was the kernel, for want of "
    "the host's memory: then it needs more; else a person or a service manager ended it, and "
    "nothing in the configuration is to blame."
)


def _ended_by(*signals: signal.Signals) -> Callable[[ServerEnd], bool]:
    return lambda end: end.returncode in {-one for one in signals}


ERRORS: Final[dict[str, LogCause]] = {}
# What the processes that live say of one that ended.
ECHOES: Final = {
    "core-lost": LogCause(
        retry=Retry.ALWAYS,
        confidence=Confidence.LIKELY,
        pattern=r"Engine core proc \S+ died unexpectedly|EngineDeadError: EngineCore encountered",
        sample="Engine core proc EngineCore died unexpectedly, shutting down client.",
        summary="vLLM's engine core ended without a word.",
        action=_NOT_OURS,
    ),
}
SILENT: Final = {
    "killed-from-outside": SilentCause(
        retry=Retry.ALWAYS,
        confidence=Confidence.LIKELY,
        applies=_ended_by(signal.SIGKILL),
        summary="Somebody outside killed the server with SIGKILL.",
        action=_NOT_OURS,
        looks="SIGKILL, and no error in the output",
    ),
}

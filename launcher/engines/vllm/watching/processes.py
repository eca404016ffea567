"""Which processes of a server are vLLM's own, and what it does when it loses one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from launcher.system.activity import EngineChild, titled
from launcher.system.process import ProcessIdentity

# `setproctitle` in utils/system_utils.py, `set_process_title`: VLLM::EngineCore, VLLM::Worker and
# VLLM::APIServer, with the ranks behind them where there are several.
TITLE_PREFIX: Final = "VLLM::"
# Measured: what is said of a process that was killed comes within 0.1 s; the main process takes a
# second to end after its core, and longer after a worker.
FALLOUT_SECONDS: Final = 0.5
SLOW_FALLOUT_SECONDS: Final = 5.0


def engine_children(members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
    """Those processes that vLLM named, with their titles: without any of them it is broken."""
    return titled(members, TITLE_PREFIX)


def fallout_seconds(*, served: bool) -> float:
    """How long vLLM may still explain itself after it lost one of its children."""
    return FALLOUT_SECONDS if served else SLOW_FALLOUT_SECONDS

"""An SGLang plugin that sees a stop as soon as it is asked for.

After SIGTERM SGLang sets a flag, looks at it every five seconds, and as often at the requests still
in flight (sglang/srt/managers/tokenizer_manager.py, `sigterm_watchdog`). This looks five times a
second and hands over to that function once it has nothing left to wait for.

When the server has shut down, Python would take its modules apart one by one, for seconds. Nobody
has anything of that: the process ends instead.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import RUN_ID_VARIABLE

TARGET: Final = "sglang.srt.managers.tokenizer_manager.TokenizerManager.sigterm_watchdog"
POLL_SECONDS: Final = 0.2
# The manager that was asked to stop, once it has nothing left to do.
_asked: Final[list[Any]] = []


def activate() -> None:
    """Hook the server, where the launcher has started it.

    Without the hook a stop takes five seconds longer, so a version of SGLang that has no such
    function is none to stop for.
    """
    if RUN_ID_VARIABLE not in os.environ or not hooks.in_first_process():
        return
    # What was registered first is called last: after all that SGLang and others do at the end.
    atexit.register(leave)
    hooks.install_if_possible({TARGET: (watch, "AROUND")}, "a stop is seen every five seconds")


def leave() -> None:
    """End this process where it was asked to stop; at any other end its exit code is Python's."""
    if not _asked:
        return
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(0)


async def watch(stop: Callable[[Any], Awaitable[None]], manager: Any) -> None:
    """Wait for the stop and the last request in flight, and then let SGLang end.

    Args:
        stop: SGLang's function; it drains, has the schedulers exit, and ends the process.
        manager: SGLang's `TokenizerManager`.
    """
    while not manager.gracefully_exit:
        await asyncio.sleep(POLL_SECONDS)
    # SGLang's own function knows when not to wait for requests; it is told of those that end.
    while manager.rid_to_state and not _waits_for_nobody(manager):
        await asyncio.sleep(POLL_SECONDS)
    _asked.append(manager)
    await stop(manager)


def _waits_for_nobody(manager: Any) -> bool:
    forced = os.environ.get("SGL_FORCE_SHUTDOWN", "").lower() in {"1", "true"}
    return forced or manager.server_status.name == "UnHealthy"

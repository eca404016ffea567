"""Whether a server answers. Ready means that it generated a token, not that a port is open.

One probe runs at a time. A time-out should lie above the server's own 20 s, since SGLang does not
abort a probe whose client went away (sglang issue 35884).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from launcher.engines.prober import Prober
from launcher.memory.report import ReportedMemory

PROBE_TIMEOUT_SECONDS: Final = 120.0  # kernels may compile during the first token
# As many as SGLang's own warm-up asks for: the first token comes from the prefill, and a draft and
# a verify follow only after it.
PROBE_TOKENS: Final = 8
POLL_SECONDS: Final = 0.25


class ReadinessWatch:
    """A thread that asks until the first token, then calls back once, with the memory figures.

    It asks for a token when the log said so (`hurry`) or when the server reports that it is up,
    whichever comes first: the log may be turned down to warnings.
    """

    def __init__(self, prober: Prober, on_ready: Callable[[ReportedMemory | None], None]) -> None:
        self._prober = prober
        self._on_ready = on_ready
        self._wake = threading.Event()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="readiness", daemon=True)

    def start(self) -> None:
        """Begin to ask."""
        self._thread.start()

    def hurry(self) -> None:
        """The server says that it is ready: ask now."""
        self._wake.set()

    def stop(self) -> None:
        """Ask no more. A probe under way ends by itself and is not reported."""
        self._stopped.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            hurried = self._wake.wait(POLL_SECONDS)
            if self._stopped.is_set():
                return
            if (hurried or self._prober.is_up()) and self._prober.generate(
                PROBE_TOKENS, timeout_seconds=PROBE_TIMEOUT_SECONDS
            ):
                self._prober.settle()
                memory = self._prober.memory()
                if not self._stopped.is_set():
                    self._on_ready(memory)
                return
            if hurried:
                # It was said too early; fall back to the usual pace.
                self._stopped.wait(POLL_SECONDS)

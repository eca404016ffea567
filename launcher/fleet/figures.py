"""What each server of a fleet says of its own work, asked of all at once."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Collection
from typing import Final

from launcher.engines.common.metrics import UnreadMetricsError, ask_metrics
from launcher.engines.select import metric_table_of
from launcher.metrics.figures import Figures
from launcher.metrics.table import read
from launcher.metrics.window import Window

# A server that has work answers within milliseconds. Whoever looks at a fleet waits no longer for
# one that does not.
ANSWER_SECONDS: Final = 1.5


def ask_all(urls: Collection[str], *, seconds: float = ANSWER_SECONDS) -> dict[str, Figures]:
    """Ask servers for their figures; those that do not answer in time are left out.

    Args:
        urls: their addresses, here or elsewhere.
        seconds: how long for all of them together.
    """
    answers: dict[str, Figures] = {}

    def ask(url: str) -> None:
        with contextlib.suppress(UnreadMetricsError):
            samples = ask_metrics(url, timeout_seconds=seconds)
            if (known := metric_table_of(samples)) is not None:
                window = Window()
                window.add(read(known[1], samples, at_seconds=0.0))
                answers[url] = window.figures()

    # Nobody waits for these: a name that is looked up, and an answer that comes byte by byte, keep
    # to no time-out.
    threads = [threading.Thread(target=ask, args=(url,), daemon=True) for url in urls]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(answers)

"""An SGLang plugin that says when the server last gave somebody an answer, or a part of one.

The launcher asks it where a probe fails (`launcher.engines.sglang.watching.prober`,
`seconds_since_output`): a probe may wait in a queue, and then only what comes out at the other end
shows that the server works. SGLang's log cannot: the scheduler prints batches whose tokens a
detokenizer that stands still never passes on. Nor can `/health_generate`: for a busy server the
scheduler answers it past the detokenizer (sglang/srt/managers/scheduler.py,
`maybe_send_health_check_signal`).

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import os
import time
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import LAST_OUTPUT_ROUTE, RUN_ID_VARIABLE

# Every output that leaves the detokenizer for a request passes here, in the process that answers
# HTTP.
TARGET: Final = "sglang.srt.managers.tokenizer_manager.TokenizerManager._handle_batch_output"


class LastOutput:
    """When an output came, in monotonic seconds; None before the first."""

    def __init__(self) -> None:
        self.at: float | None = None

    def note(self, result: Any, *_args: object, **_kwargs: object) -> Any:
        """Stand behind `_handle_batch_output`, whose coroutine takes what has just come."""
        self.at = time.monotonic()
        return result

    async def tell(self) -> dict[str, float | None]:
        """Answer the route: seconds since the last output; null before the first."""
        return {"seconds_ago": None if self.at is None else time.monotonic() - self.at}


def activate() -> None:
    """Hook the server, where the launcher has started it.

    Without the hook the launcher looks at the log instead, so a version of SGLang that has no such
    function is none to stop for.
    """
    if RUN_ID_VARIABLE not in os.environ or not hooks.in_first_process():
        return
    last = LastOutput()
    if hooks.install_if_possible({TARGET: (last.note, "AFTER")}, "probes go by the log"):
        from sglang.srt.entrypoints.http_server import app  # noqa: PLC0415  # takes seconds

        app.add_api_route(LAST_OUTPUT_ROUTE, last.tell, include_in_schema=False)

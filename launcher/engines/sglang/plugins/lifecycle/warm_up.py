"""An SGLang plugin for servers that do not warm themselves up.

After its own warm-up SGLang freezes the garbage collectors of its processes, by a request to itself
(sglang/srt/entrypoints/http_server.py, `_freeze_gc_after_server_warmup`). With
`--skip-server-warmup` it sends that request before its port listens, and logs a traceback. The
launcher sends it instead, after the first tokens: `launcher.engines.sglang.watching.prober`,
`settle`.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import os
from typing import Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import FREEZE_GC_VARIABLE

TARGET: Final = "sglang.srt.entrypoints.http_server._freeze_gc_after_server_warmup"


def activate() -> None:
    """Keep SGLang from a request that must fail.

    Without the hook nothing is lost but the quiet in the log, so a version of SGLang that has no
    such function is none to stop for.
    """
    if os.environ.get(FREEZE_GC_VARIABLE) != "1" or not hooks.in_first_process():
        return
    wanted: dict[str, hooks.Hook] = {TARGET: (_leave_it_to_the_launcher, "REPLACE")}
    hooks.install_if_possible(wanted, f"{TARGET} stays as it is")


def _leave_it_to_the_launcher(*_args: object, **_kwargs: object) -> None:
    """Stand in for `_freeze_gc_after_server_warmup`."""

"""Which processes of a server are SGLang's own children."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from launcher.system.activity import EngineChild, titles
from launcher.system.process import ProcessIdentity

# sglang 0.5.23, `setproctitle`: managers/scheduler.py (sglang::scheduler_DP0_TP1, and plain
# sglang::scheduler), managers/detokenizer_manager.py (sglang::detokenizer),
# managers/data_parallel_controller.py (sglang::data_parallel_controller) and
# managers/multi_tokenizer_mixin.py (sglang::detokenizer_router, sglang::tokenizer_worker:PID).
TITLE_PREFIX: Final = "sglang::"


def engine_children(members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
    """Those processes that SGLang named, with their titles: without any of them it is broken.

    A child gets its title only after its imports, some seconds after its birth.
    """
    candidates = tuple(members)
    known = titles(candidates)
    return tuple(
        (member, known[member.pid])
        for member in candidates
        if known.get(member.pid, "").startswith(TITLE_PREFIX)
    )

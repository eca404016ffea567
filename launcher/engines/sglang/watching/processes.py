"""Which processes of a server are SGLang's own, and what it does when it loses one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from launcher.config.server_config import ServerConfig
from launcher.system.activity import EngineChild, titled
from launcher.system.process import ProcessIdentity

# `setproctitle` in managers/scheduler.py (sglang::scheduler_DP0_TP1, and plain
# sglang::scheduler), managers/detokenizer_manager.py (sglang::detokenizer),
# managers/data_parallel_controller.py (sglang::data_parallel_controller) and
# managers/multi_tokenizer_mixin.py (sglang::detokenizer_router, sglang::tokenizer_worker:PID).
TITLE_PREFIX: Final = "sglang::"

# SGLang looks after its children once a second, and then ends itself. What it would still say of a
# process that was killed is worth less than that second. A crash dump, where one is asked for, is
# worth more, and so is a start's own reason to end; after a mere kill it would wait a minute for
# CUDA's core dumps.
FALLOUT_SECONDS: Final = 0.5
SLOW_FALLOUT_SECONDS: Final = 5.0
CRASH_DUMP_FLAG: Final = "--crash-dump-folder"


def engine_children(members: Iterable[ProcessIdentity]) -> tuple[EngineChild, ...]:
    """Those processes that SGLang named, with their titles: without any of them it is broken.

    A child gets its title only after its imports, some seconds after its birth.
    """
    return titled(members, TITLE_PREFIX)


def fallout_seconds(config: ServerConfig, *, served: bool) -> float:
    """How long SGLang may still explain itself after it lost one of its children."""
    dumps = any(argument.startswith(CRASH_DUMP_FLAG) for argument in config.extra_args)
    return SLOW_FALLOUT_SECONDS if dumps or not served else FALLOUT_SECONDS

"""An SGLang plugin that puts the id of the run into the name of SGLang's load segment.

SGLang draws a token for each server and names `/dev/shm/sglang_loads_TOKEN_HASH.shm` by it
(sglang/srt/server_args.py, `PortArgs.init_new`; srt/managers/load_snapshot.py, `shm_path_for`). It
removes that file never. With the run's id for a token the name proves whose file it is, so that
`launcher.system.shared_memory` finds it without having seen who mapped it.

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import os
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import RUN_ID_VARIABLE

# In the first process alone: it hands what comes out of this on to the others.
TARGET: Final = "sglang.srt.server_args.PortArgs.init_new"


def activate() -> None:
    """Hook a server that the launcher has started.

    Without the hook only what the launcher has seen mapped is removed, so a version of SGLang that
    has no such function is none to stop for.
    """
    if RUN_ID_VARIABLE not in os.environ or not hooks.in_first_process():
        return
    wanted: dict[str, hooks.Hook] = {TARGET: (_name_after_run, "AFTER")}
    hooks.install_if_possible(wanted, "shared memory is named as SGLang does")


def _name_after_run(ports: Any, *_args: object, **_kwargs: object) -> Any:
    """Stand behind `PortArgs.init_new`, which has just drawn a token."""
    if ports.instance_id:
        ports.instance_id = os.environ[RUN_ID_VARIABLE]
    return ports

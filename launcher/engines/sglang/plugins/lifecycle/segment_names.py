"""An SGLang plugin that puts the id of the run into the names of what a server shares.

With the run's id a name proves whose it is, so that `launcher.system.shared_memory` finds it
without having seen who mapped it: a process that is killed right after it has made one leaves no
time for a look, and the resource tracker of `multiprocessing`, which would remove it, is ended
with the server. In `/dev/shm` that concerns

- SGLang's load segment, `sglang_loads_TOKEN_HASH.shm`: it draws a token for each server
  (sglang/srt/server_args.py, `PortArgs.init_new`; srt/managers/load_snapshot.py, `shm_path_for`)
  and never removes the file;
- what SGLang shares between ranks, `sgl_shm_KIND_PID_RANDOM` (srt/utils/stale_shm_cleanup.py);
- Python's semaphores, `sem.mp-RANDOM`: the first progress bar of a scheduler, that of the weights,
  makes one (tqdm/std.py, `TqdmDefaultWriteLock`).

SGLang calls `activate` early in every process (entry point group `sglang.srt.plugins`).
"""

from __future__ import annotations

import multiprocessing
import os
from typing import Any, Final

from launcher.engines.sglang.plugins import hooks
from launcher.names import RUN_ID_VARIABLE

# In the first process alone: it hands what comes out of this on to the others.
TARGET: Final = "sglang.srt.server_args.PortArgs.init_new"
SHARED_TARGET: Final = "sglang.srt.utils.stale_shm_cleanup.make_shm_name"
_SHARED_PREFIX: Final = "sgl_shm_"
_OTHERWISE: Final = "shared memory is named as SGLang does"


def activate() -> None:
    """Hook a server that the launcher has started.

    Without the hooks only what the launcher has seen mapped is removed, so a version of SGLang that
    has no such functions is none to stop for.
    """
    run_id = os.environ.get(RUN_ID_VARIABLE)
    if run_id is None:
        return
    # Each by itself: where one of them is elsewhere, the other still holds.
    hooks.install_if_possible({SHARED_TARGET: (_share_after_run, "AFTER")}, _OTHERWISE)
    if hooks.in_first_process():
        hooks.install_if_possible({TARGET: (_name_after_run, "AFTER")}, _OTHERWISE)
    # Whatever this one starts by `multiprocessing` inherits its settings, and whatever that starts
    # (multiprocessing/process.py, `_MainProcess`; synchronize.py, `SemLock._make_name`).
    settings: dict[str, Any] = vars(multiprocessing.current_process())["_config"]
    settings["semprefix"] = f"/mp-{run_id}"


def _name_after_run(ports: Any, *_args: object, **_kwargs: object) -> Any:
    """Stand behind `PortArgs.init_new`, which has just drawn a token."""
    if ports.instance_id:
        ports.instance_id = os.environ[RUN_ID_VARIABLE]
    return ports


def _share_after_run(name: str, *_args: object, **_kwargs: object) -> str:
    """Stand behind `make_shm_name`; the pid stays the last word but one, where SGLang reads it."""
    return name.replace(_SHARED_PREFIX, f"{_SHARED_PREFIX}{os.environ[RUN_ID_VARIABLE]}_", 1)

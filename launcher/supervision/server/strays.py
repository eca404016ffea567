"""The end of a server that neither a supervisor nor a record speaks for any more."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from launcher.state.traces import Trace
from launcher.supervision.server.end import ServerResources, end_server
from launcher.supervision.server.scratch import remove_scratch
from launcher.system.members import find_leader, find_members

# Its own are not known any more: the defaults of --drain-timeout-seconds and
# --stop-timeout-seconds.
DRAIN_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


def end_strays(trace: Trace) -> bool:
    """Let a server without record and supervisor end its requests, and end it; says if one lived.

    Only processes are signalled that have in their environment the id of a run, and for a working
    folder that of this very server, and what is in a session that one of them proves.

    Args:
        trace: of a name whose lock the caller holds.

    Raises:
        StopError: a process is still there.
    """
    return end_runs(trace.run_ids)


def end_runs(run_ids: Iterable[str]) -> bool:
    """The same for runs whose ids are known: of a server, or of what stood by for its next run.

    Raises:
        StopError: a process is still there.
    """
    found = False
    for run_id in sorted(run_ids):
        leader = find_leader(run_id)
        if leader is None:
            continue
        found = True
        folder = _temporary_folder_of(leader.pid)
        # Without its first process it ends no request any more, nor with one that stands still.
        drains = leader.send_signal(signal.SIGTERM) and not leader.is_stopped()
        deadline = time.monotonic() + (DRAIN_SECONDS if drains else 0.0)
        while find_members(leader, run_id) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        # Of which address and port is not known; a socket of nobody is closed.
        end_server(leader, run_id, ServerResources("127.0.0.1", 0, on_gpus=True), [])
        remove_scratch(run_id, {} if folder is None else {"TMPDIR": folder})
    return found


def _temporary_folder_of(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if line.startswith(b"TMPDIR="):
                return os.fsdecode(line.removeprefix(b"TMPDIR="))
    return None

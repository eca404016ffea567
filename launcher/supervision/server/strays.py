"""The end of what neither a supervisor nor a record speaks for any more: a server, a stand-by."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from launcher.state.record import RunRecord
from launcher.supervision.server.end import ServerResources, end_server
from launcher.supervision.server.scratch import remove_left_scratch, remove_scratch
from launcher.system.members import find_leader, find_members

# Its own are not known any more: the defaults of --drain-timeout-seconds and
# --stop-timeout-seconds.
DRAIN_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 0.05


def end_runs(run_ids: Iterable[str]) -> bool:
    """Let runs that no supervisor speaks for end their requests, and end them; says if one lived.

    Each process that is signalled has the id of its run in its environment, or is in a session that
    such a one proves.

    Args:
        run_ids: as `launcher.state.traces.find_runs` has them, of a server whose lock the caller
            holds.

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


def remove_stand_by_scratch(record: RunRecord) -> None:
    """Remove the folder of the process that stood by under a supervisor that was killed.

    That process ends by itself then, mostly before anybody looks, and `end_runs` finds none. A
    folder that was made just before the record had its run is known to nobody.

    Args:
        record: as that supervisor left it, of a server whose lock the caller holds.
    """
    if record.stand_by is not None:
        # Both were made for the same environment, and so their folders lie side by side.
        remove_left_scratch(record.stand_by.run_id, record.environment)


def _temporary_folder_of(pid: int) -> str | None:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
            if line.startswith(b"TMPDIR="):
                return os.fsdecode(line.removeprefix(b"TMPDIR="))
    return None

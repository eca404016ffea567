"""The end of a server: every process killed, what they held taken back, and both proven."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from launcher.diagnosis import failures
from launcher.system.hardware import gpu_pids
from launcher.system.members import freeze_members, kill_members
from launcher.system.ports import describe_listener, listening_sockets, sockets_of
from launcher.system.process import ProcessIdentity, freezer_of
from launcher.system.shared_memory import (
    Segment,
    remove_dead,
    segments_named_after,
    segments_of,
)

KILL_TIMEOUT_SECONDS: Final = 10.0
FREEZE_TIMEOUT_SECONDS: Final = 0.5
# A driver takes a while to give back the memory of a process that was killed.
RELEASE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class ServerResources:
    """What a server holds of the machine, besides its processes."""

    host: str
    port: int
    on_gpus: bool


def end_server(
    leader: ProcessIdentity, run_id: str, resources: ServerResources, segments: Iterable[Segment]
) -> None:
    """End every process of a server at once, and take back what they held.

    Args:
        leader: the server's first process, dead or alive.
        run_id: what the server was started with.
        resources: what has to be free in the end.
        segments: the shared memory that it was seen to use while it lived.

    Raises:
        StopError: something is left.
    """
    # A process that is still growing shares more after it was looked at; a frozen one does not.
    members = freeze_members(leader, run_id, timeout_seconds=FREEZE_TIMEOUT_SECONDS)
    shared = frozenset(segments) | segments_of(members)
    sockets = listening_sockets(resources.host, resources.port) & sockets_of(members)
    left = kill_members(leader, run_id, timeout_seconds=KILL_TIMEOUT_SECONDS)
    if left:
        pids = [member.pid for member in left]
        raise failures.survived(pids, seconds=KILL_TIMEOUT_SECONDS, freezer=freezer_of(*pids))
    # One that threw its environment away proves nothing, and yet is the one that was started.
    leader.send_signal(signal.SIGKILL)
    # What it shared so shortly that nobody saw it is known by its name.
    remove_dead(shared | segments_named_after(run_id))
    _await_release(resources, sockets, {member.pid for member in members})


def _await_release(resources: ServerResources, sockets: frozenset[int], pids: set[int]) -> None:
    """Wait until the server's own sockets are closed; a stranger's on the same port is his."""
    deadline = time.monotonic() + RELEASE_SECONDS
    while True:
        port_open = bool(sockets & listening_sockets(resources.host, resources.port))
        holders = gpu_pids() & pids if resources.on_gpus else frozenset()
        if not port_open and not holders:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(_POLL_SECONDS)
    if holders:
        raise failures.gpu_still_held(sorted(holders), seconds=RELEASE_SECONDS)
    raise failures.port_still_open(resources.port, describe_listener(resources.port))

"""All processes of a server: how to find them, how to end them, how to reap them. Linux only.

They are found by the server's run id in their environment and by its session, never by name.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

from launcher.names import RUN_ID_VARIABLE
from launcher.system.proc_stat import all_pids, read_stat
from launcher.system.process import ProcessIdentity, boot_id, wait_until_gone

_POLL_SECONDS: Final = 0.02
_PF_EXITING: Final = 0x4  # linux/sched.h
_PR_SET_CHILD_SUBREAPER: Final = 36  # linux/prctl.h


def find_members(leader: ProcessIdentity, run_id: str) -> list[ProcessIdentity]:
    """Every living process of a server, its leader included where it still lives.

    A member is proven by the run id in its environment, and then so is its session: the kernel
    gives the number of a session to nobody else while a process is left in it. Where nothing
    proves a session, nobody in it is a member: the number may be another's by now.

    Args:
        leader: the server's first process, dead or alive, which made the session.
        run_id: what the server was started with.
    """
    if leader.boot_id != boot_id():
        return []
    marker = f"{RUN_ID_VARIABLE}={run_id}".encode()
    proven: list[ProcessIdentity] = []
    in_session_only: list[ProcessIdentity] = []
    session_is_proven = False
    for pid in all_pids():
        with contextlib.suppress(OSError):
            signs = _signs_of(pid, marker, leader.pid)
            if not any(signs):
                continue
            identity = ProcessIdentity.of(pid)
            # Looked at again: the pid may be another's by now.
            if signs != _signs_of(pid, marker, leader.pid):
                continue
            is_marked, in_session = signs
            session_is_proven = session_is_proven or (is_marked and in_session)
            (proven if is_marked else in_session_only).append(identity)
    members = proven + in_session_only if session_is_proven else proven
    return [member for member in members if member.pid != os.getpid()]


def find_leader(run_id: str) -> ProcessIdentity | None:
    """The first process of a server, where nobody wrote it down; None where no process lives.

    Where it has gone and others live on, the one that is returned lives no more either, and still
    says which session was its own.

    Args:
        run_id: what the server was started with.
    """
    marker = f"{RUN_ID_VARIABLE}={run_id}".encode()
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if pid != os.getpid() and _signs_of(pid, marker, 0)[0]:
                session = os.getsid(pid)
                with contextlib.suppress(ProcessLookupError):
                    if _signs_of(session, marker, session)[0]:
                        return ProcessIdentity.of(session)
                return ProcessIdentity(pid=session, start_ticks=0, boot_id=boot_id())
    return None


def _signs_of(pid: int, marker: bytes, session: int) -> tuple[bool, bool]:
    """Whether a process has the run id in its environment, and whether it is in the session."""
    environment = Path(f"/proc/{pid}/environ").read_bytes()
    return marker in environment.split(b"\0"), os.getsid(pid) == session


def freeze_members(
    leader: ProcessIdentity, run_id: str, *, timeout_seconds: float
) -> list[ProcessIdentity]:
    """SIGSTOP every process of a server until no other is found; only SIGKILL may come after.

    Returns:
        All of them. Where the time is over first, one of them may still have made another.
    """
    deadline = time.monotonic() + timeout_seconds
    frozen: list[ProcessIdentity] = []
    while True:
        members = find_members(leader, run_id)
        if set(members) <= set(frozen) or time.monotonic() > deadline:
            return members
        frozen = members
        _signal_groups(members, signal.SIGSTOP)
        # What a process has begun in the kernel is done before it stops.
        time.sleep(_POLL_SECONDS)


def kill_members(
    leader: ProcessIdentity, run_id: str, *, timeout_seconds: float
) -> list[ProcessIdentity]:
    """SIGKILL every process of a server until none is left, nor anything of one.

    A process that was killed keeps what it has open, and on a GPU its memory, until the kernel has
    taken its memory apart: a good while for a big one.

    Returns:
        Those that are still there when the time is over: empty where all went well.
    """
    deadline = time.monotonic() + timeout_seconds
    seen_empty = False
    seen: set[ProcessIdentity] = set()
    while True:
        members = find_members(leader, run_id)
        seen.update(members)
        left = members or [one for one in seen if one.is_alive()] or _exiting(leader)
        # One look may miss a process that is handing over to a child just then.
        if not left and seen_empty:
            return []
        seen_empty = not left
        if left and time.monotonic() > deadline:
            return left
        _signal_groups(members, signal.SIGKILL)
        time.sleep(_POLL_SECONDS)


def is_exiting(process: ProcessIdentity) -> bool:
    """Whether a process has gone or is on its way out: its environment proves nothing any more."""
    try:
        stat = read_stat(process.pid)
    except OSError:
        return True
    return stat.start_ticks != process.start_ticks or bool(stat.flags & _PF_EXITING)


def _exiting(leader: ProcessIdentity) -> list[ProcessIdentity]:
    """Those in the leader's session that are on their way out.

    They prove nothing any more, since their environment is gone; nor are they to be signalled.
    """
    found = []
    for pid in all_pids() if leader.boot_id == boot_id() else ():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == leader.pid and read_stat(pid).flags & _PF_EXITING:
                found.append(ProcessIdentity.of(pid))
    return found


def _signal_groups(members: list[ProcessIdentity], number: signal.Signals) -> None:
    """Signal processes, and at once all of their process groups: no fork escapes that."""
    for member in members:
        with contextlib.suppress(ProcessLookupError):
            group = os.getpgid(member.pid)
            # Only a member, or a child of one, can have joined a group in a member's session.
            if group != os.getpgid(0) and member.is_alive():
                os.killpg(group, number)
        member.send_signal(number)


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent ends, so that it can be reaped.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER. A container's first process often reaps nobody.
    """
    # Imported here: only a supervisor needs it, and `status` has to be quick.
    import ctypes  # noqa: PLC0415

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def reap_orphans(leader: ProcessIdentity) -> None:
    """Reap the zombies of a server's session that came to this process; the leader is not theirs.

    Its own exit code is waited for by whoever started it.
    """
    children: set[int] = set()
    for file in Path("/proc/self/task").glob("*/children"):
        # A thread may end meanwhile.
        with contextlib.suppress(OSError):
            children.update(map(int, file.read_text().split()))
    for pid in children:
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            if pid != leader.pid and os.getsid(pid) == leader.pid:
                os.waitpid(pid, os.WNOHANG)


def dump_stacks(members: list[ProcessIdentity], *, wait_seconds: float) -> None:
    """Have each process print the stack of each of its threads, and end.

    Python's faulthandler does it at SIGABRT; PYTHONFAULTHANDLER switches it on. A process that is
    stopped (SIGSTOP) prints nothing.
    """
    for member in members:
        member.send_signal(signal.SIGABRT)
    deadline = time.monotonic() + wait_seconds
    for member in members:
        wait_until_gone(member, timeout_seconds=deadline - time.monotonic())

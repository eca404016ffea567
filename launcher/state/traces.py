"""What lives of a server whose record is gone: whoever holds its lock, and processes of its runs.

A record may be removed while its server runs, and the folder with it. The supervisor puts them back
within seconds (`RunStore.put_back`). Where it is gone too, the processes of the server are still
known: each has the id of its run in its environment, and the server's folder for its working one,
whether or not that has been removed. Linux only.
"""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from launcher.names import RUN_ID_VARIABLE
from launcher.state.paths import servers_root
from launcher.state.store import RunStore, is_valid_name
from launcher.system import private
from launcher.system.locks import LockHolder
from launcher.system.proc_stat import all_pids

_DELETED: Final = " (deleted)"
# As the launcher draws them.
_RUN_ID: Final = re.compile(rb"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class Trace:
    """What lives under a name that has no record.

    Attributes:
        store: of that name.
        holder: of its lock; None where nobody holds it.
        run_ids: of runs whose processes live.
        pids: those processes.
    """

    store: RunStore
    holder: LockHolder | None
    run_ids: frozenset[str]
    pids: tuple[int, ...]

    @property
    def problem(self) -> str:
        """What lives, in a sentence."""
        pids = f" Its processes: {', '.join(map(str, self.pids))}." if self.pids else ""
        if self.holder is None:
            return f"A server lives without a supervisor and without a record.{pids}"
        if not self.holder.is_here:
            return f"A server of which there is no record here runs {self.holder.where}."
        return (
            f"Process {self.holder.pid} holds the lock, and there is no record: it starts, or its "
            f"record was removed, which it puts back within seconds.{pids}"
        )

    @property
    def action(self) -> str:
        """What to do about it."""
        command = f"`python -m launcher down --name {self.store.name}`"
        if self.holder is None:
            return f"{command} ends it."
        return f"{command} stops it{'' if self.holder.is_here else ' there'}."


def find_trace(store: RunStore) -> Trace | None:
    """What lives of one server; None where it has a record, or nothing lives."""
    return next(iter(_traces(store.folder.parent, {store.name})), None)


def find_traces(root: Path | None = None) -> list[Trace]:
    """The same for all servers, by name."""
    return _traces(root or servers_root(), None)


def find_runs(store: RunStore) -> frozenset[str]:
    """The ids of all runs of a server of which a process lives, whatever a record says of them."""
    found = set()
    for pid in all_pids():
        with contextlib.suppress(OSError):
            if _server_of(pid, store.folder.parent) == store.name:
                found.add(_run_id_of(pid))
    return frozenset(run_id for run_id in found if run_id is not None)


def _traces(root: Path, only: set[str] | None) -> list[Trace]:
    runs: dict[str, dict[int, str | None]] = {}
    for pid in all_pids():
        with contextlib.suppress(OSError):
            name = _server_of(pid, root)
            if name is not None and (only is None or name in only):
                runs.setdefault(name, {})[pid] = _run_id_of(pid)
    names = {*runs, *(_names_in(root) if only is None else only)}
    found = []
    for name in sorted(filter(is_valid_name, names)):
        store = RunStore(name, root=root)
        if os.path.lexists(store.record_file):
            continue
        pids = {pid: run_id for pid, run_id in runs.get(name, {}).items() if run_id is not None}
        holder = store.find_holder()
        if pids or holder is not None:
            found.append(Trace(store, holder, frozenset(pids.values()), tuple(sorted(pids))))
    return found


def _names_in(root: Path) -> list[str]:
    try:
        private.check_folder(root)
        return [entry.name for entry in root.iterdir()]
    except OSError:
        return []


def _server_of(pid: int, root: Path) -> str | None:
    """In which server's folder a process of our user works; also in one that was removed.

    Raises:
        OSError: it has gone, or may not be looked at.
    """
    # Of no other user, be it that root may look.
    process = Path(f"/proc/{pid}")
    if process.stat().st_uid != os.geteuid():
        return None
    folder = Path(str((process / "cwd").readlink()).removesuffix(_DELETED))
    return folder.name if str(folder.parent) == os.path.realpath(root) else None


def _run_id_of(pid: int) -> str | None:
    """The run of which a process is; None where it is of none, as a supervisor."""
    head = f"{RUN_ID_VARIABLE}=".encode()
    for line in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
        if line.startswith(head) and _RUN_ID.fullmatch(line, len(head)):
            return line.removeprefix(head).decode()
    return None

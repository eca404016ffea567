"""Stopping a server from outside its supervisor, and proof that nothing is left."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from launcher.diagnosis import failures
from launcher.errors import AlreadyRunningError, StateError
from launcher.state.record import RunRecord
from launcher.state.running import already_running
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.listing import Listing
from launcher.supervision.server.end import KILL_TIMEOUT_SECONDS
from launcher.supervision.server.scratch import remove_left_scratch
from launcher.supervision.server.strays import end_runs, remove_stand_by_scratch
from launcher.system.process import ProcessIdentity, command_line, wait_until_gone
from launcher.system.shared_memory import remove_dead, segments_named_after

# The supervisor may need its kill time-out three times, to kill, to see what is released, and for
# the end of the output, which it may have to kill in turn.
SUPERVISOR_MARGIN_SECONDS: Final = 3 * KILL_TIMEOUT_SECONDS + 10.0
# An `up` that holds the lock has its supervisor's record written within this.
_START_PATIENCE_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.05
# The commands of ours that supervise.
_SUPERVISES: Final = frozenset({"up", "supervise"})


@dataclass(frozen=True, slots=True)
class StopReport:
    """What stopping found and did. `was` is the state before, or None where nothing ever ran.

    `supervisor_killed` says that the supervisor did not react, and was ended by force.
    """

    name: str
    was: str | None
    stopped: bool
    seconds: float
    supervisor_killed: bool = False


class _Served(BaseModel):
    """What stopping needs of a configuration, be it another version's."""

    model_config = ConfigDict(frozen=True)

    host: str
    port: int
    device: str = "cuda"
    drain_timeout_seconds: float = 30.0
    stop_timeout_seconds: float

    @property
    def stop_seconds(self) -> float:
        """The longest time from SIGTERM to SIGKILL."""
        return self.drain_timeout_seconds + self.stop_timeout_seconds


def stop_server(store: RunStore) -> StopReport:
    """Stop a server, whether or not its supervisor lives until the end; nothing is no error.

    A supervisor that has not ended at its deadline is killed, and what it leaves is ended as that
    of any supervisor that was killed: docs/decisions/0005-supervision.md says why that is safe.

    Raises:
        StopError: a process is still there.
        AlreadyRunningError: it runs where its processes cannot be seen, or somebody who is no
            supervisor holds its lock.
    """
    began = since = time.monotonic()
    was: str | None = None
    asked: list[ProcessIdentity] = []
    killed = False
    while True:
        record = store.read()
        was = was or (record.live_state if record is not None else None)
        if record is not None and record.elsewhere is not None:
            raise already_running(record, store.name)
        if record is not None and record.is_supervised:
            is_another = bool(asked) and record.supervisor not in asked
            if is_another and record.state is not ServerState.STOPPING:
                break  # somebody has started it again, and does not want it stopped
            asked.append(record.supervisor)
            killed = _end_supervisor(record) or killed
            since = time.monotonic()
            continue
        try:
            ended = clear_up(store)
        except AlreadyRunningError:
            # A start that has no record yet, a record that its supervisor has yet to put back, or
            # somebody else who ends what is left.
            if time.monotonic() - since > _START_PATIENCE_SECONDS:
                supervisor = _unrecorded_supervisor(store)
                if supervisor is None or supervisor in asked:
                    raise
                asked.append(supervisor)
                _stop_unrecorded(supervisor)
                since = time.monotonic()
            continue
        seconds = time.monotonic() - began if asked or ended else 0.0
        return StopReport(store.name, was, bool(asked) or ended, seconds, killed)
    return StopReport(store.name, was, True, time.monotonic() - began, killed)  # noqa: FBT003


def clear_up(store: RunStore) -> bool:
    """End what a supervisor that was killed has left, and take back what that held.

    Returns:
        Whether something lived.

    Raises:
        AlreadyRunningError: somebody supervises it, or starts it.
        StopError: a process is still there.
    """
    if store.read() is None:
        from launcher.state.traces import find_trace  # noqa: PLC0415  # rarely needed

        trace = find_trace(store)
        if trace is None:
            return False
        if trace.holder is None:
            store.create()
        elif not (trace.holder.is_here and store.lock_file.exists()):
            # Its supervisor puts back folder and lock; nobody is to be there before it.
            time.sleep(_POLL_SECONDS)
            raise already_running(None, store.name, trace.holder)
    with store.lock():
        record = store.read()
        if record is None:
            store.forget_keys()
            store.remove_partials()
            return _end_runs(store)
        if record.is_supervised:
            raise already_running(record, store.name)
        # Before anything ends: what a gateway still sends would be lost.
        listing = Listing.of_record(record)
        listing.follow(ServerState.STOPPED)
        if record.is_orphaned and record.state is ServerState.READY:
            time.sleep(listing.leave_seconds)
        store.remove_partials()
        # What stood by for its next run, whatever the record says of it.
        others = _end_runs(store, but=record.run_id)
        remove_stand_by_scratch(record)
        if record.is_orphaned:
            # Imported here: a supervisor that lives needs none of it.
            from launcher.supervision.orphans import end_orphan  # noqa: PLC0415

            record = record.model_copy(update={"stand_by": None})
            end_orphan(store, record, _Served.model_validate(record.config).model_dump())
            return True
        store.forget_keys()
        # The kernel ends a server with its launcher, and takes nothing back that has a name.
        remove_dead({*record.segments, *segments_named_after(record.run_id)})
        remove_left_scratch(record.run_id, record.environment)
        if record.live_state == "DEAD":
            # It stays dead where the disk is full.
            with contextlib.suppress(StateError):
                stopped = {"state": ServerState.STOPPED, "stand_by": None}
                store.write(record.model_copy(update=stopped))
        return others


def _end_runs(store: RunStore, *, but: str = "") -> bool:
    """End all runs of a server of which a process lives, but that of an id; says if one lived."""
    from launcher.state.traces import find_runs  # noqa: PLC0415  # rarely needed

    return end_runs(find_runs(store) - {but})


def _unrecorded_supervisor(store: RunStore) -> ProcessIdentity | None:
    """The supervisor that holds the lock of a server without a record; None where it is none."""
    holder = store.find_holder()
    if store.read() is not None or holder is None or holder.pid is None or not holder.is_here:
        return None
    with contextlib.suppress(ProcessLookupError):
        found = ProcessIdentity.of(holder.pid)
        # Another `down` holds it too, while it ends what is left.
        if _SUPERVISES & set(command_line(holder.pid)) and store.find_holder() == holder:
            return found
    return None


def _stop_unrecorded(supervisor: ProcessIdentity) -> None:
    """Stop a supervisor of which nothing is known but that it holds the lock."""
    supervisor.send_signal(signal.SIGTERM)
    supervisor.send_signal(signal.SIGCONT)
    patience = _Served(host="", port=0, stop_timeout_seconds=30.0).stop_seconds
    if not wait_until_gone(
        supervisor, timeout_seconds=(seconds := patience + SUPERVISOR_MARGIN_SECONDS)
    ):
        raise failures.supervisor_stays(supervisor.pid, seconds=seconds)


def _end_supervisor(record: RunRecord) -> bool:
    """Ask a supervisor to stop its server and wait for its end; says whether it had to be killed.

    Raises:
        StopError: it is still there.
    """
    config = _Served.model_validate(record.config)
    # A second signal would end the requests that another `down` lets finish.
    if record.state is not ServerState.STOPPING or record.restarting:
        record.supervisor.send_signal(signal.SIGTERM)
    # One that somebody has stopped would not hear of it; for any other it means nothing.
    record.supervisor.send_signal(signal.SIGCONT)
    patience = config.stop_seconds + SUPERVISOR_MARGIN_SECONDS
    if wait_until_gone(record.supervisor, timeout_seconds=patience):
        return False
    record.supervisor.send_signal(signal.SIGKILL)
    if wait_until_gone(record.supervisor, timeout_seconds=KILL_TIMEOUT_SECONDS):
        return True
    raise failures.supervisor_stays(record.supervisor.pid, seconds=patience + KILL_TIMEOUT_SECONDS)

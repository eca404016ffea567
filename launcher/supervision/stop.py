"""Stopping a server from outside its supervisor, and proof that nothing is left."""

from __future__ import annotations

import signal
import time
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict

from launcher.diagnosis import failures
from launcher.state.record import RunRecord
from launcher.state.states import ServerState
from launcher.state.store import RunStore
from launcher.supervision.server.end import KILL_TIMEOUT_SECONDS, ServerResources, end_server
from launcher.system.members import find_members
from launcher.system.ports import describe_listener, is_listening
from launcher.system.process import wait_until_gone
from launcher.system.shared_memory import remove_dead

# The supervisor may need its kill time-out three times, to kill, to see what is released, and for
# the end of the output, which it may have to kill in turn.
SUPERVISOR_MARGIN_SECONDS: Final = 3 * KILL_TIMEOUT_SECONDS + 10.0


@dataclass(frozen=True, slots=True)
class StopReport:
    """What stopping found and did. `was` is the state before, or None where nothing ever ran."""

    name: str
    was: str | None
    stopped: bool
    seconds: float


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
    """Stop a server, whether or not its supervisor still lives; nothing to stop is no error.

    Raises:
        StopError: a process or the port is still there.
    """
    record = store.read()
    if record is None:
        return StopReport(store.name, None, stopped=False, seconds=0.0)
    began = time.monotonic()
    was = record.live_state
    config = _Served.model_validate(record.config)
    if record.is_supervised:
        # A second signal would end the requests that another `down` lets finish.
        if record.state is not ServerState.STOPPING or record.restarting:
            record.supervisor.send_signal(signal.SIGTERM)
        patience = config.stop_seconds + SUPERVISOR_MARGIN_SECONDS
        if not wait_until_gone(record.supervisor, timeout_seconds=patience):
            raise failures.supervisor_stays(record.supervisor.pid, seconds=patience)
    elif record.is_orphaned:
        # Its supervisor was killed; whoever stops it now writes its state.
        with store.lock():
            _stop_orphan(record, config)
            # Looked at before the record says so: what survived must be found again.
            _check_nothing_is_left(record, config)
            store.write(record.model_copy(update={"state": ServerState.STOPPED}))
            store.forget_keys()
    else:
        store.forget_keys()
        # The kernel ends a server with its launcher, and takes nothing back that has a name.
        remove_dead(record.segments)
        if was == "DEAD":
            with store.lock():
                store.write(record.model_copy(update={"state": ServerState.STOPPED}))
        return StopReport(store.name, was, stopped=False, seconds=0.0)
    _check_nothing_is_left(record, config)
    return StopReport(store.name, was, stopped=True, seconds=time.monotonic() - began)


def _stop_orphan(record: RunRecord, config: _Served) -> None:
    if record.server is None:
        return
    if record.server.send_signal(signal.SIGTERM):
        wait_until_gone(record.server, timeout_seconds=config.stop_seconds)
    resources = ServerResources(config.host, config.port, on_gpus=config.device == "cuda")
    end_server(record.server, record.run_id, resources, record.segments)
    # It ends by itself when nobody can print any more.
    if record.collector is not None and not wait_until_gone(
        record.collector, timeout_seconds=KILL_TIMEOUT_SECONDS
    ):
        record.collector.send_signal(signal.SIGKILL)


def _check_nothing_is_left(record: RunRecord, config: _Served) -> None:
    if record.server is not None and (left := find_members(record.server, record.run_id)):
        raise failures.survived([one.pid for one in left], seconds=KILL_TIMEOUT_SECONDS)
    if is_listening(config.host, config.port):
        raise failures.port_still_open(config.port, describe_listener(config.port))

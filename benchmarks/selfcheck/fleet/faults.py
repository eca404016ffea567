"""What is done to a part of a fleet under load."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Final

from launcher.engines.select import engine_of
from launcher.fleet.layout import gateway_name, replica_name
from launcher.state.record import RunRecord
from launcher.state.store import RunStore
from launcher.system.members import find_members
from launcher.system.process import ProcessIdentity


def kill_scheduler(fleet: str) -> None:
    """SIGKILL to the process that computes."""
    _scheduler(fleet).send_signal(signal.SIGKILL)


def kill_supervisor(fleet: str) -> None:
    """SIGKILL to a server's supervisor; the server lives on."""
    _record(replica_name(fleet, 0)).supervisor.send_signal(signal.SIGKILL)


def stop_scheduler(fleet: str) -> None:
    """SIGSTOP: it stands still, and holds what it has."""
    _scheduler(fleet).send_signal(signal.SIGSTOP)


def kill_gateway(fleet: str) -> None:
    """SIGKILL to the gateway itself."""
    server = _record(gateway_name(fleet)).server
    assert server is not None  # noqa: S101  # it is ready
    server.send_signal(signal.SIGKILL)


FAULTS: Final[Mapping[str, Callable[[str], None]]] = {
    "scheduler killed": kill_scheduler,
    "supervisor killed": kill_supervisor,
    "scheduler stopped": stop_scheduler,
    "gateway killed": kill_gateway,
}


def _record(name: str) -> RunRecord:
    record = RunStore(name).read()
    assert record is not None  # noqa: S101  # it runs
    return record


def _scheduler(fleet: str) -> ProcessIdentity:
    record = _record(replica_name(fleet, 0))
    leader = record.leader
    assert leader is not None  # noqa: S101  # it runs
    children = engine_of(record.read_config()).children(find_members(leader, record.run_id))
    return next(process for process, title in children if "scheduler" in title)
